#include "cost/forecast.h"

#include <gtest/gtest.h>

#include "cost/cost_testing.h"
#include "mechanisms/resident_weights.h"

namespace longhaul {
namespace {

constexpr double kFast = 1e30;

// Every codec at the same rates; nothing between products takes time.
MachineRates rates(double read, double flops) {
  MachineRates r{.memory_bytes_per_second = read,
                 .row_attention_flops_per_second = flops,
                 .attention_flops_per_second = flops};
  for (const Codec* codec : codecs()) r.products[codec] = {read, flops};
  return r;
}

SpeedForecast forecast_of(const Architecture& arch, const PlanRequest& request,
                          const MachineRates& r) {
  const auto plan = make_plan(arch, request);
  EXPECT_TRUE(plan.ok());
  return forecast(arch, request, *plan, r);
}

TEST(Forecast, OfAPromptIsItsFlopsWhereNothingElseTakesTime) {
  for (const char* name : kGemmaPresets) {
    SCOPED_TRACE(name);
    const Architecture arch = described(name);
    for (const int64_t context : {1000, 5000}) {
      const PlanRequest request{.context = context};
      const auto plan = make_plan(arch, request);
      const SpeedForecast f = forecast_of(arch, request, rates(kFast, 1e12));
      const double expected = static_cast<double>(plan->prefill_flops_skip) / 1e12;
      EXPECT_NEAR(f.first_token_seconds / expected, 1, 1e-6);
      EXPECT_NEAR(f.prefill_tokens_per_second * f.first_token_seconds, static_cast<double>(context),
                  1e-6 * static_cast<double>(context));
    }
  }
}

TEST(Forecast, OfATokenIsTheBytesItReads) {
  for (const char* name : kGemmaPresets) {
    SCOPED_TRACE(name);
    const Architecture arch = described(name);
    for (const int64_t batch : {1, 4}) {
      const PlanRequest request{.context = 8192, .batch = batch};
      const auto plan = make_plan(arch, request);
      const SpeedForecast f = forecast_of(arch, request, rates(1e10, kFast));
      const double expected = static_cast<double>(plan->decode_read_bytes) / 1e10;
      // The plan counts rows of tables and what is written too: less than a thousandth.
      EXPECT_NEAR(static_cast<double>(batch) / f.decode_tokens_per_second / expected, 1, 2e-3);
    }
  }
}

TEST(Forecast, TakesTheSlowerOfReadingAndMultiplying) {
  const Architecture arch = described("gemma-4-E2B");
  const PlanRequest request{.context = 4096};
  const auto both = forecast_of(arch, request, rates(1e10, 1e12)),
             read = forecast_of(arch, request, rates(1e10, kFast)),
             work = forecast_of(arch, request, rates(kFast, 1e12));
  EXPECT_LE(both.decode_tokens_per_second,
            std::min(read.decode_tokens_per_second, work.decode_tokens_per_second));
  EXPECT_GE(both.first_token_seconds, std::max(read.first_token_seconds, work.first_token_seconds));
  MachineRates with_calls = rates(1e10, 1e12);
  with_calls.seconds_per_call = 1e-4;
  with_calls.seconds_per_element = 1e-9;
  const auto slower = forecast_of(arch, request, with_calls);
  EXPECT_LT(slower.decode_tokens_per_second, both.decode_tokens_per_second);
  EXPECT_LT(slower.prefill_tokens_per_second, both.prefill_tokens_per_second);
}

// Two tokens that go to different experts read twice as many.
TEST(Forecast, ReadsTheExpertsThatRowsAreExpectedToChoose) {
  const Architecture arch = described("gemma-4-26B-A4B");
  const PlanRequest request{.context = 4096};
  const auto f = forecast_of(arch, request, rates(1e10, kFast));
  const double all = static_cast<double>(resident_weight_bytes(arch, request.weights)) / 1e10;
  EXPECT_LT(1 / f.decode_tokens_per_second, all / 3);
  EXPECT_GT(f.first_token_seconds, 0.9 * 8 * all);  // eight chunks, each of nearly all experts
}

TEST(CodecWork, NamesTheShapeThatMostBytesHave) {
  const Architecture arch = described("gemma-4-E2B");
  for (const WeightFormat& format : {WeightFormat::kBF16, WeightFormat(kQ4Codec)}) {
    uint64_t bytes = 0, vectors = 0;
    for (const CodecWork& work : codec_work(arch, format)) {
      EXPECT_GT(work.rows * work.cols, 0);
      bytes += work.bytes;
    }
    for_each_weight(arch, [&](WeightId id) {
      if (!arch.weight(id).is_matrix()) vectors += resident_bytes(arch.weight(id), format);
    });
    EXPECT_EQ(bytes + vectors, resident_weight_bytes(arch, format));
  }
}

}  // namespace
}  // namespace longhaul
