// A cache smaller than the experts changes what is read and when, and no bit of the result: for
// every checkpoint of experts under tests/golden.
#include <fmt/format.h>

#include <algorithm>

#include "api/loaded_model.h"
#include "checkpoint/find_model.h"
#include "formats/formats_testing.h"
#include "longhaul/checkpoint.h"
#include "longhaul/planner.h"
#include "mechanisms/moe.h"
#include "runtime/executor.h"
#include "testing/steps.h"

namespace longhaul::testing {
namespace {

std::vector<std::string> checkpoints_of_experts() {
  std::vector<std::string> names;
  for (const std::string& name : checkpoints_in_depth()) {
    const auto arch = find_architecture(golden_folder(name), {});
    if (arch.ok() && !mixtures(*arch).empty()) names.push_back(name);
  }
  return names;
}

class ExpertCacheOf : public ::testing::TestWithParam<std::string> {
 protected:
  ExpertCacheOf() {
    for (const GoldenCase& c : golden_cases(GetParam())) {
      if (c.prompt.size() > prompt_.size()) prompt_ = c.prompt;
    }
  }

  // A cache of so many slots.
  static LoadOptions with_slots(const ExpertCacheLayout& layout, int64_t n_slots) {
    LoadOptions options;
    options.threads = 2;
    options.expert_cache = static_cast<uint64_t>(n_slots) * layout.slot_bytes + layout.widen_bytes;
    return options;
  }
  static ExpertCacheLayout layout_of(const LoadedModel& resident,
                                     WeightFormat format = WeightFormat::kF32) {
    const auto layout = expert_cache_layout(*resident.arch, format, 2, UINT64_MAX);
    EXPECT_TRUE(layout.ok());
    return *layout;
  }
  // A token's experts of one layer, one more, half of all, all but one, all.
  static std::vector<int64_t> sizes(const ExpertCacheLayout& layout) {
    std::vector<int64_t> sizes;
    if (grid() == Grid::kSmall) return {layout.max_top_k, layout.n_experts};
    for (int64_t n : {layout.max_top_k, layout.max_top_k + 1, layout.n_experts / 2,
                      layout.n_experts - 1, layout.n_experts})
      sizes.push_back(std::clamp(n, layout.max_top_k, layout.n_experts));
    return sizes;
  }
  static const ExpertStats& stats(const LoadedModel& model) {
    return model.weights->experts->stats();
  }

