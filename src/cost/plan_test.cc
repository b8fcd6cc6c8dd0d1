#include "cost/plan.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "cost/cost_testing.h"
#include "cost/flops.h"
#include "cost/released.h"
#include "mechanisms/gqa.h"
#include "mechanisms/step_layout.h"
#include "mechanisms/what_if.h"

namespace longhaul {
namespace {

using testing::HasSubstr;

Plan plan_of(const Architecture& arch, const PlanRequest& request) {
  auto plan = make_plan(arch, request);
  EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.error().text());
  return plan.ok() ? std::move(*plan) : Plan{};
}

void expect_golden(const Architecture& arch, const Json& golden) {
  const Json::Object* contexts = golden.find("contexts")->as_object();
  ASSERT_NE(contexts, nullptr);
  for (const auto& [context, figures] : *contexts) {
    SCOPED_TRACE("context " + context);
    PlanRequest request{.context = std::stoll(context)};
    const Plan p = plan_of(arch, request);
    EXPECT_EQ(p.params_total, integer(golden, "params"));
    EXPECT_EQ(p.params_active, integer(golden, "active_with_head"));
    EXPECT_EQ(p.state_bytes_per_token, integer(golden, "growth_per_token"));
    EXPECT_EQ(p.state_bytes, integer(figures, "kv_bf16"));
    EXPECT_EQ(p.decode_flops_per_token, integer(figures, "decode_flops"));
    EXPECT_EQ(p.prefill_flops, integer(figures, "prefill_flops"));
    EXPECT_EQ(p.prefill_flops_skip, integer(figures, "prefill_flops_skip"));
    EXPECT_EQ(p.decode_read_bytes, integer(*figures.find("decode_read"), "1"));
    request.batch = 8;
    EXPECT_EQ(plan_of(arch, request).decode_read_bytes, integer(*figures.find("decode_read"), "8"));
  }
}

TEST(Plan, EqualsTheGoldenIntegers) {
  for (const std::string& name : preset_names()) {
    SCOPED_TRACE(name);
    expect_golden(described(name), cost_golden(name));
  }
}

TEST(Plan, EqualsTheGoldenIntegersOfEveryWhatIf) {
  for (const std::string& name : preset_names()) {
    const Json golden = cost_golden(name);
    const Json::Object* edits = golden.find("what_if")->as_object();
    ASSERT_NE(edits, nullptr);
    for (const auto& [edit, figures] : *edits) {
      SCOPED_TRACE(name + " with " + edit);
      std::vector<std::string> names;
      for (size_t begin = 0; begin <= edit.size();) {
        const size_t end = std::min(edit.find(',', begin), edit.size());
        names.push_back(edit.substr(begin, end - begin));
        begin = end + 1;
      }
      const auto edited = apply_what_ifs(described(name), names);
      ASSERT_TRUE(edited.ok()) << edited.error().text();
      expect_golden(*edited, figures);
    }
  }
}

TEST(Plan, EqualsTheGoldenFiguresInReleasedFormats) {
  for (const char* name : kDeepSeekPresets) {
    const Json golden = *cost_golden(name).find("released");
    const Architecture arch = described(name);
    for (const auto& [context, figures] : *golden.find("contexts")->as_object()) {
      SCOPED_TRACE(std::string(name) + " context " + context);
      PlanRequest request{.context = std::stoll(context)};
      const Plan plain = plan_of(arch, request);
      EXPECT_EQ(plain.growing_state_bytes, integer(figures, "growing_bf16"));
      EXPECT_EQ(plain.decode_fp8_equivalent_flops, integer(figures, "fp8_equivalent_flops"));
      request.weights = WeightFormat::kReleased;
      request.kv = {DType::kBF16, CacheFormat::kReleased};
      const Plan released = plan_of(arch, request);
      EXPECT_EQ(released.decode_flops_per_token, plain.decode_flops_per_token);
      EXPECT_EQ(released.growing_state_bytes, integer(figures, "growing"));
      EXPECT_EQ(released.state_bytes, integer(figures, "state"));
      EXPECT_EQ(released.state_bytes_per_token, number(golden, "growth_per_token"));
      EXPECT_EQ(released.decode_read_cache_bytes, integer(figures, "cache_read"));
      // Packed for the kernels, weights take a little more than as published: headers of panels,
      // inputs padded to blocks.
      const auto published = static_cast<double>(integer(*figures.find("decode_read"), "1"));
      EXPECT_GT(static_cast<double>(released.decode_read_bytes), published);
      EXPECT_LT(static_cast<double>(released.decode_read_bytes), 1.01 * published);
    }
    EXPECT_EQ(released_bytes(arch).total, integer(golden, "weight_bytes"));
  }
}

TEST(Plan, ReleasedFormatsOfAModelThatHasNoneAreBf16) {
  const Architecture arch = described("gemma-4-26B-A4B");
  const Plan plain = plan_of(arch, {}),
             released = plan_of(arch, {.weights = WeightFormat::kReleased,
                                       .kv = {DType::kBF16, CacheFormat::kReleased}});
  EXPECT_EQ(released.state_bytes, plain.state_bytes);
  EXPECT_EQ(released.weight_bytes, plain.weight_bytes);
  EXPECT_EQ(released.decode_fp8_equivalent_flops, 2 * released.decode_flops_per_token);
  EXPECT_EQ(released.weights, "released");
  EXPECT_EQ(plain.kv, "bf16");
}

TEST(Plan, TotalIsTheSumOfItsParts) {
  const Plan p =
      plan_of(described("gemma-4-E2B"), {.context = 5000, .batch = 3, .kv = DType::kF32});
  EXPECT_EQ(p.total_bytes, p.weight_bytes + p.state_bytes + p.scratch_bytes);
  uint64_t state = 0;
  double growth = 0;
  for (const LayerPlan& l : p.layers) {
    state += l.state_bytes;
    growth += l.state_bytes_per_token;
  }
  EXPECT_EQ(state, p.state_bytes);
  EXPECT_EQ(growth, p.state_bytes_per_token);
  EXPECT_EQ(p.layers.size(), 35u);
}

TEST(Plan, LayersAddUpToTheModel) {
  for (const char* name : kGemmaPresets) {
    SCOPED_TRACE(name);
    const Architecture arch = described(name);
    const Plan p = plan_of(arch, {.context = 32768});
    uint64_t params = 0, flops = 0, kv = 0;
    for (const LayerPlan& l : p.layers) {
      params += l.params;
      flops += l.decode_flops;
      kv += l.kv_read_bytes;
    }
    // Outside of the layers stand the table and head (one tensor), the last norm, and the per-layer
    // table with its norm.
    uint64_t outside = static_cast<uint64_t>(arch.vocab_size * arch.hidden_size + arch.hidden_size);
    for (const TensorSpec& t : arch.tensors) {
      if (t.name == "embed_tokens_per_layer.weight" || t.name == "per_layer_projection_norm.weight")
        outside += static_cast<uint64_t>(t.n_elements());
    }
    EXPECT_EQ(params + outside, p.params_total);
    EXPECT_EQ(flops + 2 * static_cast<uint64_t>(arch.vocab_size * arch.hidden_size),
              p.decode_flops_per_token);
    EXPECT_LT(kv, p.decode_read_bytes - p.decode_read_weight_bytes);  // the rest is written
  }
}

TEST(Plan, StateIsRoundedToPagesAndPanels) {
  const Architecture arch = described("gemma-4-E2B");
  const uint64_t page = 3 * 2 * 512 * 2, ring = 12 * 2 * 256 * 2;  // bytes a slot over all layers
  EXPECT_EQ(plan_of(arch, {.context = 1}).state_bytes, 256 * page + 16 * ring);
  EXPECT_EQ(plan_of(arch, {.context = 256}).state_bytes, 256 * page + 256 * ring);
  EXPECT_EQ(plan_of(arch, {.context = 257}).state_bytes, 512 * page + 272 * ring);
  EXPECT_EQ(plan_of(arch, {.context = 257, .kv = DType::kF32}).state_bytes,
            2 * (512 * page + 272 * ring));
  EXPECT_EQ(plan_of(arch, {.context = 257, .batch = 5}).state_bytes, 5 * (512 * page + 272 * ring));
}

TEST(Plan, TheNextPromptTokenCostsADecodeStepWithoutItsHead) {
  for (const char* name : kGemmaPresets) {
    const Architecture arch = described(name);
    for (int64_t n : {2, 512, 513, 1025, 4097}) {
      const Plan before = plan_of(arch, {.context = n - 1}), after = plan_of(arch, {.context = n});
      const uint64_t head = 2 * static_cast<uint64_t>(arch.vocab_size * arch.hidden_size);
      EXPECT_EQ(after.prefill_flops - before.prefill_flops, after.decode_flops_per_token - head)
          << name << " n=" << n;
    }
  }
}

TEST(Plan, APromptOfOneTokenIsADecodeStep) {
  const Plan p = plan_of(described("gemma-4-26B-A4B"), {.context = 1});
  EXPECT_EQ(p.prefill_flops, p.decode_flops_per_token);
  EXPECT_EQ(p.prefill_flops_skip, p.decode_flops_per_token);
}

TEST(Plan, ScratchIsTheExecutorsAndFreeOfTheContext) {
  const Architecture arch = described("gemma-4-E4B");
  PlanRequest r{.context = 4096, .chunk = 64, .n_threads = 2};
  const uint64_t scratch = plan_of(arch, r).scratch_bytes;
  EXPECT_EQ(scratch, scratch_bytes(arch, step_limits(r)));
  r.context = 1 << 20;
  EXPECT_EQ(plan_of(arch, r).scratch_bytes, scratch);
  r.chunk = 128;
  EXPECT_GT(plan_of(arch, r).scratch_bytes, scratch);
}

TEST(Plan, AStepHoldsARowOfEverySequence) {
  EXPECT_EQ(step_limits({.batch = 32, .chunk = 8}).max_rows, 32);
  EXPECT_EQ(step_limits({.batch = 2, .chunk = 8}).max_rows, 8);
}

TEST(Plan, LargestContextIsTheLastThatFits) {
  const Architecture arch = described("gemma-4-E2B");
  PlanRequest r{.context = 4096, .batch = 2, .memory = uint64_t{24} << 30};
  const Plan p = plan_of(arch, r);
  ASSERT_TRUE(p.max_context);
  EXPECT_GT(*p.max_context, 1 << 20);
  r.context = *p.max_context;
  EXPECT_LE(plan_of(arch, r).total_bytes, *r.memory);
  r.context += 1;
  EXPECT_GT(plan_of(arch, r).total_bytes, *r.memory);
}

TEST(Plan, LargestContextIsZeroWhereWeightsAloneAreTooLarge) {
  EXPECT_EQ(plan_of(described("gemma-4-31B"), {.memory = uint64_t{16} << 30}).max_context, 0);
  EXPECT_FALSE(plan_of(described("gemma-4-31B"), {}).max_context);
}

TEST(Plan, TablesCountAtTheCheckpointsWidth) {
  Architecture arch = described("gemma-4-E2B");
  const uint64_t elements = 262144ull * 1536 + 262144ull * 35 * 256;
  for (const WeightFormat& weights :
       {WeightFormat::kBF16, WeightFormat::kF32, WeightFormat(kQ4Codec)})
    EXPECT_EQ(plan_of(arch, {.weights = weights}).weight_bytes_mapped, 2 * elements);
  for (WeightSpec& w : arch.weights) w.released = DType::kF32;
  EXPECT_EQ(plan_of(arch, {}).weight_bytes_mapped, 4 * elements);
}

TEST(Plan, SharingLayersNameTheirSource) {
  const Plan p = plan_of(described("gemma-4-E2B"), {});
  EXPECT_EQ(p.layers[14].state_source, kNone);
  EXPECT_EQ(p.layers[15].state_source, 13);
  EXPECT_EQ(p.layers[19].state_source, 14);
  EXPECT_EQ(p.layers[15].state_bytes, 0u);
  EXPECT_GT(p.layers[15].kv_read_bytes, 0u);
  EXPECT_EQ(p.layers[15].mixers, (std::vector<std::string>{"attention sliding 512", "mlp 12288",
                                                           "per-layer embedding 256"}));
}

TEST(Plan, RefusesRequestsOutOfRange) {
  const Architecture arch = described("gemma-4-E2B");
  const auto message = [&](const PlanRequest& r) {
    const auto plan = make_plan(arch, r);
    return plan.ok() ? std::string() : plan.error().text();
  };
  EXPECT_THAT(message({.context = 0}), HasSubstr("context"));
  EXPECT_THAT(message({.context = -5}), HasSubstr("-5"));
  EXPECT_THAT(message({.context = kMaxPlannedContext + 1}), HasSubstr("context"));
  EXPECT_THAT(message({.batch = 0}), HasSubstr("batch"));
  EXPECT_THAT(message({.chunk = 0}), HasSubstr("chunk"));
  EXPECT_THAT(message({.logit_rows = 0}), HasSubstr("logits"));
  EXPECT_THAT(message({.n_threads = 0}), HasSubstr("threads"));
  EXPECT_THAT(message({.kv = DType::kF16}), HasSubstr("F16"));
  EXPECT_THAT(message({.what_if = {"no-such"}}), HasSubstr("no-such"));
}

TEST(Plan, SaysSoWhereACountLeaves64Bits) {
  const auto plan = make_plan(described("gemma-4-31B"), {.context = kMaxPlannedContext});
  ASSERT_FALSE(plan.ok());
  EXPECT_THAT(plan.error().text(), HasSubstr("2^64"));
}

TEST(Plan, AnExpertCacheTakesThePlaceOfTheExperts) {
  const Architecture arch = described("gemma-4-26B-A4B");
  const PlanRequest all{.context = 4096};
  PlanRequest some = all;
  some.expert_cache = uint64_t{8} << 30;
  const Plan resident = plan_of(arch, all), cached = plan_of(arch, some);
  constexpr uint64_t kExpert = 3 * 704 * 2816 * 2,
                     kExperts = 30 * 128;  // bf16, 704 being whole panels
  EXPECT_FALSE(resident.expert_cache);
  EXPECT_EQ(resident.expert_bytes, kExperts * kExpert);
  ASSERT_TRUE(cached.expert_cache);
  constexpr uint64_t kWiden = 16 * 2816 * 4;
  constexpr uint64_t kSlots = ((uint64_t{8} << 30) - kWiden) / kExpert;
  EXPECT_EQ(cached.expert_cache->n_slots, static_cast<int64_t>(kSlots));
  EXPECT_EQ(cached.expert_cache->bytes(), kSlots * kExpert + kWiden);
  EXPECT_EQ(cached.weight_bytes,
            resident.weight_bytes - kExperts * kExpert + kSlots * kExpert + kWiden);
  EXPECT_EQ(cached.total_bytes, cached.weight_bytes + cached.state_bytes + cached.scratch_bytes);
  EXPECT_EQ(cached.decode_read_bytes, resident.decode_read_bytes) << "memory is read all the same";
  EXPECT_EQ(cached.expert_stream_bytes_cold, 30u * 8 * kExpert);
  EXPECT_NEAR(static_cast<double>(cached.expert_stream_bytes),
              30.0 * 8 * kExpert * (1 - static_cast<double>(kSlots) / kExperts), 1.0);
  some.expert_cache = uint64_t{1} << 60;
  const Plan whole = plan_of(arch, some);
  EXPECT_EQ(whole.expert_cache->n_slots, static_cast<int64_t>(kExperts));
  EXPECT_EQ(whole.expert_stream_bytes, 0u);
  some.expert_cache = 8 * kExpert + kWiden - 1;
  const auto refused = make_plan(arch, some);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().text(),
              HasSubstr(std::to_string(8 * kExpert + kWiden) + " bytes are the least"));
}

TEST(Plan, LayersHoldNoExpertsThatStayInTheirFiles) {
  const Architecture arch = described("laguna-xs.2");
  const Plan resident = plan_of(arch, {.context = 4096}),
             cached = plan_of(arch, {.context = 4096, .expert_cache = uint64_t{1} << 30});
  uint64_t difference = 0;
  for (size_t i = 0; i < resident.layers.size(); ++i)
    difference += resident.layers[i].weight_bytes - cached.layers[i].weight_bytes;
  EXPECT_EQ(difference, resident.expert_bytes);
}

}  // namespace
}  // namespace longhaul
