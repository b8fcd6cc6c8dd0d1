// Attention of query rows over a span of their keys, and how spans are put together.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/kernels.h"
#include "tensor/arena.h"

namespace longhaul {

inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Unnormalised outputs [rows, dim] with each row's maximum and sum of weights. The weight of a row
// that saw no key is 0, that of any other at least 1.
struct SoftmaxPartial {
  float* sums = nullptr;
  float* max = nullptr;
  float* weight = nullptr;

  SoftmaxPartial rows_from(int64_t row, int64_t dim) const {
    return {sums + row * dim, max + row, weight + row};
  }
  // Of no key yet; what the sums hold does not matter.
  void begin(int64_t rows) const {
    std::fill_n(max, rows, kMinusInfinity);
    std::fill_n(weight, rows, 0.0f);
  }
  void copy_to(const SoftmaxPartial& to, int64_t rows, int64_t dim) const {
    std::copy_n(sums, rows * dim, to.sums);
    std::copy_n(max, rows, to.max);
    std::copy_n(weight, rows, to.weight);
  }
};

inline SoftmaxPartial take_partial(Arena& carver, int64_t rows, int64_t dim) {
  return {carver.take<float>(rows * dim), carver.take<float>(rows), carver.take<float>(rows)};
}

// Adds a span to the spans before it, one row [dim] of each. Whether one task folds span after span
// as it goes, or spans run side by side and are folded afterwards: it is done here, in order of
// position.
void fold_row(const KernelSet& kernels, const SoftmaxPartial& span, int64_t dim,
              const SoftmaxPartial& total);

// One row's output [n]. A sink is a score without a value; no key visible gives zeros, a NaN stays
// one.
void write_row(const SoftmaxPartial& total, float sink, int64_t n, float* out);

}  // namespace longhaul