  std::vector<int32_t> prompt_;
};

TEST_P(ExpertCacheOf, LogitsAreThoseOfResidentExperts) {
  LoadOptions two;
  two.threads = 2;
  const LoadedModel resident = load_f32(GetParam(), two);
  const ExpertCacheLayout layout = layout_of(resident);
  const std::vector<float> expected = run_logits(resident, prompt_, 0);
  for (const int64_t chunk : {0, 5, 1}) {
    for (const int64_t n_slots : sizes(layout)) {
      const LoadedModel model = load_f32(GetParam(), with_slots(layout, n_slots));
      ASSERT_EQ(stats(model).n_slots, n_slots);
      EXPECT_EQ(run_logits(model, prompt_, chunk), expected)
          << n_slots << " slots, chunks of " << chunk;
    }
  }
}

TEST_P(ExpertCacheOf, LogitsInAnyFormatAreThoseOfResidentExperts) {
  const std::tuple<WeightFormat, std::string, std::string> formats[] = {
      {WeightFormat::kBF16, "bf16", "bf16"}, {kQ8Codec, "q8", "q8"}, {kQ4Codec, "q4", "bf16"}};
  for (const auto& [format, weights, kv] : formats) {
    if (grid() == Grid::kSmall && weights != "q4") continue;
    const LoadedModel resident = load(GetParam(), {weights, kv});
    const ExpertCacheLayout layout = layout_of(resident, format);
    LoadOptions options;
    options.expert_cache = with_slots(layout, layout.max_top_k).expert_cache;
    const LoadedModel cached = load(GetParam(), {weights, kv}, options);
    const std::vector<float> whole = run_logits(resident, prompt_, 0);
    for (int64_t chunk : {1, 7})
      EXPECT_EQ(difference(run_logits(cached, prompt_, chunk), whole, resident.vocab_size()), "")
          << weights;
  }
}

TEST_P(ExpertCacheOf, AllocatedBytesAreThePlannedOnes) {
  const LoadedModel resident = load_f32(GetParam());
  const ExpertCacheLayout layout = layout_of(resident);
  for (const int64_t n_slots : sizes(layout)) {
    LoadOptions options = with_slots(layout, n_slots);
    options.expert_cache += n_slots < layout.n_experts
                                ? layout.slot_bytes - 1
                                : uint64_t{1} << 40;  // what does not fill a slot is not taken
    const LoadedModel model = load_f32(GetParam(), options);
    const Plan& plan = model.plan;
    EXPECT_EQ(plan.weight_bytes, model.weights->resident_bytes());
    EXPECT_EQ(plan.expert_cache->bytes(), model.weights->experts->bytes());
    EXPECT_EQ(plan.expert_cache->n_slots, n_slots);
    EXPECT_EQ(plan.scratch_bytes, model.executor->scratch_bytes());
    EXPECT_LE(model.weights->experts->bytes(), options.expert_cache);
    const uint64_t dense = resident.weights->resident_bytes() - plan.expert_bytes;
    EXPECT_EQ(plan.weight_bytes,
              dense + static_cast<uint64_t>(n_slots) * layout.slot_bytes + layout.widen_bytes);
  }
}

// Distinct experts of every layer and step, as the choices themselves say.
int64_t uses_of_experts(const LoadedModel& model, const std::vector<int32_t>& tokens) {
  std::vector<std::vector<int32_t>> steps;
  for (int32_t t : tokens) steps.push_back({t});
  int64_t n = 0;
  for (const auto& [layer, sets] : run_choices(model, steps)) {
    if (!layer.ends_with(".experts")) continue;
    for (const auto& set : sets) n += static_cast<int64_t>(set.size());
  }
  return n;
}

TEST_P(ExpertCacheOf, EveryUseIsAHitOrAMiss) {
  const LoadedModel resident = load_f32(GetParam());
  const ExpertCacheLayout layout = layout_of(resident);
  const int64_t uses = uses_of_experts(resident, prompt_);
  bool may_choose_none = false;
  for (const Block& block : resident.arch->blocks) {
    const auto* moe = block.mixer.as<MoeSpec>();
    may_choose_none |= moe != nullptr && std::holds_alternative<MlpRouterSpec>(moe->router);
  }
  int64_t misses_before = std::numeric_limits<int64_t>::max();
  for (const int64_t n_slots : {layout.max_top_k, layout.n_experts}) {
    const LoadedModel model = load_f32(GetParam(), with_slots(layout, n_slots));
    run_logits(model, prompt_, 1);
    const ExpertStats first = stats(model);
    EXPECT_LE(first.hits + first.misses, uses);
    if (!may_choose_none) {
      EXPECT_EQ(first.hits + first.misses, uses);
    }
    EXPECT_GT(first.misses, 0);
    EXPECT_LE(first.misses, misses_before);
    misses_before = first.misses;
    EXPECT_GE(first.read_bytes, static_cast<uint64_t>(first.misses));
    run_logits(model, prompt_, 1);
    if (n_slots < layout.n_experts) {
      EXPECT_GT(stats(model).misses, first.misses)
          << "fewer slots than a token uses over the layers";
    } else {
      EXPECT_LE(first.misses, layout.n_experts);
      EXPECT_EQ(stats(model).misses, first.misses) << "all that the prompt chooses is held";
      EXPECT_EQ(stats(model).read_bytes, first.read_bytes);
    }
  }
}

TEST_P(ExpertCacheOf, TooSmallIsRefusedWithTheLeastThatWorks) {
  const ExpertCacheLayout layout = layout_of(load_f32(GetParam()));
  LoadOptions options = with_slots(layout, layout.max_top_k);
  options.weights = WeightPrecision::kF32;
  EXPECT_TRUE(LoadedModel::load(golden_folder(GetParam()), options).ok());
  const std::string least = std::to_string(options.expert_cache) + " bytes are the least";
  for (const uint64_t bytes : {options.expert_cache - 1, uint64_t{1}}) {
    options.expert_cache = bytes;
    const auto model = LoadedModel::load(golden_folder(GetParam()), options);
    ASSERT_FALSE(model.ok());
    EXPECT_EQ(model.error().code, ErrorCode::kOverBudget);
    EXPECT_NE(model.error().text().find(least), std::string::npos) << model.error().text();
  }
}

// A folder of packed weights: what is read as it lies there is what was mapped whole, and what the
// original's cache packs.
class PackedExperts : public ExpertCacheOf {
 protected:
  void write(const std::string& weights) {
    const auto report =
        quantize(golden_folder(GetParam()), path(weights), {.weights = *parse_weights(weights)});
    ASSERT_TRUE(report.ok()) << report.error().text();
  }
  static std::vector<std::string> packings() {
    if (grid() == Grid::kSmall) return {"q4", "released"};
    return {"q4", "q8", "bf16", "released"};
  }
  std::string path(const std::string& weights) const { return folder_.path() + "/" + weights; }
  static LoadedModel load(const std::string& folder, LoadOptions options) {
    options.context = 512;
    options.all_logits = true;
    auto model = LoadedModel::load(folder, options);
    LH_CHECK(model.ok());
    return std::move(*model);
  }

