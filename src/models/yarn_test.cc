#include "models/yarn.h"

#include <gtest/gtest.h>

#include <cmath>

#include "mechanisms/rope.h"

namespace longhaul {
namespace {

TEST(Yarn, RampOfTheReleasedDeepSeekV4) {
  const RopeRamp ramp = yarn_ramp({.theta = 160000.0, .beta_fast = 32, .beta_slow = 1, .original_max_position_embeddings = 65536}, 64);
  EXPECT_EQ(ramp.low, 15.0);
  EXPECT_EQ(ramp.high, 25.0);
}

TEST(Yarn, FrequenciesOfTheReleasedDeepSeekV4) {
  const RopeSpec spec{.n_pairs = 32,
                      .live_pairs = 32,
                      .denominator = 64,
                      .theta = 160000.0,
                      .factor = 16.0,
                      .ramp = RopeRamp{15, 25},
                      .neighbours_at_end = true};
  const std::vector<float> f = rope_frequencies(spec);
  ASSERT_EQ(f.size(), 32u);
  const std::pair<size_t, double> expected[] = {
      {0, 1.0},          {1, .687656022},     {15, .00363553858}, {16, .002265625}, {20, 2.96977778e-4},
      {24, 1.953125e-5}, {25, 5.37231267e-6}, {31, 5.68052904e-7}};
  for (const auto& [i, value] : expected) EXPECT_NEAR(f[i], value, 1e-6 * value) << i;
}

TEST(Yarn, TheRampStaysWithinTheChannels) {
  // All pairs turn often enough, or none does.
  EXPECT_EQ(yarn_ramp({.theta = 1e4, .beta_fast = 1e6, .beta_slow = 1e6, .original_max_position_embeddings = 10}, 8).low, 0.0);
  EXPECT_EQ(yarn_ramp({.theta = 10, .beta_fast = 1, .beta_slow = 1e-6, .original_max_position_embeddings = 1 << 20}, 8).high, 7.0);
  const RopeRamp point = yarn_ramp({.theta = 1e4, .beta_fast = 1e6, .beta_slow = 1e-6, .original_max_position_embeddings = 1}, 2);
  EXPECT_LT(point.low, point.high);
}

TEST(Yarn, AttentionFactorFollowsFromTheFactor) {
  EXPECT_EQ(yarn_attention_factor(1.0), 1.0);
  EXPECT_EQ(yarn_attention_factor(0.5), 1.0);
  EXPECT_NEAR(yarn_attention_factor(16.0), 1.2772588722239782, 1e-15);
}

}  // namespace
}  // namespace longhaul
