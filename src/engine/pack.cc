#include "engine/pack.h"

#include <algorithm>

namespace longhaul {

std::span<const std::byte> StoredMatrix::bytes(int64_t first, int64_t n) const {
  const TensorInfo& t = *tensor.weight;
  // 4-bit weights stand two to a byte, and their tensor says so itself.
  const uint64_t row_bytes =
      tensor.scales != nullptr ? static_cast<uint64_t>(t.shape[1]) : static_cast<uint64_t>(cols) * bytes_per_element(t.dtype);
  return t.bytes.subspan(static_cast<uint64_t>(first_row + first) * row_bytes, static_cast<uint64_t>(n) * row_bytes);
}

uint64_t StoredMatrix::stored_bytes() const {
  const uint64_t weights = bytes().size();
  if (tensor.scales == nullptr) return weights;
  return weights + tensor.scales->bytes.size() * static_cast<uint64_t>(rows) / static_cast<uint64_t>(tensor.weight->shape[0]);
}

StoredMatrix stored_matrix(std::span<const ScaledTensor> tensors, const WeightSpec& w, int64_t e) {
  const bool is_stack = tensors.size() == 1;
  return {tensors[is_stack ? 0 : static_cast<size_t>(e)], w.first_row + (is_stack ? e * w.expert_stride : 0), w.rows, w.cols};
}

void pack(const StoredMatrix& m, int64_t first, int64_t n, DType packed, std::byte* out, float* widened) {
  if (m.tensor.scales == nullptr) {
    pack_rows(m.bytes(first, n).data(), m.tensor.weight->dtype, first, n, m.cols, packed, out);
    return;
  }
  // A panel at a time: the widened rows stay in cache until they are packed.
  for (const int64_t end = first + n; first < end; first += kPanel) {
    const int64_t rows = std::min(kPanel, end - first);
    decode_rows(m.tensor, m.first_row + first, rows, m.cols, widened);
    pack_rows(widened, DType::kF32, first, rows, m.cols, packed, out);
  }
}

int64_t rows_per_task(int64_t cols, int64_t n_elements) { return std::max(kPanel, n_elements / cols / kPanel * kPanel); }

}  // namespace longhaul
