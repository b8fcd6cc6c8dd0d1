#include "cost/report.h"

#include <gmock/gmock.h>

#include "cost/cost_testing.h"
#include "cost/exact_number.h"
#include "cost/inspect.h"

namespace longhaul {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(PlanReport, ShowsExactBytesAndTheComparisons) {
  const Architecture arch = described("gemma-4-E2B");
  const PlanRequest r{.context = 131072, .memory = uint64_t{8} << 30, .bandwidth = 50e9};
  const std::string text = plan_report(arch, *make_plan(arch, r), r);
  EXPECT_THAT(text, HasSubstr("811,597,824"));
  EXPECT_THAT(text, HasSubstr("grows by 6,144 bytes a token"));
  EXPECT_THAT(text, HasSubstr("7.75 t/s"));  // 50e9 / 6453282816
  EXPECT_THAT(text, HasSubstr("12 x attention sliding 512, mlp 6144, per-layer embedding 256\n"));
  EXPECT_THAT(text, HasSubstr("16 x attention sliding 512, mlp 12288, per-layer embedding 256, "
                              "reads the cache of layer 13"));
  EXPECT_THAT(text, HasSubstr("layers 0-3, 5-8, 10-13"));
  EXPECT_THAT(text, HasSubstr("no-kv-sharing"));
  EXPECT_THAT(text, HasSubstr("+133.3 %"));
  EXPECT_THAT(text, Not(HasSubstr("beyond the positions")));
}

TEST(PlanReport, SetsAnEditedModelBesideTheShippedOne) {
  const Architecture arch = described("gemma-4-31B");
  const PlanRequest r{
      .context = 1 << 19, .memory = uint64_t{1} << 30, .what_if = {"no-window", "mha"}};
  const std::string text = plan_report(arch, *make_plan(arch, r), r);
  EXPECT_THAT(text, HasSubstr("gemma-4-31B with no-window, mha"));
  EXPECT_THAT(text, HasSubstr("as asked"));
  EXPECT_THAT(text, HasSubstr("beyond the positions"));
  EXPECT_THAT(text, HasSubstr("no context fits 1.00 GiB"));
}

TEST(PlanReport, SaysWhichExpertsAreHeldAndWhatIsReadForTheOthers) {
  const Architecture arch = described("gemma-4-26B-A4B");
  const PlanRequest r{.context = 4096, .expert_cache = uint64_t{8} << 30};
  const std::string text = plan_report(arch, *make_plan(arch, r), r);
  EXPECT_THAT(text, HasSubstr("722 of 3840 experts"));
  EXPECT_THAT(text, HasSubstr("experts on disk"));
  EXPECT_THAT(
      text, HasSubstr("2.16 GiB   if all experts are chosen alike; 2.66 GiB with an empty cache"));
  const Json json = plan_json(*make_plan(arch, r));
  EXPECT_EQ(integer(*json.find("expert_cache"), "slots"), 722u);
  EXPECT_EQ(integer(*json.find("expert_cache"), "expert_bytes"),
            uint64_t{30} * 128 * 3 * 704 * 2816 * 2);
  EXPECT_TRUE(plan_json(*make_plan(arch, {.context = 4096})).find("expert_cache")->is_null());
}

TEST(PlanJson, HasTheStableKeys) {
  const Architecture arch = described("gemma-4-E2B");
  const Json json =
      plan_json(*make_plan(arch, {.context = 4096, .kv = DType::kF32, .what_if = {"mha"}}));
  std::vector<std::string> keys;
  for (const auto& [key, value] : *json.as_object()) keys.push_back(key);
  EXPECT_THAT(keys,
              testing::UnorderedElementsAre(
                  "name", "context", "batch", "weights", "kv", "what_if", "params_total",
                  "params_active", "weight_bytes", "weight_bytes_mapped", "state_bytes",
                  "growing_state_bytes", "state_bytes_per_token", "scratch_bytes", "total_bytes",
                  "decode_flops_per_token", "decode_attention_flops", "decode_fp8_equivalent_flops",
                  "prefill_flops", "prefill_flops_skip", "decode_read_bytes", "expert_cache",
                  "max_context", "max_positions", "layers"));
  EXPECT_EQ(*json.find("kv")->as_string(), "f32");
  EXPECT_TRUE(json.find("max_context")->is_null());
  EXPECT_EQ(json.find("layers")->as_array()->size(), 35u);
  EXPECT_EQ(integer(json, "context"), 4096u);
}

TEST(PlanReport, ShowsSharesOfAByteExactly) {
  const Architecture arch = described("deepseek-v4-flash");
  const PlanRequest r{.context = 1 << 20,
                      .weights = WeightFormat::kReleased,
                      .kv = {DType::kBF16, CacheFormat::kReleased}};
  const Plan plan = *make_plan(arch, r);
  const std::string text = plan_report(arch, plan, r);
  EXPECT_THAT(text, HasSubstr("weights released, cache released"));
  EXPECT_THAT(text, HasSubstr("grows by 3,514.25 bytes a token"));
  EXPECT_THAT(text, HasSubstr("as released, with their scales"));
  const Json json = plan_json(plan);
  EXPECT_EQ(number(json, "state_bytes_per_token"), 3514.25);
  EXPECT_EQ(*json.find("weights")->as_string(), "released");
  EXPECT_EQ(integer(plan_json(*make_plan(arch, {})), "state_bytes_per_token"), 6880u);
}

TEST(ExactNumber, WholeOrWithItsFraction) {
  EXPECT_EQ(exact_number(0), "0");
  EXPECT_EQ(exact_number(6880), "6,880");
  EXPECT_EQ(exact_number(5031.4375), "5,031.4375");
  EXPECT_EQ(exact_number(1.0 / 128), "0.0078125");
  EXPECT_NE(json_number(5.0).as_int(), nullptr);
  EXPECT_NE(json_number(5.5).as_double(), nullptr);
}

TEST(Inspect, NamesTheLettersThatOccur) {
  EXPECT_THAT(inspect_report(described("deepseek-v3.2")),
              HasSubstr("schedule: L chosen latents\n"));
  EXPECT_THAT(inspect_report(described("deepseek-v3.2")),
              HasSubstr("latent attention 512 + 64 top 2048"));
  EXPECT_THAT(inspect_report(described("deepseek-v4-pro")),
              HasSubstr("schedule: C sliding and chosen compressed entries, H sliding and all "
                        "heavily compressed entries\n"));
  EXPECT_THAT(inspect_report(described("gemma-4-31B")), Not(HasSubstr("lower case")));
}

TEST(Inspect, DrawsTheScheduleAndTheSourcesOfKeys) {
  const std::string text = inspect_report(described("gemma-4-E2B"));
  EXPECT_THAT(text, HasSubstr("4,628,569,344"));
  EXPECT_THAT(text, HasSubstr("S S S S F S S S S F S S S S F s s s s f"));
  EXPECT_THAT(text, HasSubstr("<-- cache of layer 13"));
  EXPECT_THAT(text,
              HasSubstr("8 query heads of 512, 1 KV head, rope theta 1000000 on 64 of 256 pairs"));
  EXPECT_THAT(text, HasSubstr("tied to the embedding"));
  EXPECT_THAT(inspect_report(described("gemma-4-26B-A4B")),
              HasSubstr("mlp 2112 + moe 8 of 128 x 704"));
}

TEST(Inspect, JsonListsBlocksAndStates) {
  const Json json = inspect_json(described("gemma-4-E2B"));
  EXPECT_EQ(integer(json, "params_total"), 4628569344u);
  EXPECT_EQ(json.find("blocks")->as_array()->size(), 105u);
  EXPECT_EQ(json.find("states")->as_array()->size(), 15u);
  EXPECT_EQ(*json.find("schedule")->as_string(), "SSSSFSSSSFSSSSFssssfssssfssssfssssf");
}

}  // namespace
}  // namespace longhaul
