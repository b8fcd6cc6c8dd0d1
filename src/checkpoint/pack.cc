#include "checkpoint/pack.h"

#include <algorithm>

namespace longhaul {

std::span<const std::byte> StoredMatrix::bytes(int64_t first, int64_t n) const {
  const TensorInfo& t = *tensor.weight;
  // 4-bit weights stand two to a byte, and their tensor says so itself.
  const uint64_t row_bytes = tensor.scales != nullptr
                                 ? static_cast<uint64_t>(t.shape[1])
                                 : static_cast<uint64_t>(cols) * bytes_per_element(t.dtype);
  return t.bytes.subspan(static_cast<uint64_t>(first_row + first) * row_bytes,
                         static_cast<uint64_t>(n) * row_bytes);
}

uint64_t StoredMatrix::stored_bytes() const {
  const uint64_t weights = bytes().size();
  if (tensor.scales == nullptr) return weights;
  return weights + tensor.scales->bytes.size() * static_cast<uint64_t>(rows) /
                       static_cast<uint64_t>(tensor.weight->shape[0]);
}

StoredMatrix stored_matrix(std::span<const ScaledTensor> tensors, const WeightSpec& w, int64_t e) {
  const bool is_stack = tensors.size() == 1;
  return {tensors[is_stack ? 0 : static_cast<size_t>(e)],
          w.first_row + (is_stack ? e * w.expert_stride : 0), w.rows, w.cols};
}

DType stored_dtype(const ScaledTensor& t) {
  const DType d = t.weight->dtype;
  if (t.scales == nullptr) return d == DType::kBF16 ? DType::kBF16 : DType::kF32;
  if (d == DType::kF8E4M3) return d;
  return t.scales->dtype == DType::kF8E8M0 ? DType::kF4 : DType::kBF16;
}

// E4M3 as stored, the rows of one row of blocks at a time: their scales are gathered in `scales`,
// [ceil(cols / 128)].
static Status pack_e4m3(const StoredMatrix& m, int64_t first, int64_t n, std::byte* out,
                        float* scales) {
  const int64_t per_row = blocks_of(m.cols),
                panel_bytes = PackedMatrix{nullptr, DType::kF8E4M3, 0, m.cols}.panel_bytes();
  for (const int64_t end = first + n; first < end;) {
    const int64_t in_block = (m.first_row + first) % kQuantBlock,
                  rows = std::min(kQuantBlock - in_block, end - first);
    for (int64_t i = 0; i < per_row; ++i)
      scales[i] = scale_at(*m.tensor.scales, (m.first_row + first) / kQuantBlock * per_row + i);
    const Status status =
        pack_f8_rows(m.bytes(first, rows).data(), {scales, static_cast<size_t>(per_row)}, 0, rows,
                     m.cols, out + first / kPanel * panel_bytes);
    if (!status.ok())
      return in_context(fmt::format("from row {} on", m.first_row + first), status.error());
    first += rows;
  }
  return {};
}

static Status pack_e2m1(const StoredMatrix& m, int64_t first, int64_t n, std::byte* out) {
  const int64_t per_row = m.cols / kQuantGroup;
  return pack_f4_rows(m.bytes(first, n).data(),
                      m.tensor.scales->bytes.data() + (m.first_row + first) * per_row, first, n,
                      m.cols, out);
}

static Result<QuantError> pack_plain(const void* rows, DType dtype, int64_t first, int64_t n,
                                     int64_t cols, DType packed, std::byte* out) {
  if (packed == DType::kQ8 || packed == DType::kQ4)
    return quantise_rows(rows, dtype, first, n, cols, packed, out);
  pack_rows(rows, dtype, first, n, cols, packed, out);
  return QuantError{};
}

Result<QuantError> pack(const StoredMatrix& m, int64_t first, int64_t n, DType packed,
                        std::byte* out, float* widened) {
  if (packed == DType::kF8E4M3) {
    LH_RETURN_IF_ERROR(pack_e4m3(m, first, n, out, widened));
    return QuantError{};
  }
  if (packed == DType::kF4) {
    LH_RETURN_IF_ERROR(pack_e2m1(m, first, n, out));
    return QuantError{};
  }
  if (m.tensor.scales == nullptr)
    return pack_plain(m.bytes(first, n).data(), m.tensor.weight->dtype, first, n, m.cols, packed,
                      out);
  // A panel at a time: the widened rows stay in cache until they are packed.
  QuantError error;
  for (const int64_t end = first + n; first < end; first += kPanel) {
    const int64_t rows = std::min(kPanel, end - first);
    decode_rows(m.tensor, m.first_row + first, rows, m.cols, widened);
    LH_TRY(const QuantError panel,
           pack_plain(widened, DType::kF32, first, rows, m.cols, packed, out));
    error += panel;
  }
  return error;
}

int64_t rows_per_task(int64_t cols, int64_t n_elements) {
  return std::max(kPanel, n_elements / cols / kPanel * kPanel);
}

}  // namespace longhaul
