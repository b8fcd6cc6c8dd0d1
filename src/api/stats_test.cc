#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "longhaul/generate.h"

namespace longhaul {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// vmlx-swift #143, tabbyAPI #7, mlx-engine #92: a speed of nothing was negative, infinite or no
// number.
TEST(Stats, TellsNoSpeedWhereThereIsNone) {
  for (const int64_t tokens : {0, 1}) {
    for (const double seconds : {0.0, 1e-6}) {
      RunStats stats;
      stats.timings = {.generated_tokens = tokens, .decode_seconds = seconds};
      EXPECT_EQ(stats.timings.decode_tokens_per_second(), 0) << tokens << " tokens in " << seconds;
      EXPECT_EQ(stats.timings.prefill_tokens_per_second(), 0);
      EXPECT_THAT(to_json(stats), HasSubstr("\"decode_tokens_per_second\": 0.0,"));
      EXPECT_THAT(to_text(stats), Not(HasSubstr("tokens/s")));
    }
  }
}

TEST(Stats, TheFirstTokenComesOutOfThePrefill) {
  RunStats stats;
  stats.timings = {.generated_tokens = 3, .decode_seconds = 0.5};
  EXPECT_EQ(stats.timings.decode_tokens_per_second(), 4);
  EXPECT_THAT(to_text(stats),
              HasSubstr("decode        3 tokens     0.500 s        4.0 tokens/s\n"));
}

}  // namespace
}  // namespace longhaul
