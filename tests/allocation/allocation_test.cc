// The decode loop allocates nothing: after a first step, tokens are computed and chosen in memory
// that was planned.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "api/loaded_model.h"
#include "counting_allocator.h"
#include "generate/sampler.h"
#include "longhaul/checkpoint.h"
#include "longhaul/generate.h"
#include "longhaul/planner.h"
#include "runtime/rope_frequencies.h"

namespace longhaul {
namespace {

using testing::n_allocations;

// Sliding and full layers, shared caches, experts beside an MLP, per-layer embeddings: every
// mechanism is in the loop.
constexpr const char* kConfig =
    R"({"model_type": "gemma4_text", "vocab_size": 128, "hidden_size": 32, "intermediate_size": 48,
  "num_hidden_layers": 4, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16,
  "global_head_dim": 32, "sliding_window": 24,
  "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
  "num_kv_shared_layers": 2,
  "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 128,
  "final_logit_softcapping": 30.0,
  "enable_moe_block": true, "num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 16})";

class Allocation : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::string name = (std::filesystem::temp_directory_path() / "longhaul-test-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    std::ofstream(name + "/tiny.json") << kConfig;
    const Status written = synthesize(name + "/tiny.json", name + "/model", {.seed = 1});
    ASSERT_TRUE(written.ok()) << written.error().text();
    auto model =
        LoadedModel::load(name + "/model", {.threads = 2, .context = 1024, .max_batch_tokens = 64});
    ASSERT_TRUE(model.ok()) << model.error().text();
    model_ = new LoadedModel(std::move(*model));
    // A token's two experts of one layer and no more: each layer takes the slots of the one before.
    auto streamed = LoadedModel::load(
        name + "/model",
        {.threads = 2, .context = 1024, .max_batch_tokens = 64, .expert_cache = 10240});
    ASSERT_TRUE(streamed.ok()) << streamed.error().text();
    streamed_ = new LoadedModel(std::move(*streamed));
    // The same read from packed weights.
    const auto quantized =
        quantize(name + "/model", name + "/packed", {.weights = WeightPrecision::kBF16});
    ASSERT_TRUE(quantized.ok()) << quantized.error().text();
    auto packed = LoadedModel::load(
        name + "/packed",
        {.threads = 2, .context = 1024, .max_batch_tokens = 64, .expert_cache = 10240});
    ASSERT_TRUE(packed.ok()) << packed.error().text();
    packed_ = new LoadedModel(std::move(*packed));
    auto whole =
        Model::load(name + "/model", {.threads = 2, .context = 1024, .max_batch_tokens = 64});
    ASSERT_TRUE(whole.ok()) << whole.error().text();
    whole_ = std::move(*whole);
    std::filesystem::remove_all(name);
  }
  static void TearDownTestSuite() {
    delete model_;
    delete streamed_;
    delete packed_;
    whole_.reset();
  }

