// What the forms of attention do with a row of queries, scores or weights, in f32 and in bf16
// alike.
#pragma once

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/softmax_partial.h"
#include "kernels/kernels.h"
#include "kernels/kv/kv_layout.h"
#include "kernels/kv/row_coding.h"
#include "kernels/kv/spans.h"

namespace longhaul {

// Elements [n] as the products take them, padded with zeros.
template <class Element>
void load_row(const KernelSet& kernels, const float* query, int64_t n, int64_t padded,
              Element* out) {
  if constexpr (std::is_same_v<Element, float>) {
    std::copy_n(query, n, out);
  } else {
    kernels.to_bf16(query, n, out);
  }
  std::fill(out + n, out + padded, Element{});
}

template <class Element>
void multiply(const KernelSet& kernels, const MatmulTile& tile) {
  std::is_same_v<Element, float> ? kernels.matmul_f32(tile) : kernels.matmul_bf16(tile);
}

// The query [head_dim] of keys in this layout, padded: rotated where they are.
template <class Element>
void load_query(const KernelSet& kernels, const KvLayout& layout, const float* query,
                Element* out) {
  const int64_t n = layout.head_dim, padded = layout.padded_dim();
  if (!layout.is_rotated()) return load_row(kernels, query, n, padded, out);
  for_rotated_runs(query, n, [&](int64_t first, std::span<const float> run) {
    load_row(kernels, run.data(), std::ssize(run), std::ssize(run), out + first);
  });
  std::fill(out + n, out + padded, Element{});
}

// What a row's softmax over values of this layout has come to, [head_dim].
inline void write_attention(const KvLayout& layout, const SoftmaxPartial& total, float sink,
                            float* out) {
  write_row(total, sink, layout.head_dim, out);
  if (layout.is_rotated()) rotate_row(out, layout.head_dim);
}

// Scales by column of a tile of coded keys and values: a key's belongs to its score, a value's to
// its weight.
struct TileScales {
  const float *keys = nullptr, *values = nullptr;  // null: there are none
  float* row_weights = nullptr;                    // a row's weights before they are rounded
};

// Scores [n] of a row become weights, 0 beyond the columns that it sees; max and sum are the row's
// so far. Returns the factor that what was summed so far must take.
template <class Element>
float weigh_row(const KernelSet& kernels, float* scores, int64_t n, Range seen, float scale,
                const TileScales& scales, float* max, float* sum, Element* weights) {
  const int64_t begin = std::clamp<int64_t>(seen.begin, 0, n),
                end = std::clamp<int64_t>(seen.end, begin, n);
  if (scales.keys != nullptr) {
    kernels.scale_by(scores + begin, scales.keys + begin, end - begin);
    const float factor =
        kernels.softmax_step(scores, n, begin, end, scale, max, sum, scales.row_weights);
    kernels.scale_by(scales.row_weights + begin, scales.values + begin, end - begin);
    load_row(kernels, scales.row_weights, n, n, weights);
    return factor;
  }
  if constexpr (std::is_same_v<Element, float>) {
    return kernels.softmax_step(scores, n, begin, end, scale, max, sum, weights);
  } else {
    return kernels.softmax_step_bf16(scores, n, begin, end, scale, max, sum, weights);
  }
}

// What a Problem of SpanTasks is where a span's results are a part of a softmax.
class SoftmaxProblem {
 public:
  using Partial = SoftmaxPartial;

  SoftmaxProblem(const KernelSet& kernels, int64_t dim) : kernels_(kernels), dim_(dim) {}

  Partial take_partial(Arena& carver, int64_t rows) const {
    return longhaul::take_partial(carver, rows, dim_);
  }
  Partial rows_from(const Partial& partial, int64_t row) const {
    return partial.rows_from(row, dim_);
  }
  int64_t elements_per_row() const { return dim_; }
  void fold(const Partial& span, const Partial& total) const {
    fold_row(kernels_, span, dim_, total);
  }

 protected:
  // A block's spans one after another: attend(i, partial) gives the i-th, into memory of `span` for
  // all but the first.
  template <class Attend>
  void attend_spans(int64_t n_spans, int64_t rows, const Partial& total, const Partial& span,
                    const Attend& attend) const {
    attend(0, total);
    for (int64_t i = 1; i < n_spans; ++i) {
      attend(i, span);
      for (int64_t r = 0; r < rows; ++r) fold(rows_from(span, r), rows_from(total, r));
    }
  }

  const KernelSet& kernels_;
  const int64_t dim_;
};

}  // namespace longhaul
