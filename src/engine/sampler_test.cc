// Logits that a damaged or hostile checkpoint can give: not numbers, infinite, all the same.

#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace longhaul {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<SamplingOptions> all_options() {
  return {{.temperature = 0.0},
          {.temperature = 1.0},
          {.temperature = 1e-300},
          {.temperature = 0.7, .top_k = 1},
          {.temperature = 0.7, .top_k = 1000, .top_p = 0.0},
          {.temperature = 1.0, .top_p = 0.5, .min_p = 1.0},
          {.temperature = 1.0, .repetition_penalty = 1000.0, .presence_penalty = 1000.0, .frequency_penalty = -1000.0}};
}

int32_t sample(const SamplingOptions& options, std::vector<float> logits) {
  Sampler sampler(options, static_cast<int64_t>(logits.size()), {});
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
    EXPECT_EQ(sample(o, {kNan, kNan}), Sampler::kNoToken);
    EXPECT_EQ(sample(o, {-kInf, kNan}), Sampler::kNoToken);
  }
}

TEST(Sampler, SuppressedTokensAreNeverChosen) {
  const std::vector<int32_t> suppressed = {1, -5, 99};  // ids outside of the vocabulary are none of it
  for (const SamplingOptions& o : all_options()) {
    Sampler sampler(o, 3, suppressed);
    std::vector<float> logits = {0.0f, kInf, -kInf};
    EXPECT_EQ(sampler.sample(logits), 0);
  }
}

TEST(Sampler, ChoosesSomeTokenOfTheVocabularyFromAnyNumbers) {
  const float extreme[] = {0.0f, -0.0f, 3e38f, -3e38f, 1e-45f, kInf, -kInf, kNan, 1.0f};
  for (const SamplingOptions& o : all_options()) {
    Sampler sampler(o, 9, {});
    for (int i = 0; i < 20; ++i) {
      std::vector<float> logits(std::begin(extreme), std::end(extreme));
      const int32_t token = sampler.sample(logits);
      ASSERT_TRUE(token >= 0 && token < 9);
      sampler.accept(token);
    }
  }
}

}  // namespace
}  // namespace longhaul
