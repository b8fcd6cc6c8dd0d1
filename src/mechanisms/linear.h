// Linear layers without bias: y = W x, alone or several in one parallel region.
#pragma once

#include <initializer_list>
#include <span>

#include "mechanisms/env.h"

namespace longhaul {

// y [rows, out] = x [rows, in] * W^T; rows of x are contiguous, those of y too unless a stride is given.
struct Linear {
  WeightId weight = kNone;
  const float* x = nullptr;
  float* y = nullptr;
  int64_t rows = 0;
  int64_t y_stride = 0;  // elements; 0: as many as there are outputs
};

void linear(Env& env, std::span<const Linear> layers);
inline void linear(Env& env, std::initializer_list<Linear> layers) { linear(env, std::span(layers.begin(), layers.size())); }

// A weight of several matrices, each with inputs and outputs of its own side by side:
// y [rows, groups, out] = x [rows, groups, in] * W_g^T. All in one parallel region.
//   group  scratch for as many products as the weight has matrices
void grouped_linear(Env& env, WeightId weight, int64_t n_groups, const float* x, int64_t rows, float* y, Matmul* group);
uint64_t grouped_linear_scratch_bytes(const StepLimits& limits, int64_t n_groups, int64_t in);

// y [rows, n] += b [n]
void add_bias(const Env& env, WeightId bias, int64_t rows, int64_t n, float* y);

// Multiply-adds count twice.
inline uint64_t linear_flops(int64_t rows, int64_t out, int64_t in) {
  return 2 * static_cast<uint64_t>(rows * out) * static_cast<uint64_t>(in);
}

}  // namespace longhaul
