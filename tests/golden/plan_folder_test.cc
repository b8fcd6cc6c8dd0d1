// The plan of a folder is what loading it allocates: original checkpoints of every kind, folders of
// packed weights, and what neither can be kept as.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "api/loaded_model.h"
#include "base/json.h"
#include "formats/formats_testing.h"
#include "longhaul/checkpoint.h"
#include "longhaul/planner.h"
#include "testing/steps.h"

namespace longhaul::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr int64_t kContext = 96;

uint64_t integer(const Json& json, const char* key) {
  const Json* value = json.find(key);
  EXPECT_TRUE(value != nullptr && value->as_int() != nullptr) << key;
  return value == nullptr || value->as_int() == nullptr ? 0
                                                        : static_cast<uint64_t>(*value->as_int());
}

PlanOptions plan_options(const std::string& weights = "auto") {
  PlanOptions o;
  o.context = kContext;
  o.weights = *parse_weights(weights);
  return o;
}

Json plan_of(const std::string& model, const PlanOptions& options = plan_options()) {
  const auto priced = plan(model, options);
  EXPECT_TRUE(priced.ok()) << priced.error().text();
  auto json = parse_json(priced.ok() ? to_json(*priced) : "{}", "plan");
  EXPECT_TRUE(json.ok());
  return std::move(*json);
}

std::string weights_of(const Json& plan) { return *plan.find("weights")->as_string(); }

std::string problem(const std::string& model, const PlanOptions& options = plan_options()) {
  const auto priced = plan(model, options);
  return priced.ok() ? "priced" : priced.error().text();
}

// Loads as the plan was asked and compares what was allocated.
void expect_allocated(const Json& plan, const std::string& folder, const PlanOptions& asked) {
  LoadOptions options;
  options.weights = asked.weights;
  options.context = asked.context;
  options.expert_cache = asked.expert_cache;
  const auto model = LoadedModel::load(folder, options);
  ASSERT_TRUE(model.ok()) << model.error().text();
  const LoadedModel& m = *model;
  auto sequence = Sequence::create(*m.arch, m.limits.kv, m.context);
  ASSERT_TRUE(sequence.ok() && sequence->reserve(m.context).ok());
  EXPECT_EQ(weights_of(plan), option_name(m.limits.weights));
  EXPECT_EQ(integer(plan, "weight_bytes"), m.weights->resident_bytes());
  EXPECT_EQ(integer(plan, "weight_bytes_mapped"), m.weights->mapped_bytes);
  EXPECT_EQ(integer(plan, "state_bytes"), sequence->allocated_bytes());
  EXPECT_EQ(integer(plan, "scratch_bytes"), m.executor->scratch_bytes());
  EXPECT_EQ(integer(plan, "total_bytes"), m.plan.total_bytes);
}

class PlanOfFolder : public ::testing::TestWithParam<std::string> {};

TEST_P(PlanOfFolder, IsWhatLoadingAllocates) {
  const std::string folder = golden_folder(GetParam());
  for (const std::string weights : {"auto", "f32", "bf16", "q8", "q4", "released"}) {
    SCOPED_TRACE(weights);
    expect_allocated(plan_of(folder, plan_options(weights)), folder, plan_options(weights));
  }
}

TEST_P(PlanOfFolder, OfPackedWeightsIsWhatMappingThemTakes) {
  const TemporaryFolder folder;
  for (const std::string weights : {"q4", "q8", "bf16", "released"}) {
    SCOPED_TRACE(weights);
    const std::string packed = folder.path() + "/" + weights;
    ASSERT_TRUE(
        quantize(golden_folder(GetParam()), packed, {.weights = *parse_weights(weights)}).ok());
    const Json plan = plan_of(packed);
    EXPECT_EQ(weights_of(plan), weights);
    expect_allocated(plan, packed, plan_options());
    const Json original = plan_of(golden_folder(GetParam()), plan_options(weights));
    for (const char* key : {"weight_bytes", "weight_bytes_mapped", "scratch_bytes", "total_bytes",
                            "decode_read_bytes"})
      EXPECT_EQ(integer(plan, key), integer(original, key)) << key;
  }
}

// A folder made up in a format has the tensors, sizes and plan of one that was packed into it.
TEST_P(PlanOfFolder, OfMadeUpPackedWeightsIsThatOfPackedOnes) {
  const TemporaryFolder folder;
  for (const std::string weights : {"q4", "q8", "bf16"}) {
    SCOPED_TRACE(weights);
    const std::string made_up = folder.path() + "/" + weights;
    const Status status =
        synthesize(golden_folder(GetParam()), made_up, {.packed = *parse_weights(weights)});
    ASSERT_TRUE(status.ok()) << status.error().text();
    const Json plan = plan_of(made_up),
               original = plan_of(golden_folder(GetParam()), plan_options(weights));
    expect_allocated(plan, made_up, plan_options());
    for (const char* key : {"weight_bytes", "scratch_bytes", "decode_read_bytes"})
      EXPECT_EQ(integer(plan, key), integer(original, key)) << key;
  }
}

