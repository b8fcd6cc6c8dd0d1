#include "checkpoint/packed_weights.h"

#include "base/check.h"

namespace longhaul {

std::span<const std::byte> PackedWeights::bytes_of(const MatrixRows& rows) const {
  const Item& i = item(rows.weight);
  const uint64_t from = static_cast<uint64_t>(rows.expert) * i.codec->bytes(i.rows, i.cols) +
                        i.codec->bytes(rows.first, i.cols);
  return i.tensor->bytes.subspan(from, i.codec->bytes(rows.n, i.cols));
}

Result<QuantError> PackedWeights::bring(const MatrixRows& rows, const Codec& codec, std::byte* out,
                                        float*) const {
  const Item& i = item(rows.weight);
  LH_CHECK(&codec == i.codec);
  LH_RETURN_IF_ERROR(i.tensor->file->read(bytes_of(rows), out));
  return QuantError{};
}

}  // namespace longhaul
