#include "kernels/kv/spans.h"

#include <gtest/gtest.h>

namespace longhaul {
namespace {

constexpr int64_t kFar = int64_t{1} << 40;

TEST(Spans, FollowOneAnotherWithoutAGap) {
  for (const Spans spans :
       {Spans::growing(512), Spans::growing(2048), Spans::of_window(1), Spans::of_window(5000)}) {
    int64_t end = 0;
    for (int64_t span = 0; span < 150; ++span) {
      const Range range = spans.at(span);
      ASSERT_EQ(range.begin, end) << span;
      ASSERT_GT(range.end, range.begin);
      end = range.end;
    }
  }
}

TEST(Spans, HoldThePositionsThatTheyNumber) {
  for (const Spans spans : {Spans::growing(512), Spans::growing(256), Spans::of_window(128),
                            Spans::of_window(1 << 20)}) {
    for (int64_t position = 0; position < kFar; position += position / 997 + 1) {
      const Range range = spans.at(spans.of(position));
      ASSERT_TRUE(range.begin <= position && position < range.end) << position;
    }
  }
}

// So that one thread's span never outweighs what the others have, and that folding them costs
// little.
TEST(Spans, GrowWithWhatLiesBeforeThem) {
  const Spans spans = Spans::growing(512);
  for (int64_t span = 0; spans.at(span).begin < kFar; ++span) {
    const Range range = spans.at(span);
    EXPECT_EQ(range.begin % 256, 0);
    EXPECT_LE(range.size(), std::max<int64_t>(512, range.begin / 8)) << span;
    EXPECT_GE(range.size() * 16, range.begin) << span;
  }
  EXPECT_EQ(spans.of((1 << 20) - 1) + 1, 73) << "a million positions";
}

TEST(Spans, OfAWindowAreAFew) {
  for (int64_t window : {1, 2, 128, 255, 512, 513, 1024, 4096, 100000, 1 << 20}) {
    const Spans spans = Spans::of_window(window);
    EXPECT_EQ(spans.at(3).size(), spans.at(70000).size());
    EXPECT_EQ(spans.at(0).size() % 256, 0);
    EXPECT_LE(window / spans.at(0).size(), 8) << window;
  }
}

}  // namespace
}  // namespace longhaul
