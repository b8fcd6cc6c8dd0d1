#include "formats/coded_tensor.h"

namespace longhaul {

void CodedTensor::read(int64_t row, int64_t first, int64_t n, float* out) const {
  const Matrix& matrix = content_.matrices[static_cast<size_t>(row / content_.rows)];
  std::visit([&](const auto& m) { decode_range(m, row % content_.rows, first, n, out); }, matrix);
  for (const LowRank& product : content_.added) add_range(product, row, first, n, out);
}

uint64_t CodedTensor::stored_bytes() const {
  uint64_t bytes = 0;
  for (const TensorInfo& part : content_.parts) bytes += part.bytes.size();
  return bytes;
}

uint64_t CodedTensor::stored_bytes(int64_t n) const {
  return stored_bytes() * static_cast<uint64_t>(n) / static_cast<uint64_t>(n_rows());
}

std::span<const std::byte> CodedTensor::code_bytes(int64_t first_row, int64_t n) const {
  const std::span<const std::byte> codes = content_.parts.front().bytes;
  const uint64_t matrix_bytes = codes.size() / content_.matrices.size();
  if (content_.has_code_rows) {
    const uint64_t row_bytes = matrix_bytes / static_cast<uint64_t>(content_.rows);
    return codes.subspan(static_cast<uint64_t>(first_row) * row_bytes,
                         static_cast<uint64_t>(n) * row_bytes);
  }
  return codes.subspan(static_cast<uint64_t>(first_row / content_.rows) * matrix_bytes,
                       matrix_bytes);
}

}  // namespace longhaul
