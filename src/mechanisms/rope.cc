#include "mechanisms/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

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
  float period(int64_t i, float theta) const {
    return std::pow(theta, static_cast<float>(2 * i) / static_cast<float>(s_.denominator));
  }
  float plain(int64_t i) const { return 1.0f / period(i, theta()); }
  float theta() const { return static_cast<float>(s_.theta); }
  float factor() const { return static_cast<float>(s_.factor); }

  float stretched(int64_t i, const EvenStretch&) const { return plain(i) / factor(); }

  float stretched(int64_t i, const RopeRamp& ramp) const {
    const float along = (static_cast<float>(i) - static_cast<float>(ramp.low)) /
                        static_cast<float>(ramp.high - ramp.low);
    const float kept = 1.0f - std::clamp(along, 0.0f, 1.0f);
    return 1.0f / (factor() * period(i, theta())) * (1.0f - kept) + plain(i) * kept;
  }

  float stretched(int64_t i, const RopeBands& bands) const {
    constexpr auto kTurn = static_cast<float>(2 * std::numbers::pi);
    const auto original = static_cast<double>(bands.original);
    const float fast = plain(i), wave = kTurn / fast;
    const auto longest = static_cast<float>(original / bands.low_frequency),
               shortest = static_cast<float>(original / bands.high_frequency);
    if (wave > longest) return fast / factor();
    if (wave < shortest) return fast;
    const float kept =
        (static_cast<float>(original) / wave - static_cast<float>(bands.low_frequency)) /
        static_cast<float>(bands.high_frequency - bands.low_frequency);
    return (1.0f - kept) * fast / factor() + kept * fast;
  }

  float stretched(int64_t i, const RopeGrowth& growth) const {
    if (n_tokens_ <= growth.limit) return plain(i);
    const float share =
        factor() * static_cast<float>(n_tokens_) / static_cast<float>(growth.limit) -
        static_cast<float>(s_.factor - 1.0);
    const double power =
        static_cast<double>(s_.denominator) / static_cast<double>(s_.denominator - 2);
    return 1.0f / period(i, theta() * std::pow(share, static_cast<float>(power)));
  }

  float stretched(int64_t i, const RopeDivisors& d) const {
    const std::vector<float>& divisors = n_tokens_ > d.limit ? d.long_text : d.short_text;
    return 1.0f / (divisors[static_cast<size_t>(i)] * period(i, theta()));
  }

  const RopeSpec& s_;
  int64_t n_tokens_;
};

}  // namespace

void rope_frequencies(const RopeSpec& spec, int64_t n_tokens, std::span<float> out) {
  const Frequency frequency(spec, n_tokens);
  std::fill(out.begin(), out.end(), 0.0f);
  for (int64_t i = 0; i < spec.live_pairs; ++i) {
    out[static_cast<size_t>(i)] = frequency.of_pair(i);
  }
}

std::vector<float> rope_frequencies(const RopeSpec& spec, int64_t n_tokens) {
  std::vector<float> f(static_cast<size_t>(spec.n_pairs));
  rope_frequencies(spec, n_tokens, f);
  return f;
}

}  // namespace longhaul
