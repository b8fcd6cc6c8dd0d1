// Rows of `plan --fit` are plans: the same bytes as plan() of the same request.
#include "longhaul/fit.h"

#include <gmock/gmock.h>

#include <set>

#include "base/json.h"
#include "formats/formats_testing.h"
#include "longhaul/checkpoint.h"
#include "testing/gguf_checkpoint.h"

namespace longhaul::testing {
namespace {

using ::testing::ElementsAre;

std::string demo() { return LH_SOURCE_DIR "/models/demo"; }

FitTable fit_of(const std::string& model, const FitOptions& options) {
  auto table = fit(model, options);
  EXPECT_TRUE(table.ok()) << (table.ok() ? "" : table.error().text());
  return table.ok() ? std::move(*table) : FitTable{};
}

std::vector<std::string> weights_of(const FitTable& table) {
  std::vector<std::string> names;
  for (const FitRow& row : table.rows) {
    if (names.empty() || names.back() != row.weights) names.push_back(row.weights);
  }
  return names;
}

// A plan of each row's request, at the same memory.
void expect_plans(const std::string& model, const FitTable& table, PlanOptions options) {
  EXPECT_FALSE(table.rows.empty());
  for (const FitRow& row : table.rows) {
    SCOPED_TRACE(row.weights + " " + row.kv + " " + std::to_string(row.context));
    options.weights = *parse_weights(row.weights);
    options.kv = *parse_cache(row.kv);
    options.context = row.context;
    const auto priced = plan(model, options);
    ASSERT_TRUE(priced.ok()) << priced.error().text();
    EXPECT_EQ(row.total_bytes, priced->total_bytes);
    EXPECT_EQ(row.weight_bytes, priced->weight_bytes);
    EXPECT_EQ(row.state_bytes, priced->state_bytes);
    EXPECT_EQ(row.scratch_bytes, priced->scratch_bytes);
    EXPECT_EQ(row.mapped_bytes, priced->weight_bytes_mapped);
    EXPECT_EQ(row.fits, priced->total_bytes <= options.memory);
  }
}

class Fit : public ::testing::TestWithParam<const char*> {};

TEST_P(Fit, RowsAreThePlansOfTheirRequests) {
  const FitOptions options{.plan = {.memory = uint64_t{12} << 30, .threads = 2}, .measure = false};
  expect_plans(GetParam(), fit_of(GetParam(), options), options.plan);
}

TEST_P(Fit, RowsHaveTheInputsThatWereAskedFor) {
  const FitOptions options{
      .plan = {.inputs = InputPrecision::k12Bits, .memory = uint64_t{12} << 30, .threads = 2},
      .measure = false};
  expect_plans(GetParam(), fit_of(GetParam(), options), options.plan);
}

INSTANTIATE_TEST_SUITE_P(Models, Fit,
                         ::testing::Values("gemma-4-E2B", "gemma-4-26B-A4B", "laguna-xs.2",
                                           "zaya1-8b", "deepseek-v4-flash",
                                           LH_SOURCE_DIR "/models/demo"));

TEST(FitOfFiles, ShowsTheFormatsThatTheFilesCanBeReadIn) {
  const TemporaryFolder folder;
  const FitOptions options{.plan = {.memory = uint64_t{1} << 30, .threads = 1}, .measure = false};
  EXPECT_THAT(weights_of(fit_of(demo(), options)), ElementsAre("f32", "bf16", "q8", "q4"));
  const std::string packed = folder.path() + "/q8";
  ASSERT_TRUE(quantize(demo(), packed, {.weights = WeightPrecision::kQ8}).ok());
  const FitTable table = fit_of(packed, options);
  EXPECT_THAT(weights_of(table), ElementsAre("q8"));
  EXPECT_TRUE(table.rows.front().is_natural);
  expect_plans(packed, table, options.plan);
  const std::string file = write_gguf(read_golden("gemma/e2b"), folder.path() + "/model.gguf");
  expect_plans(file, fit_of(file, options), options.plan);
}

TEST(FitOfContexts, StandsBesideTheOneAskedFor) {
  FitOptions options{.plan = {.context = 128 << 10, .threads = 1}, .measure = false};
  EXPECT_THAT(fit_of("gemma-4-E2B", options).contexts, ElementsAre(4096, 32768, 131072));
  options.plan.context = 3000;
  EXPECT_THAT(fit_of("gemma-4-E2B", options).contexts, ElementsAre(3000));
  options.plan.context = 0;
  EXPECT_THAT(fit_of("gemma-4-E2B", options).contexts, ElementsAre(4096, 32768, 131072));
  EXPECT_THAT(fit_of(demo(), options).contexts, ElementsAre(2048));
}

TEST(FitOfSpeeds, AreThereWhereTheMachineIsMeasured) {
  FitOptions options{.plan = {.context = 512, .threads = 1}};
  const FitTable measured = fit_of(demo(), options);
  EXPECT_GT(measured.memory_bytes_per_second, 0);
  for (const FitRow& row : measured.rows) {
    ASSERT_TRUE(row.speed);
    EXPECT_GT(row.speed->decode_tokens_per_second, 0);
    EXPECT_NEAR(row.speed->prefill_tokens_per_second * row.speed->first_token_seconds, 512, 1e-6);
  }
  options.measure = false;
  for (const FitRow& row : fit_of(demo(), options).rows) EXPECT_FALSE(row.speed);
  EXPECT_TRUE(parse_json(to_json(measured), "json").ok());
}

}  // namespace
}  // namespace longhaul::testing
