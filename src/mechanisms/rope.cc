#include "mechanisms/rope.h"

#include <cmath>

namespace longhaul {

std::vector<float> rope_frequencies(const RopeSpec& spec) {
  std::vector<float> f(static_cast<size_t>(spec.n_pairs), 0.0f);
  for (int64_t i = 0; i < spec.live_pairs; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(spec.denominator);
    f[static_cast<size_t>(i)] = 1.0f / std::pow(static_cast<float>(spec.theta), exponent) / static_cast<float>(spec.factor);
  }
  return f;
}

void fill_rope_table(const Env& env, const std::vector<float>& frequencies, std::span<const int64_t> positions, float* cos, float* sin) {
  const auto n = static_cast<int64_t>(frequencies.size());
  for_rows(env, static_cast<int64_t>(positions.size()), 16 * n, [&](int64_t row) {
    const auto position = static_cast<float>(positions[static_cast<size_t>(row)]);
    for (int64_t i = 0; i < n; ++i) {
      const float angle = position * frequencies[static_cast<size_t>(i)];
      cos[row * n + i] = std::cos(angle);
      sin[row * n + i] = std::sin(angle);
    }
  });
}

void rope(const Env& env, const RopeSpec& spec, const RopeTable& table, int64_t n_rows, int64_t n_heads, int64_t head_dim, float* x) {
  for_rows(env, n_rows, n_heads * head_dim, [&](int64_t row) {
    for (int64_t head = 0; head < n_heads; ++head) {
      env.kernels().rope(x + (row * n_heads + head) * head_dim, table.cos + row * spec.n_pairs, table.sin + row * spec.n_pairs, spec.n_pairs);
    }
  });
}

}  // namespace longhaul