  static LoadedModel *model_, *streamed_, *packed_;
  static std::shared_ptr<const Model> whole_;
};

LoadedModel* Allocation::model_ = nullptr;
LoadedModel* Allocation::streamed_ = nullptr;
LoadedModel* Allocation::packed_ = nullptr;
std::shared_ptr<const Model> Allocation::whole_;

// Allocations of n steps of one token each, the sequence being reserved for them.
uint64_t allocations_of_steps(const LoadedModel& m, Sequence& sequence, int n) {
  float sum = 0;
  const LogitsSink sink = [&](size_t, int64_t, int64_t, const float* logits) {
    sum += logits[0];
    return true;
  };
  const int32_t token = 7;
  const SequenceInput input{&sequence, {&token, 1}, LogitsWanted::kLast};
  const uint64_t before = n_allocations();
  bool ok = true;
  for (int i = 0; i < n; ++i) ok = m.executor->advance(std::span(&input, 1), sink).ok() && ok;
  const uint64_t made = n_allocations() - before;
  EXPECT_TRUE(ok);
  EXPECT_EQ(sum, sum);
  return made;
}

TEST_F(Allocation, TheCounterCounts) {
  const uint64_t before = n_allocations();
  std::vector<int>* made = new std::vector<int>(10);
  EXPECT_EQ(n_allocations() - before, 2u);
  delete made;
}

TEST_F(Allocation, StepsOfOneTokenAllocateNothing) {
  const LoadedModel& m = *model_;
  auto sequence = Sequence::create(*m.arch, m.limits.kv, m.context);
  ASSERT_TRUE(sequence.ok() && sequence->reserve(600).ok());
  EXPECT_LT(allocations_of_steps(m, *sequence, 1), 1000u);  // the first may size its lists
  EXPECT_EQ(allocations_of_steps(m, *sequence, 10), 0u);
  EXPECT_EQ(allocations_of_steps(m, *sequence, 500), 0u)
      << "across pages 1 and 2, the ring wrapping many times";
  EXPECT_EQ(sequence->length(), 511);
}

TEST_F(Allocation, StepsAfterAPromptAllocateNothing) {
  const LoadedModel& m = *model_;
  auto sequence = Sequence::create(*m.arch, m.limits.kv, m.context);
  ASSERT_TRUE(sequence.ok() && sequence->reserve(300).ok());
  const std::vector<int32_t> prompt(64, 5);
  const SequenceInput input{&*sequence, prompt, LogitsWanted::kLast};
  for (int i = 0; i < 4; ++i)
    ASSERT_TRUE(m.executor
                    ->advance(std::span(&input, 1),
                              [](size_t, int64_t, int64_t, const float*) { return true; })
                    .ok());
  EXPECT_EQ(allocations_of_steps(m, *sequence, 5), 0u) << "the first token of a new page included";
}

// Of a sequence that was not reserved, pages are drawn where it comes to their borders, and there
// alone.
TEST_F(Allocation, GrowingAllocatesAtTheBordersOfPagesAlone) {
  const LoadedModel& m = *model_;
  auto sequence = Sequence::create(*m.arch, m.limits.kv, m.context);
  ASSERT_TRUE(sequence.ok());
  EXPECT_LT(allocations_of_steps(m, *sequence, 2), 1000u);
  for (int page = 0; page < 2; ++page) {
    const int left = static_cast<int>(kPageSlots - sequence->length() % kPageSlots);
    EXPECT_EQ(allocations_of_steps(m, *sequence, left), 0u) << "up to the border";
    const uint64_t at_border = allocations_of_steps(m, *sequence, 1);
    EXPECT_TRUE(at_border > 0 && at_border < 50) << at_border;
  }
}

// The loop that users run: choosing a token, telling of it, and the step that takes it in.
TEST_F(Allocation, AnswersAllocateAtTheBordersOfPagesAlone) {
  const std::vector<int32_t> prompt(40, 5);
  GenerateOptions options{.max_tokens = 600, .ignore_eos = true};
  options.sampling.temperature = 1.0;
  options.sampling.top_k = 20;
  auto session = Session::create(whole_);
  ASSERT_TRUE(session.ok());
  std::vector<uint64_t> counts;
  counts.reserve(600);
  const auto made = generate(*session, prompt, options, [&](const Piece&) {
    counts.push_back(n_allocations());
    return true;
  });
  ASSERT_TRUE(made.ok()) << made.error().text();
  ASSERT_EQ(counts.size(), 600u);
  // The first tokens size what is used over and over.
  for (size_t i = 10; i < counts.size(); ++i) {
    const auto position = static_cast<int64_t>(prompt.size() + i);
    if ((position - 1) % kPageSlots == 0) {
      EXPECT_LT(counts[i] - counts[i - 1], 50u) << "a page";
    } else {
      EXPECT_EQ(counts[i] - counts[i - 1], 0u) << "token " << i;
    }
  }
}

// Rows that are proposed and accepted in part, and those that are dropped.
TEST_F(Allocation, CommitsAllocateNothing) {
  const LoadedModel& m = *model_;
  auto sequence = Sequence::create(*m.arch, m.limits.kv, m.context);
  ASSERT_TRUE(sequence.ok() && sequence->reserve(600).ok());
  EXPECT_LT(allocations_of_steps(m, *sequence, 1), 1000u);
  const std::vector<int32_t> proposed(8, 5);
  const SequenceInput input{&*sequence, proposed, LogitsWanted::kLast};
  const LogitsSink sink = [](auto&&...) { return true; };
  bool ok = true;
  const uint64_t before = n_allocations();
  for (int i = 0; i < 60; ++i) {
    ok = m.executor->step(std::span(&input, 1), sink).ok() && ok;
    if (i % 9 < 8) ok = m.executor->commit(0, i % 9).ok() && ok;
  }
  EXPECT_EQ(n_allocations() - before, 0u);
  EXPECT_TRUE(ok);
}

TEST_F(Allocation, BringingExpertsAllocatesNothing) {
  for (const LoadedModel* model : {streamed_, packed_}) {
    const LoadedModel& m = *model;
    auto sequence = Sequence::create(*m.arch, m.limits.kv, m.context);
    ASSERT_TRUE(sequence.ok() && sequence->reserve(600).ok());
    EXPECT_LT(allocations_of_steps(m, *sequence, 1), 1000u);
    const int64_t before = m.weights->experts->stats().misses;
    EXPECT_EQ(allocations_of_steps(m, *sequence, 300), 0u);
    EXPECT_GE(m.weights->experts->stats().misses, before + 300);
  }
}

TEST_F(Allocation, SamplingAllocatesNothing) {
  const GenerationDefaults rules{.encoder_repetition_penalty = 1.1,
                                 .encoder_no_repeat_ngram_size = 3,
                                 .min_new_tokens = 5,
                                 .eos_token_ids = {1},
                                 .suppress_tokens = {3, 4},
                                 .begin_suppress_tokens = {5},
                                 .bad_words_ids = {{6}, {7, 8, 9}},
                                 .sequence_bias = {{{10, 11}, 2.0f}},
                                 .forced_eos_token_id = {1},
                                 .exponential_decay_length_penalty = LengthDecay{10, 1.1}};
  const std::vector<int32_t> prompt = {2, 3, 4, 3, 4};
  for (const SamplingOptions& options :
       {SamplingOptions{.temperature = 0.0}, SamplingOptions{.temperature = 0.8},
        SamplingOptions{.temperature = 1.0, .top_k = 20, .top_p = 0.9, .min_p = 0.01},
        SamplingOptions{.temperature = 1.0,
                        .top_h = 0.9,
                        .typical_p = 0.9,
                        .epsilon_cutoff = 1e-3,
                        .eta_cutoff = 1e-2},
        SamplingOptions{.temperature = 1.0,
                        .top_p = 0.5,
                        .repetition_penalty = 1.2,
                        .no_repeat_ngram_size = 4,
                        .frequency_penalty = 0.1}}) {
    Sampler sampler(options, rules, 128, prompt, 50);
    std::vector<float> logits(128);
    const uint64_t before = n_allocations();
    for (int i = 0; i < 50; ++i) {
      for (size_t t = 0; t < logits.size(); ++t)
        logits[t] = static_cast<float>((t * 37 + static_cast<size_t>(i) * 11) % 101) * 0.1f;
      sampler.accept(sampler.sample(logits));
    }
    EXPECT_EQ(n_allocations() - before, 0u)
        << "temperature " << options.temperature << ", top-k " << options.top_k;
  }
}

// Angles that are chosen anew for every length, computed in memory that was there before.
TEST(AllocationOfAngles, ThatFollowTheLengthIsNone) {
  RopeFrequencies dynamic(
      {.n_pairs = 8, .live_pairs = 8, .denominator = 16, .factor = 2.0, .stretch = RopeGrowth{4}});
  const uint64_t before = n_allocations();
  float sum = 0;
  for (int64_t n = 1; n < 100; ++n) sum += dynamic.in_text_of(n).back();
  EXPECT_EQ(n_allocations() - before, 0u);
  EXPECT_GT(sum, 0);
}

}  // namespace
}  // namespace longhaul
