#include "mechanisms/lookup.h"

#include <cstring>

namespace longhaul {

void lookup_row(const Env& env, const LookupTable& table, int64_t row, int64_t column, int64_t n, float scale, float* out) {
  if (row < 0 || row >= table.rows) row = 0;
  const std::byte* at = table.data + static_cast<uint64_t>(row * table.cols + column) * bytes_per_element(table.dtype);
  // Tensors in a file need not be aligned to their elements.
  for (int64_t i = 0; i < n; ++i) {
    if (table.dtype == DType::kF32) {
      std::memcpy(out + i, at + 4 * i, 4);
    } else {
      uint16_t bits;
      std::memcpy(&bits, at + 2 * i, 2);
      out[i] = table.dtype == DType::kBF16 ? to_f32(bf16{bits}) : to_f32(f16{bits});
    }
  }
  env.kernels().scale(out, env.weights->dtype == DType::kBF16 ? to_f32(to_bf16(scale)) : scale, n);
}

void lookup_index(const LookupTable& table, int64_t row, int32_t* out) {
  if (row < 0 || row >= table.rows) row = 0;
  const uint64_t bytes = bytes_per_element(table.dtype);
  const std::byte* at = table.data + static_cast<uint64_t>(row * table.cols) * bytes;
  // The values were found to be small, and the low half of a little-endian integer comes first.
  for (int64_t i = 0; i < table.cols; ++i) std::memcpy(out + i, at + static_cast<uint64_t>(i) * bytes, sizeof *out);
}

}  // namespace longhaul