 private:
  TemporaryFolder folder_;
};

TEST_P(PackedExperts, AreThoseOfTheFolderMappedWhole) {
  for (const std::string& weights : packings()) {
    write(weights);
    const LoadedModel resident = load(path(weights), {});
    const ExpertCacheLayout layout = layout_of(resident, resident.limits.weights);
    const std::vector<float> expected = run_logits(resident, prompt_, 0);
    for (const int64_t chunk : {0, 5, 1}) {
      for (const int64_t n_slots : sizes(layout)) {
        const LoadedModel model = load(path(weights), with_slots(layout, n_slots));
        ASSERT_EQ(stats(model).n_slots, n_slots);
        EXPECT_EQ(run_logits(model, prompt_, chunk), expected)
            << weights << ", " << n_slots << " slots, chunks of " << chunk;
      }
    }
  }
}

TEST_P(PackedExperts, AreHitMissedAndReadLikeTheOriginals) {
  for (const std::string& weights : packings()) {
    write(weights);
    LoadOptions options;
    options.weights = *parse_weights(weights);
    const LoadedModel original = load(golden_folder(GetParam()), options);
    const ExpertCacheLayout layout = layout_of(original, original.limits.weights);
    for (const int64_t n_slots : {layout.max_top_k, layout.n_experts}) {
      options.expert_cache = with_slots(layout, n_slots).expert_cache;
      options.threads = 2;
      const LoadedModel packing = load(golden_folder(GetParam()), options),
                        reading = load(path(weights), options);
      EXPECT_EQ(run_logits(reading, prompt_, 3), run_logits(packing, prompt_, 3));
      EXPECT_GT(stats(reading).misses, 0);
      EXPECT_EQ(stats(reading).misses, stats(packing).misses);
      EXPECT_EQ(stats(reading).hits, stats(packing).hits);
      EXPECT_EQ(stats(reading).read_bytes,
                static_cast<uint64_t>(stats(reading).misses) * layout.slot_bytes)
          << "all experts are of one size";
    }
  }
}

TEST_P(PackedExperts, AllocatedBytesAreThePlannedOnes) {
  for (const std::string& weights : packings()) {
    write(weights);
    const LoadedModel resident = load(path(weights), {});
    const ExpertCacheLayout layout = layout_of(resident, resident.limits.weights);
    for (const int64_t n_slots : sizes(layout)) {
      const LoadOptions options = with_slots(layout, n_slots);
      const LoadedModel model = load(path(weights), options);
      const Plan& plan = model.plan;
      const LoadedWeights& loaded = *model.weights;
      EXPECT_EQ(plan.weight_bytes, loaded.resident_bytes());
      EXPECT_EQ(plan.weight_bytes,
                resident.weights->resident_bytes() - plan.expert_bytes + loaded.experts->bytes());
      EXPECT_EQ(plan.expert_cache->bytes(), loaded.experts->bytes());
      EXPECT_EQ(loaded.packed.size(), 0u) << "what is not behind the cache stays mapped";
      PlanOptions asked;
      asked.context = 512;
      asked.threads = options.threads;
      asked.expert_cache = options.expert_cache;
      const auto priced = longhaul::plan(path(weights), asked);
      ASSERT_TRUE(priced.ok()) << priced.error().text();
      EXPECT_EQ(priced->weight_bytes, loaded.resident_bytes());
    }
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PackedExperts);
INSTANTIATE_TEST_SUITE_P(Checkpoints, PackedExperts, ::testing::ValuesIn(checkpoints_of_experts()),
                         test_name);

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ExpertCacheOf);
INSTANTIATE_TEST_SUITE_P(Checkpoints, ExpertCacheOf, ::testing::ValuesIn(checkpoints_of_experts()),
                         test_name);

}  // namespace
}  // namespace longhaul::testing