TEST(SynthPacked, RefusesWhatIsNoPackedFormat) {
  const TemporaryFolder folder;
  const std::string model = golden_folder(golden_checkpoints().front());
  for (const std::string weights : {"f32", "released", "auto"}) {
    const Status status =
        synthesize(model, folder.path() + "/out", {.packed = *parse_weights(weights)});
    ASSERT_FALSE(status.ok()) << weights;
    EXPECT_THAT(status.error().text(), HasSubstr("use one of q4, q8, bf16"));
  }
  const Status both = synthesize(model, folder.path() + "/out",
                                 {.dtype = WeightPrecision::kF32, .packed = WeightPrecision::kQ4});
  ASSERT_FALSE(both.ok());
  EXPECT_THAT(both.error().text(), HasSubstr("give one"));
  EXPECT_FALSE(fs::exists(folder.path() + "/out"));
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PlanOfFolder);
INSTANTIATE_TEST_SUITE_P(Checkpoints, PlanOfFolder, ::testing::ValuesIn(checkpoints_in_depth()),
                         test_name);

TEST(PlanOfFolder, ReleasedAsFp8IsPricedSo) {
  EXPECT_EQ(weights_of(plan_of(golden_folder("deepseek_v4/fp8_fp4"))), "released");
  EXPECT_EQ(weights_of(plan_of(golden_folder("deepseek_v4/odd"))), "f32");
  const TemporaryFolder folder;
  const std::string packed = folder.path() + "/packed";
  ASSERT_TRUE(
      quantize(golden_folder("deepseek_v4/fp8_fp4"), packed, {.weights = WeightPrecision::kNative})
          .ok());
  EXPECT_EQ(weights_of(plan_of(packed)), "released");
  EXPECT_THAT(problem(packed, plan_options("bf16")),
              HasSubstr("packed as released; --weights bf16 needs the checkpoint"));
}

// Where there are no weights the description is priced, in bf16 unless it tells of packed ones.
TEST(PlanOfFolder, WithoutWeightsIsThatOfTheDescription) {
  const std::string config = golden_folder("deepseek_v4/fp8_fp4") + "/config.json";
  EXPECT_EQ(weights_of(plan_of(config)), "bf16");
  EXPECT_EQ(weights_of(plan_of("gemma-4-E2B")), "bf16");
  const TemporaryFolder folder;
  fs::copy(config, folder.path() + "/config.json");
  EXPECT_EQ(weights_of(plan_of(folder.path())), "bf16");
  EXPECT_EQ(weights_of(plan_of(folder.path(), plan_options("q8"))), "q8");

  ASSERT_TRUE(
      quantize(golden_folder("gemma/e2b"), folder.path() + "/q8", {.weights = WeightPrecision::kQ8})
          .ok());
  const std::string packed_config = folder.path() + "/q8/config.json";
  EXPECT_EQ(weights_of(plan_of(packed_config)), "q8");
  EXPECT_EQ(integer(plan_of(packed_config), "weight_bytes"),
            integer(plan_of(folder.path() + "/q8"), "weight_bytes"));
  EXPECT_THAT(problem(packed_config, plan_options("bf16")), HasSubstr("packed as q8"));
}

TEST(PlanOfFolder, PackedWeightsArePricedInTheirOwnFormatAlone) {
  const TemporaryFolder folder;
  const std::string packed = folder.path() + "/q4";
  ASSERT_TRUE(quantize(golden_folder("gemma/e2b"), packed, {.weights = WeightPrecision::kQ4}).ok());
  EXPECT_EQ(problem(packed, plan_options("q4")), "priced");
  for (const std::string weights : {"bf16", "f32", "q8", "released"})
    EXPECT_THAT(problem(packed, plan_options(weights)),
                HasSubstr("packed as q4; --weights " + weights + " needs the checkpoint"));
  const auto compared = compare("gemma-4-E2B", packed, plan_options("bf16"));
  ASSERT_FALSE(compared.ok());
  EXPECT_THAT(compared.error().text(), HasSubstr("packed as q4"));
  EXPECT_THAT(parse_weights("q5").error().text(), HasSubstr("'q5' is not known"));
}

// Side by side, each as it would be loaded.
TEST(PlanOfFolder, ComparedModelsAreEachKeptAsTheyAre) {
  const TemporaryFolder folder;
  const std::string packed = folder.path() + "/q4";
  ASSERT_TRUE(quantize(golden_folder("gemma/e2b"), packed, {.weights = WeightPrecision::kQ4}).ok());
  const auto compared = compare("gemma-4-E2B", packed, plan_options());
  ASSERT_TRUE(compared.ok()) << compared.error().text();
  EXPECT_THAT(to_text(*compared), HasSubstr("weights bf16 and q4"));
  EXPECT_THAT(to_text(*compared), HasSubstr("weights in bf16 and in q4"));
  const auto json = parse_json(to_json(*compared), "plan");
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(*json->find("weights")->as_string(), "bf16");
  EXPECT_EQ(*json->find("against_weights")->as_string(), "q4");
  const Json* read = json->find("figures")->find("decode_read_bytes");
  EXPECT_EQ(integer(*read, "against"), integer(plan_of(packed), "decode_read_bytes"));
}

TEST(PlanOfFolder, WhatCouldNotBeLoadedIsNotPriced) {
  const TemporaryFolder folder;
  for (const char* file :
       {"config.json", "model-00001-of-00003.safetensors", "model.safetensors.index.json"})
    fs::copy(golden_folder("deepseek_v4/odd") + "/" + file, folder.path() + "/" + file);
  EXPECT_THAT(problem(folder.path()), HasSubstr("model-00003-of-00003.safetensors"));
  EXPECT_EQ(problem(folder.path() + "/config.json"), "priced");
  PlanOptions options = plan_options();
  options.config.overrides = {"intermediate_size=32"};
  EXPECT_THAT(problem(golden_folder("gemma/e2b"), options), HasSubstr("does not fit its config"));
}

}  // namespace
}  // namespace longhaul::testing
