#include "mechanisms/rope.h"

#include <algorithm>
#include <cmath>

namespace longhaul {

// How far pair i is divided by the factor, 0 to 1.
static float slowed_share(const RopeSpec& spec, int64_t i) {
  if (!spec.ramp) return 1.0f;
  const auto low = static_cast<float>(spec.ramp->low);
  const float share =
      (static_cast<float>(i) - low) / static_cast<float>(spec.ramp->high - spec.ramp->low);
  return std::clamp(share, 0.0f, 1.0f);
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

}  // namespace longhaul
