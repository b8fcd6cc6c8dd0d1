#include "mechanisms/rope.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace longhaul {

// How far pair i is divided by the factor, 0 to 1.
static float slowed_share(const RopeSpec& spec, int64_t i) {
  if (!spec.ramp) return 1.0f;
  return std::clamp((static_cast<float>(i) - static_cast<float>(spec.ramp->low)) / static_cast<float>(spec.ramp->high - spec.ramp->low),
                    0.0f, 1.0f);
}

std::vector<float> rope_frequencies(const RopeSpec& spec) {
  std::vector<float> f(static_cast<size_t>(spec.n_pairs), 0.0f);
  for (int64_t i = 0; i < spec.live_pairs; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(spec.denominator);
    const float fast = 1.0f / std::pow(static_cast<float>(spec.theta), exponent);
    const float slow = fast / static_cast<float>(spec.factor), share = slowed_share(spec, i);
    f[static_cast<size_t>(i)] = slow * share + fast * (1.0f - share);
  }
  return f;
}

void fill_rope_table(const Env& env, const RopeSpec& spec, const std::vector<float>& frequencies, std::span<const int64_t> positions,
                     float* cos, float* sin) {
  const auto n = static_cast<int64_t>(frequencies.size());
  for_rows(env, static_cast<int64_t>(positions.size()), 16 * n, [&](int64_t row) {
    const auto position = static_cast<float>(positions[static_cast<size_t>(row)]);
    for (int64_t i = 0; i < n; ++i) {
      const float angle = position * frequencies[static_cast<size_t>(i)];
      cos[row * n + i] = std::cos(angle) * spec.attention_factor;
      sin[row * n + i] = std::sin(angle) * spec.attention_factor;
    }
  });
}

// x: the channels that turn, pair after pair. direction: 1, or -1 to turn back.
static void turn_neighbours(float* x, const float* cos, const float* sin, int64_t n_pairs, float direction) {
  for (int64_t i = 0; i < n_pairs; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1], s = direction * sin[i];
    x[2 * i] = a * cos[i] - b * s;
    x[2 * i + 1] = b * cos[i] + a * s;
  }
}

static void turn_ends(const Env& env, const RopeSpec& spec, const RopeTable& table, int64_t n_rows, int64_t n_heads, int64_t head_dim,
                      float direction, float* x) {
  const int64_t n = spec.n_pairs;
  for_rows(env, n_rows, 2 * n_heads * n, [&](int64_t row) {
    for (int64_t head = 0; head < n_heads; ++head) {
      float* end = x + (row * n_heads + head + 1) * head_dim;
      turn_neighbours(end - 2 * n, table.cos + row * n, table.sin + row * n, n, direction);
    }
  });
}

void rope_back(const Env& env, const RopeSpec& spec, const RopeTable& table, int64_t n_rows, int64_t n_heads, int64_t head_dim, float* x) {
  LH_CHECK(spec.neighbours_at_end);
  turn_ends(env, spec, table, n_rows, n_heads, head_dim, -1.0f, x);
}

void rope(const Env& env, const RopeSpec& spec, const RopeTable& table, int64_t n_rows, int64_t n_heads, int64_t head_dim, float* x) {
  if (spec.neighbours_at_end) return turn_ends(env, spec, table, n_rows, n_heads, head_dim, 1.0f, x);
  for_rows(env, n_rows, n_heads * head_dim, [&](int64_t row) {
    for (int64_t head = 0; head < n_heads; ++head) {
      env.kernels().rope(x + (row * n_heads + head) * head_dim, table.cos + row * spec.n_pairs, table.sin + row * spec.n_pairs,
                         spec.n_pairs);
    }
  });
}

}  // namespace longhaul
