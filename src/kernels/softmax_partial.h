// Attention of query rows over a part of their keys, and how parts are put together.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernels.h"
#include "kernels/scratch.h"

namespace longhaul {

inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// Unnormalised outputs [rows, dim] with each row's running maximum and sum.
struct SoftmaxPartial {
  float* sums = nullptr;
  float* max = nullptr;
  float* weight = nullptr;

  SoftmaxPartial rows_from(int64_t row, int64_t dim) const { return {sums + row * dim, max + row, weight + row}; }
  void clear(int64_t rows, int64_t dim) const {
    std::fill_n(sums, rows * dim, 0.0f);
    std::fill_n(max, rows, kMinusInfinity);
    std::fill_n(weight, rows, 0.0f);
  }
  void copy_to(const SoftmaxPartial& to, int64_t rows, int64_t dim) const {
    std::copy_n(sums, rows * dim, to.sums);
    std::copy_n(max, rows, to.max);
    std::copy_n(weight, rows, to.weight);
  }
};

inline SoftmaxPartial take_partial(ScratchCarver& carver, int64_t rows, int64_t dim) {
  return {carver.take<float>(rows * dim), carver.take<float>(rows), carver.take<float>(rows)};
}

// No key visible gives zeros; a NaN weight stays one.
inline float inverse_weight(float weight) { return weight == 0.0f ? 0.0f : 1.0f / weight; }

// Rows that one thread merges at a time: few rows of few parts are merged sooner by the caller than shared out.
inline int64_t merged_rows_per_chunk(int64_t parts, int64_t dim) {
  constexpr int64_t kElements = 16384;
  return std::max<int64_t>(1, kElements / std::max<int64_t>(1, parts * dim));
}

// One row's output [n] from its parts, which stand `stride` rows apart (at most kMaxSplits of them); a sink is a score without a value.
inline constexpr int64_t kMaxSplits = 16;

inline void merge_parts(const KernelSet& kernels, const SoftmaxPartial& first, int64_t parts, int64_t stride, int64_t dim, float sink,
                        int64_t n, float* out) {
  float max = sink;
  for (int64_t s = 0; s < parts; ++s) max = std::max(max, first.max[s * stride]);
  float factors[kMaxSplits];
  float weight = sink == kMinusInfinity ? 0.0f : std::exp(sink - max);
  for (int64_t s = 0; s < parts; ++s) {
    const float own_max = first.max[s * stride];
    factors[s] = own_max == max ? 1.0f : std::exp(own_max - max);
    weight += factors[s] * first.weight[s * stride];
  }
  std::fill_n(out, n, 0.0f);
  for (int64_t s = 0; s < parts; ++s) kernels.add_scaled(out, first.sums + s * stride * dim, factors[s] * inverse_weight(weight), n);
}

}  // namespace longhaul
