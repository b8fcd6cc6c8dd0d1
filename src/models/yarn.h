// YaRN's ramp, as the families that use it spell it in their configs.
#pragma once

#include "arch/specs.h"

namespace longhaul {

// With theta 1 all pairs turn alike, and no pair bounds the ramp.
inline constexpr const char* kYarnNeedsTheta = "is yarn, which needs a rope_theta above 1";

struct YarnFields {
  double theta = 10000.0, beta_fast = 32, beta_slow = 1;
  int64_t original_max_position_embeddings = 4096;
};

// theta above 1. The pairs that turn beta_fast and beta_slow times within the original context bound the ramp; dim channels turn.
// Source: YaRN (Peng et al. 2023), section 3.2; rounding and clamping as in the reference implementation.
RopeRamp yarn_ramp(const YarnFields& fields, int64_t dim);
// What rotated channels are multiplied by where the config leaves it out (section 3.4).
double yarn_attention_factor(double factor);

}  // namespace longhaul
