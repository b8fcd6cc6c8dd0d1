// Views of rows: where they lie and what shape they have. A view owns nothing and is cheap to copy.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "base/check.h"

namespace longhaul {

// n rows of `width` elements. Row i begins at data + i * stride; stride >= width.
// Debug builds check every index and every change of shape.
template <class T>
struct Rows {
  T* data = nullptr;
  int64_t n = 0, width = 0, stride = 0;

  Rows() = default;
  Rows(T* data_, int64_t n_, int64_t width_) : Rows(data_, n_, width_, width_) {}
  Rows(T* data_, int64_t n_, int64_t width_, int64_t stride_)
      : data(data_), n(n_), width(width_), stride(stride_) {
    LH_DCHECK(n >= 0 && width >= 0 && stride >= width);
  }
  // A view to write is one to read as well.
  template <class U>
    requires std::is_same_v<T, const U>
  Rows(const Rows<U>& rows) : Rows(rows.data, rows.n, rows.width, rows.stride) {}  // NOLINT

  T* row(int64_t i) const {
    LH_DCHECK(i >= 0 && i < n);
    return data + i * stride;
  }
  int64_t size() const { return n * width; }
  bool is_dense() const { return stride == width || n <= 1; }

  Rows slice(int64_t first, int64_t count) const {
    LH_DCHECK(first >= 0 && count >= 0 && first + count <= n);
    return {data + first * stride, count, width, stride};
  }
  Rows columns(int64_t first, int64_t count) const {
    LH_DCHECK(first >= 0 && count >= 0 && first + count <= width);
    return {data + first, n, count, stride};
  }
  // The same elements as rows of `new_width`: heads of a row, for example. Only of dense rows.
  Rows reshaped(int64_t new_width) const {
    LH_DCHECK(is_dense() && new_width > 0 && size() % new_width == 0);
    return {data, size() / new_width, new_width};
  }
};

template <class T, class U>
bool same_shape(const Rows<T>& a, const Rows<U>& b) {
  return a.n == b.n && a.width == b.width;
}

// A weight that is one row. Empty where the model has none.
using Vector = std::span<const float>;

}  // namespace longhaul
