// Manifold-constrained hyper-connections: a residual stream of n rows a token, x [n, D].
//
//   z = fn x / rms(x), x as one vector of n D
//   a = sigmoid(s0 z[0..n) + base) + eps                                   reading
//   b = 2 sigmoid(s1 z[n..2n) + base)                                      writing
//   C = sinkhorn(softmax_k(s2 z[2n + n j + k] + base) + eps)               mixing
//   block input u = sum_j a_j x_j                  x'_k = b_k y + sum_j C_jk x_j
// Sinkhorn: columns are divided by their sums (+ eps), then rows and columns in turn, iters - 1
// times (Sinkhorn & Knopp 1967).
// Source: Xie et al. 2026 (arXiv 2512.24880), section 4; order of the coefficients and of the
// normalisations as in the reference implementation.
#pragma once

#include "arch/architecture.h"
#include "mechanisms/env.h"

namespace longhaul {

// The streams of a step and what blocks read from them. n = n_streams.
struct HyperStreams {
  Rows<float> x;             // [rows, n * D]
  Rows<float> coefficients;  // [rows, (2 + n) n]: of the block that read last
  Rows<float> input;         // [rows, D] what it reads

  int64_t n() const { return x.width / input.width; }
};

// Writes what a block gave (y [rows, D], empty: nothing to write) by the coefficients at hand, then
// reads for the next: makes its coefficients and its input. The last reader is the head, which only
// reads.
void hyper_connect(Env& env, Rows<const float> y, const HyperResidual& next,
                   const HyperStreams& streams);
void hyper_connect(Env& env, Rows<const float> y, const HyperCollapse& head,
                   const HyperStreams& streams);

// Of one row: the weighted sum that a block or the head reads, and what writing back takes.
// Products with fn are counted as weights.
inline uint64_t hyper_read_flops(int64_t n, int64_t d) { return 2 * static_cast<uint64_t>(n * d); }
inline uint64_t hyper_write_flops(int64_t n, int64_t d) {
  return 2 * static_cast<uint64_t>(n * d) + 2 * static_cast<uint64_t>(n * n * d);
}

}  // namespace longhaul
