#include "mechanisms/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace longhaul {

namespace {

// Each step rounds to f32 as the reference's does.
class Frequency {
 public:
  Frequency(const RopeSpec& spec, int64_t n_tokens) : s_(spec), n_tokens_(n_tokens) {}

  float of_pair(int64_t i) const {
    return std::visit([&](const auto& stretch) { return stretched(i, stretch); }, s_.stretch);
  }

 private:
  // Positions that pair i takes to turn by one radian.
  float period(int64_t i, float theta) const { return std::pow(theta, static_cast<float>(2 * i) / static_cast<float>(s_.denominator)); }
  float plain(int64_t i) const { return 1.0f / period(i, theta()); }
  float theta() const { return static_cast<float>(s_.theta); }
  float factor() const { return static_cast<float>(s_.factor); }

  float stretched(int64_t i, const EvenStretch&) const { return plain(i) / factor(); }

  float stretched(int64_t i, const RopeRamp& ramp) const {
    const float along = (static_cast<float>(i) - static_cast<float>(ramp.low)) / static_cast<float>(ramp.high - ramp.low);
    const float kept = 1.0f - std::clamp(along, 0.0f, 1.0f);
    return 1.0f / (factor() * period(i, theta())) * (1.0f - kept) + plain(i) * kept;
  }

  float stretched(int64_t i, const RopeBands& bands) const {
    constexpr auto kTurn = static_cast<float>(2 * std::numbers::pi);
    const auto original = static_cast<double>(bands.original);
    const float fast = plain(i), wave = kTurn / fast;
    const auto longest = static_cast<float>(original / bands.low_frequency), shortest = static_cast<float>(original / bands.high_frequency);
    if (wave > longest) return fast / factor();
    if (wave < shortest) return fast;
    const float kept = (static_cast<float>(original) / wave - static_cast<float>(bands.low_frequency)) /
                       static_cast<float>(bands.high_frequency - bands.low_frequency);
    return (1.0f - kept) * fast / factor() + kept * fast;
  }

  float stretched(int64_t i, const RopeGrowth& growth) const {
    if (n_tokens_ <= growth.limit) return plain(i);
    const float share = factor() * static_cast<float>(n_tokens_) / static_cast<float>(growth.limit) - static_cast<float>(s_.factor - 1.0);
    const double power = static_cast<double>(s_.denominator) / static_cast<double>(s_.denominator - 2);
    return 1.0f / period(i, theta() * std::pow(share, static_cast<float>(power)));
  }

  float stretched(int64_t i, const RopeDivisors& d) const {
    const std::vector<float>& divisors = n_tokens_ > d.limit ? d.long_text : d.short_text;
    return 1.0f / (divisors[static_cast<size_t>(i)] * period(i, theta()));
  }

  const RopeSpec& s_;
  int64_t n_tokens_;
};

void fill(const RopeSpec& spec, int64_t n_tokens, std::vector<float>& frequencies) {
  const Frequency frequency(spec, n_tokens);
  for (int64_t i = 0; i < spec.live_pairs; ++i) frequencies[static_cast<size_t>(i)] = frequency.of_pair(i);
}

}  // namespace

std::vector<float> rope_frequencies(const RopeSpec& spec, int64_t n_tokens) {
  std::vector<float> f(static_cast<size_t>(spec.n_pairs), 0.0f);
  fill(spec, n_tokens, f);
  return f;
}

const std::vector<float>& RopeFrequencies::in_text_of(int64_t n_tokens) {
  if (spec_.follows_length() && n_tokens != n_tokens_) {
    fill(spec_, n_tokens, values_);
    n_tokens_ = n_tokens;
  }
  return values_;
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
