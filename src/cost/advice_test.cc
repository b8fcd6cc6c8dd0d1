#include "cost/advice.h"

#include <gmock/gmock.h>

#include "cost/fit_report.h"
#include "cost/report_text.h"

namespace longhaul {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kGiB = uint64_t{1} << 30;

FitRow row(const char* weights, const char* kv, int64_t context, uint64_t gib, double speed,
           double error) {
  return {.weights = weights,
          .kv = kv,
          .context = context,
          .is_natural = weights == std::string("bf16"),
          .rounding_error = error,
          .total_bytes = gib * kGiB,
          .speed = SpeedForecast{10, 100, speed}};
}

// bf16 needs 20 and 24 GiB, q8 11 and 15, q4 6 and 10; a cache in 8 bits a GiB less.
FitTable table(uint64_t memory_gib, double speed) {
  FitTable t{.model = "m", .memory = memory_gib * kGiB, .contexts = {4096, 32768}};
  const struct {
    const char* name;
    uint64_t gib;
    double error, faster;
  } formats[] = {{"f32", 40, 0, 1}, {"bf16", 20, 0, 1}, {"q8", 11, 0.006, 2}, {"q4", 6, 0.08, 4}};
  for (const auto& f : formats) {
    for (const char* kv : {"bf16", "q8", "f32"}) {
      const uint64_t less = kv == std::string("q8") ? 1 : 0;
      t.rows.push_back(row(f.name, kv, 4096, f.gib - less, speed * f.faster, f.error));
      t.rows.push_back(row(f.name, kv, 32768, f.gib + 4 - less, speed * f.faster, f.error));
    }
  }
  for (FitRow& r : t.rows) r.fits = r.total_bytes <= t.memory;
  return t;
}

std::string taken(FitTable t, int64_t context = 32768) {
  advise(t, context);
  if (!t.recommended) return "none";
  const FitRow& r = t.rows[*t.recommended];
  return r.weights + " " + r.kv + " " + std::to_string(r.context);
}

TEST(Advice, TakesTheLeastRoundingThatFits) {
  EXPECT_EQ(taken(table(64, 10)), "bf16 bf16 32768");
  EXPECT_EQ(taken(table(23, 10)), "bf16 q8 32768");
  EXPECT_EQ(taken(table(16, 10)), "q8 bf16 32768");
  EXPECT_EQ(taken(table(14, 10)), "q8 q8 32768");
  EXPECT_EQ(taken(table(10, 10)), "q4 bf16 32768");
}

TEST(Advice, TakesWhatIsReadAsFastAsPeopleRead) {
  EXPECT_EQ(taken(table(64, 3)), "q8 bf16 32768");
  EXPECT_EQ(taken(table(64, 2)), "q4 bf16 32768");
  // None does: the fastest.
  EXPECT_EQ(taken(table(64, 0.5)), "q4 bf16 32768");
}

TEST(Advice, GoesBackToAShorterContextAndSaysWhy) {
  FitTable t = table(8, 10);
  EXPECT_EQ(taken(t), "q4 bf16 4096");
  advise(t, 32768);
  EXPECT_THAT(t.advice, HasSubstr("Nothing fits 8.00 GiB at 32K of context. Take q4"));
}

TEST(Advice, SaysWhatWouldHaveToBeThere) {
  FitTable t = table(2, 10);
  advise(t, 32768);
  EXPECT_EQ(t.recommended, std::nullopt);
  EXPECT_THAT(t.advice, HasSubstr("q4 weights with a q8 cache at 4K is the smallest, and needs 5"));
}

TEST(Advice, SaysWhatWasInTheWayOfTheFinerOne) {
  FitTable t = table(16, 10);
  advise(t, 32768);
  EXPECT_THAT(t.advice, HasSubstr("bf16 weights with a bf16 cache would need 24.0 GiB."));
  EXPECT_THAT(t.advice, HasSubstr("--weights q8"));
}

TEST(FitReport, StaysWithin100Columns) {
  FitTable t = table(16, 10);
  t.contexts = {4096, 32768};
  advise(t, 32768);
  const std::string text = fit_report(t);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    EXPECT_LE(end - at, 100u) << text.substr(at, end - at);
    at = end + 1;
  }
}

TEST(FitReport, WritesDurationsShortly) {
  EXPECT_EQ(duration_text(0.0412), "41 ms");
  EXPECT_EQ(duration_text(0.9996), "1.0 s");
  EXPECT_EQ(duration_text(9.96), "10 s");
  EXPECT_EQ(duration_text(99.6), "2min");
  EXPECT_EQ(duration_text(5970), "1.7 h");
}

TEST(Wrapped, LaterLinesStandUnderTheFirstWord) {
  EXPECT_EQ(wrapped("a few words"), "a few words");
  const std::string word(60, 'w');
  EXPECT_EQ(wrapped(word + " " + word), word + "\n" + word);
  EXPECT_EQ(wrapped(word + " x " + word, 4), word + " x\n    " + word);
  EXPECT_EQ(wrapped("one line\nanother", 2), "one line\n  another");
  const std::string too_long(120, 'w');
  EXPECT_EQ(wrapped("x " + too_long, 2), "x\n  " + too_long);
}

}  // namespace
}  // namespace longhaul
