// Rows of state, read element by element.
#pragma once

#include <vector>

#include "kernels/codecs/mxfp4.h"
#include "kernels/kv/row_coding.h"
#include "kernels/ops.h"

namespace longhaul {

template <class T>
double element(const std::byte* at) {
  if constexpr (std::is_same_v<T, bf16>) {
    return to_f32(*reinterpret_cast<const bf16*>(at));
  } else {
    return *reinterpret_cast<const T*>(at);
  }
}

inline double element(DType dtype, const std::byte* at) {
  if (dtype == DType::kF32) return element<float>(at);
  return dtype == DType::kI8 ? element<int8_t>(at) : element<bf16>(at);
}

// Keys and values as they were stored.
class StoredRows {
 public:
  explicit StoredRows(const KvLayout& layout) : l_(layout) {}

  std::vector<double> key(const KvSegment& s, int64_t slot, int64_t head) const {
    if (l_.rows == RowKind::kShared) return shared(s, slot);
    if (l_.format.coding == RowCoding::kMxFp4) return fp4_key(s, slot);
    const Panels panels = l_.keys(s.block, s.slots, head, slot / kPanel * kPanel);
    const int64_t step = inputs_per_step(l_.dtype);
    std::vector<double> out;
    for (int64_t d = 0; d < l_.head_dim; ++d) {
      const int64_t at = slot % kPanel * step + d % step;
      out.push_back(element(l_.dtype, panels.data + d / step * panels.step_stride + at * bytes()));
    }
    return scaled(std::move(out),
                  l_.dtype == DType::kI8 ? l_.key_scales(s.block, s.slots, head)[slot] : 1.0f);
  }

  std::vector<double> value(const KvSegment& s, int64_t slot, int64_t head) const {
    if (l_.rows == RowKind::kShared) return shared(s, slot);
    const int64_t first = slot / kPanel * kPanel, step = inputs_per_step(l_.dtype);
    const Panels panels = l_.values(s.block, s.slots, head, first);
    std::vector<double> out;
    for (int64_t d = 0; d < l_.head_dim; ++d) {
      const std::byte* panel = panels.data + d / kPanel * panels.panel_stride +
                               (slot - first) / step * panels.step_stride;
      out.push_back(element(l_.dtype, panel + (d % kPanel * step + slot % step) * bytes()));
    }
    return scaled(std::move(out),
                  l_.dtype == DType::kI8 ? l_.value_scales(s.block, s.slots, head)[slot] : 1.0f);
  }

 private:
  int64_t bytes() const { return static_cast<int64_t>(bytes_per_element(l_.dtype)); }

  // Rows in 8 bits are turned back too.
  std::vector<double> scaled(const std::vector<double>& x, double factor) const {
    if (l_.dtype != DType::kI8) return x;
    std::vector<float> row;
    for (const double v : x) row.push_back(static_cast<float>(v * factor));
    rotate_row(row.data(), std::ssize(row));
    return {row.begin(), row.end()};
  }

  std::vector<double> shared(const KvSegment& s, int64_t slot) const {
    const std::byte* row = l_.shared_row(s.block, slot);
    std::vector<double> out;
    if (l_.format.coding != RowCoding::kPlain) {
      std::vector<bf16> decoded(static_cast<size_t>(l_.head_dim));
      decode_fp8_row(l_.format, row, l_.head_dim, decoded.data());
      for (bf16 x : decoded) out.push_back(to_f32(x));
      return out;
    }
    for (int64_t d = 0; d < l_.head_dim; ++d) out.push_back(element(l_.dtype, row + d * bytes()));
    return l_.dtype == DType::kI8 ? scaled(std::move(out), element<float>(row + l_.padded_dim()))
                                  : out;
  }

  // Codes are of the rotated key; turning it back gives the key.
  std::vector<double> fp4_key(const KvSegment& s, int64_t slot) const {
    const int64_t lane = slot % kPanel, first = slot - lane;
    const auto* panel = reinterpret_cast<const uint8_t*>(l_.shared_row(s.block, first));
    std::vector<float> x;
    for (int64_t i = 0; i < l_.head_dim; ++i) {
      const uint8_t code = panel[Mxfp4Blocks::kScaleBytes + Mxfp4Blocks::code_at(lane, i)];
      const float scale = mxfp4_scale(panel[i / kQuantGroup * kPanel + lane]);
      x.push_back(0.5f * scale * static_cast<float>(Mxfp4Blocks::level(code, i)));
    }
    hadamard(x.data(), l_.head_dim);
    return {x.begin(), x.end()};
  }

  const KvLayout& l_;
};

}  // namespace longhaul
