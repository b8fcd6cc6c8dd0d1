// Linear layers without bias: y = W x, alone or several in one parallel region.
#pragma once

#include <initializer_list>
#include <span>

#include "mechanisms/env.h"

namespace longhaul {

// y [n, out] = x [n, in] * W^T
struct Linear {
  WeightId weight = kNone;
  Rows<const float> x;
  Rows<float> y;
};

// At most kMaxLinears; those without rows are left out.
inline constexpr size_t kMaxLinears = 8;
void linear(Env& env, std::span<const Linear> layers);
inline void linear(Env& env, std::initializer_list<Linear> layers) {
  linear(env, std::span(layers.begin(), layers.size()));
}

// A weight of several matrices, each with inputs and outputs of its own side by side:
// y [n, groups, out] = x [n, groups, in] * W_g^T
void grouped_linear(Env& env, WeightId weight, int64_t n_groups, Rows<const float> x,
                    Rows<float> y);

inline void add_bias(const Env& env, WeightId bias, Rows<float> y) {
  env.ops->add_vector(env.weights->vector(bias), y);
}

// Multiply-adds count twice.
inline uint64_t linear_flops(int64_t rows, int64_t out, int64_t in) {
  return 2 * static_cast<uint64_t>(rows * out) * static_cast<uint64_t>(in);
}

}  // namespace longhaul
