#include "checkpoint/pack.h"

#include <algorithm>

#include "checkpoint/finite.h"
#include "formats/coded_tensor.h"
#include "formats/widen.h"

namespace longhaul {

std::span<const std::byte> StoredMatrix::bytes(int64_t first, int64_t n) const {
  const TensorInfo& t = *tensor.weight;
  if (t.coded != nullptr) return t.coded->code_bytes(first_row + first, n);
  // 4-bit weights stand two to a byte, and their tensor says so itself.
  const bool has_scales = tensor.scales != nullptr && !is_quantised(t.dtype);
  const uint64_t row_bytes =
      has_scales ? static_cast<uint64_t>(t.shape[1]) : ::longhaul::stored_bytes(t.dtype, cols);
  return t.bytes.subspan(static_cast<uint64_t>(first_row + first) * row_bytes,
                         static_cast<uint64_t>(n) * row_bytes);
}

uint64_t StoredMatrix::stored_bytes() const {
  if (tensor.weight->coded != nullptr) return tensor.weight->coded->stored_bytes(rows);
  const uint64_t weights = bytes().size();
  if (tensor.scales == nullptr || is_quantised(tensor.weight->dtype)) return weights;
  return weights + tensor.scales->bytes.size() * static_cast<uint64_t>(rows) /
                       static_cast<uint64_t>(tensor.weight->shape[0]);
}

StoredMatrix stored_matrix(std::span<const ScaledTensor> tensors, const WeightSpec& w, int64_t e) {
  const bool is_stack = tensors.size() == 1;
  return {tensors[is_stack ? 0 : static_cast<size_t>(e)],
          w.first_row + (is_stack ? e * w.expert_stride : 0), w.rows, w.cols};
}

static StoredAs stored_as(const ScaledTensor& t) {
  return {t.weight->dtype, t.scales == nullptr ? std::nullopt : std::optional(t.scales->dtype)};
}

const Codec& stored_codec(const ScaledTensor& t) {
  if (t.weight->coded != nullptr && !t.weight->coded->kind().empty()) return kBf16Codec;
  const Codec* keeping = codec_that_keeps(stored_as(t));
  return keeping == nullptr ? kBf16Codec : *keeping;
}

static SourceRows source_rows(const StoredMatrix& m, int64_t first, int64_t n) {
  SourceRows rows{.data = m.bytes(first, n).data(),
                  .type = stored_as(m.tensor),
                  .first_row = m.first_row + first,
                  .blocks = decoder_of(m.tensor.weight->dtype)};
  if (rows.blocks != nullptr)
    rows.factor = factor_of(m.tensor, rows.first_row);
  else if (m.tensor.scales != nullptr)
    rows.scales = m.tensor.scales->bytes.data();
  return rows;
}

// Codes and scales that are numbers may have a product that is none, or scales that are none.
static Status check_decoded(std::span<const float> rows, int64_t cols, int64_t first_row) {
  const auto at = first_not_finite(DType::kF32, reinterpret_cast<const std::byte*>(rows.data()),
                                   std::ssize(rows));
  if (!at) return {};
  return corrupt(
      "row {}, column {} is decoded to {}, expected a number; download the checkpoint again",
      first_row + *at / cols, *at % cols, rows[static_cast<size_t>(*at)]);
}

Result<QuantError> pack(const StoredMatrix& m, int64_t first, int64_t n, const Codec& codec,
                        std::byte* out, float* widened) {
  // Codecs that round look at each weight anyway.
  if (m.tensor.is_plain() && codec.is_plain)
    LH_RETURN_IF_ERROR(check_finite(m.tensor.weight->dtype, m.bytes(first, n).data(), n * m.cols,
                                    (m.first_row + first) * m.cols));
  LH_RETURN_IF_ERROR(
      check_scales(*m.tensor.weight, (m.first_row + first) * m.cols, n * m.cols, "its blocks"));
  const bool is_coded = m.tensor.weight->coded != nullptr;
  const bool is_kept = !is_coded && codec.keeps != nullptr && codec.keeps(stored_as(m.tensor));
  if (m.tensor.is_plain() || is_kept) return codec.pack(source_rows(m, first, n), n, m.cols, out);
  // A panel at a time: the widened rows stay in cache until they are packed.
  QuantError error;
  for (int64_t done = 0; done < n; done += kPanel) {
    const int64_t row = m.first_row + first + done, rows = std::min(kPanel, n - done);
    decode_rows(m.tensor, row, rows, m.cols, widened);
    if (is_coded)
      LH_RETURN_IF_ERROR(check_decoded({widened, static_cast<size_t>(rows * m.cols)}, m.cols, row));
    const SourceRows source{.data = reinterpret_cast<const std::byte*>(widened), .first_row = row};
    LH_TRY(const QuantError panel,
           codec.pack(source, rows, m.cols, out + codec.bytes(done, m.cols)));
    error += panel;
  }
  return error;
}

int64_t rows_per_task(int64_t cols, int64_t n_elements) {
  return std::max(kPanel, n_elements / cols / kPanel * kPanel);
}

}  // namespace longhaul
