#include "runtime/rope_frequencies.h"

#include <gtest/gtest.h>

namespace longhaul {
namespace {

TEST(RopeFrequencies, FollowTheLengthOfTheText) {
  const RopeSpec longrope{.n_pairs = 4,
                          .live_pairs = 3,
                          .denominator = 8,
                          .theta = 100.0,
                          .factor = 4.0,
                          .stretch = RopeDivisors{{1, 1, 2}, {2, 3, 4}, 10}};
  RopeFrequencies kept(longrope);
  EXPECT_NE(rope_frequencies(longrope, 11), rope_frequencies(longrope, 10));
  for (const int64_t n : {11, 10, 10, 12}) {
    EXPECT_EQ(kept.in_text_of(n), rope_frequencies(longrope, n)) << n;
  }
}

}  // namespace
}  // namespace longhaul
