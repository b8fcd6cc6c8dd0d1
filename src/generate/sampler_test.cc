// Logits that a damaged or hostile checkpoint can give (not numbers, infinite, all the same), and
// what counts for penalties.

#include "generate/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace longhaul {
namespace {

using ::testing::ElementsAre;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<SamplingOptions> all_options() {
  return {{.temperature = 0.0},
          {.temperature = 1.0},
          {.temperature = 1e-300},
          {.temperature = 0.7, .top_k = 1},
          {.temperature = 0.7, .top_k = 1000, .top_p = 0.0},
          {.temperature = 1.0, .top_p = 0.5, .min_p = 1.0},
          {.temperature = 1.0, .top_h = 0.0},
          {.temperature = 1.3, .top_h = 0.5, .typical_p = 0.0},
          {.temperature = 1.0, .typical_p = 0.3, .epsilon_cutoff = 1.0, .eta_cutoff = 1.0},
          {.temperature = 1.0,
           .repetition_penalty = 1000.0,
           .presence_penalty = 1000.0,
           .frequency_penalty = -1000.0}};
}

int32_t sample(const SamplingOptions& options, std::vector<float> logits) {
  Sampler sampler(options, {}, static_cast<int64_t>(logits.size()), {}, 1);
  return sampler.sample(logits);
}

TEST(Sampler, InfiniteLogitIsChosen) {
  for (const SamplingOptions& o : all_options()) {
    EXPECT_EQ(sample(o, {1.0f, kInf, 2.0f}), 1);
    EXPECT_EQ(sample(o, {kInf, kInf, kInf}), 0);
  }
}

TEST(Sampler, LogitsThatAreNoNumbersAreNeverChosen) {
  for (const SamplingOptions& o : all_options()) {
    EXPECT_EQ(sample(o, {kNan, -3.0f, kNan, -kInf}), 1);
    EXPECT_EQ(sample(o, {kNan, kNan}), Sampler::kNoNumber);
    EXPECT_EQ(sample(o, {-kInf, kNan}), Sampler::kNoNumber);
  }
}

TEST(Sampler, SuppressedTokensAreNeverChosen) {
  const GenerationDefaults suppressed{
      .suppress_tokens = {-5, 1, 99}};  // ids outside of the vocabulary are none of it
  for (const SamplingOptions& o : all_options()) {
    Sampler sampler(o, suppressed, 3, {}, 1);
    std::vector<float> logits = {0.0f, kInf, -kInf};
    EXPECT_EQ(sampler.sample(logits), 0);
  }
}

TEST(Sampler, TellsRulesThatLeaveNothingFromLogitsThatAreNoNumbers) {
  const GenerationDefaults rules{.suppress_tokens = {0}, .bad_words_ids = {{1}}};
  for (const SamplingOptions& o : all_options()) {
    Sampler sampler(o, rules, 2, {}, 1);
    std::vector<float> logits = {1.0f, 2.0f};
    EXPECT_EQ(sampler.sample(logits), Sampler::kAllRuledOut);
    logits = {kNan, kNan};
    EXPECT_EQ(sampler.sample(logits), Sampler::kNoNumber);
  }
}

TEST(Sampler, ChoosesSomeTokenOfTheVocabularyFromAnyNumbers) {
  const float extreme[] = {0.0f, -0.0f, 3e38f, -3e38f, 1e-45f, kInf, -kInf, kNan, 1.0f};
  for (const SamplingOptions& o : all_options()) {
    Sampler sampler(o, {}, 9, {}, 20);
    for (int i = 0; i < 20; ++i) {
      std::vector<float> logits(std::begin(extreme), std::end(extreme));
      const int32_t token = sampler.sample(logits);
      ASSERT_TRUE(token >= 0 && token < 9);
      sampler.accept(token);
    }
  }
}

// As OpenAI defined them and everyone computes them: osaurus-ai/vmlx-swift #295,
// NVIDIA/TensorRT-LLM #5623.
TEST(Sampler, PresenceAndFrequencyPenaltiesCountTheAnswerAlone) {
  const std::vector<int32_t> prompt = {0, 0, 1};
  Sampler sampler({.temperature = 0.0, .presence_penalty = 0.5, .frequency_penalty = 0.25}, {}, 4,
                  prompt, 10);
  std::vector<float> logits(4, 1.0f);
  sampler.sample(logits);
  EXPECT_THAT(logits, ElementsAre(1.0f, 1.0f, 1.0f, 1.0f)) << "the prompt counts for nothing";
  for (const int32_t token : {0, 2, 0}) sampler.accept(token);
  logits.assign(4, 1.0f);
  sampler.sample(logits);
  EXPECT_THAT(logits, ElementsAre(0.0f, 1.0f, 0.25f, 1.0f));
}

// huggingface/transformers #36642: prompt and answer, however often.
TEST(Sampler, RepetitionPenaltyCountsThePromptToo) {
  const std::vector<int32_t> prompt = {0, 0, 1};
  Sampler sampler({.temperature = 0.0, .repetition_penalty = 2.0}, {}, 4, prompt, 10);
  sampler.accept(2);
  sampler.accept(0);
  std::vector<float> logits = {4.0f, -4.0f, 1.0f, 1.0f};
  sampler.sample(logits);
  EXPECT_THAT(logits, ElementsAre(2.0f, -8.0f, 0.5f, 1.0f));
}

TEST(Sampler, ASeedGivesTheSameTokensUnderEveryCut) {
  for (const SamplingOptions& base : all_options()) {
    std::vector<std::vector<int32_t>> runs;
    for (int run = 0; run < 2; ++run) {
      SamplingOptions o = base;
      o.seed = 17;
      Sampler sampler(o, {}, 50, {}, 30);
      runs.emplace_back();
      for (int i = 0; i < 30; ++i) {
        std::vector<float> logits(50);
        for (int t = 0; t < 50; ++t)
          logits[static_cast<size_t>(t)] = static_cast<float>((t * 7 + i * 3) % 11) * 0.3f;
        runs.back().push_back(sampler.sample(logits));
      }
    }
    EXPECT_EQ(runs[0], runs[1]);
  }
}

// The logits of a step that test's draws are made from.
std::vector<float> step_logits(int step) {
  std::vector<float> logits(40);
  for (int t = 0; t < 40; ++t)
    logits[static_cast<size_t>(t)] = static_cast<float>((t * 17 + step * 5) % 23) * 0.25f - 1.0f;
  return logits;
}

// Scripts keep the texts of a seed.
TEST(Sampler, DrawsWhatItAlwaysDrew) {
  Sampler sampler({.temperature = 0.8,
                   .top_k = 12,
                   .top_p = 0.9,
                   .min_p = 0.02,
                   .repetition_penalty = 1.1,
                   .seed = 5},
                  {}, 40, {}, 16);
  std::vector<int32_t> drawn;
  for (int i = 0; i < 16; ++i) {
    std::vector<float> logits = step_logits(i);
    drawn.push_back(sampler.sample(logits));
    sampler.accept(drawn.back());
  }
  EXPECT_THAT(drawn, ElementsAre(39, 32, 6, 3, 23, 5, 25, 29, 19, 4, 20, 37, 14, 11, 12, 13));
}

// What a drafter proposed is drawn again when it is verified, and a text that was resumed goes on
// as the one that was not stopped: only the position counts.
TEST(Sampler, ADrawDependsOnItsPositionAlone) {
  const SamplingOptions options{.temperature = 1.5, .seed = 11};
  Sampler whole(options, {}, 40, {}, 30);
  std::vector<int32_t> text;
  for (int i = 0; i < 30; ++i) {
    std::vector<float> logits = step_logits(i);
    text.push_back(whole.sample(logits));
    whole.accept(text.back());
  }
  for (const size_t cut : {1, 7, 29}) {
    Sampler resumed(options, {}, 40, std::span(text).first(cut), 30);
    std::vector<float> logits = step_logits(static_cast<int>(cut));
    EXPECT_EQ(resumed.sample(logits), text[cut]) << cut;
    logits = step_logits(static_cast<int>(cut));
    EXPECT_EQ(resumed.sample(logits), text[cut]) << cut << ", drawn again";
  }
}

TEST(Sampler, DrawsFromTheDistribution) {
  constexpr int kDraws = 40000;
  const std::vector<float> logits = {1.0f, 0.0f, 2.0f, -1.0f, -4.0f};
  constexpr double kTemperature = 0.7;
  double sum = 0;
  for (const float l : logits) sum += std::exp(l / kTemperature);
  for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, UINT64_MAX}) {
    Sampler sampler({.temperature = kTemperature, .seed = seed}, {}, 5, {}, kDraws);
    std::vector<int> counts(5);
    for (int i = 0; i < kDraws; ++i) {
      std::vector<float> edited = logits;
      const int32_t token = sampler.sample(edited);
      ++counts[static_cast<size_t>(token)];
      sampler.accept(token);
    }
    for (size_t t = 0; t < logits.size(); ++t) {
      const double p = std::exp(logits[t] / kTemperature) / sum,
                   deviation = std::sqrt(kDraws * p * (1 - p));
      EXPECT_NEAR(counts[t], kDraws * p, 4 * deviation + 1) << "token " << t << ", seed " << seed;
    }
  }
}

}  // namespace
}  // namespace longhaul
