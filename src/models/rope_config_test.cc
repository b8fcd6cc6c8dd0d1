#include "models/rope_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "mechanisms/rope.h"

namespace longhaul {
namespace {

using ::testing::HasSubstr;

Result<RopeFields> read(const std::string& object,
                        RopeFields defaults = {.max_position_embeddings = 4096},
                        int64_t head_dim = 8) {
  const auto json = parse_json(object, "rope");
  EXPECT_TRUE(json.ok()) << object;
  ConfigReader reader(*json, "rope");
  RopeFields fields = read_rope(reader, std::move(defaults), head_dim);
  LH_RETURN_IF_ERROR(reader.finish());
  return fields;
}

RopeSpec spec(const std::string& object, int64_t head_dim = 8,
              RopeFields defaults = {.max_position_embeddings = 4096}) {
  const auto fields = read(object, std::move(defaults), head_dim);
  EXPECT_TRUE(fields.ok()) << fields.error().text();
  return fields.ok() ? rope_spec(*fields, head_dim) : RopeSpec{};
}

void expect_frequencies(const RopeSpec& spec, const std::vector<double>& expected,
                        int64_t n_tokens = 0) {
  const std::vector<float> f = rope_frequencies(spec, n_tokens);
  ASSERT_EQ(f.size(), expected.size());
  for (size_t i = 0; i < f.size(); ++i) EXPECT_NEAR(f[i], expected[i], 2e-7 * expected[i]) << i;
}

constexpr const char* kReleasedV4 =
    R"({"type": "yarn", "factor": 16, "beta_fast": 32, "beta_slow": 1,
        "original_max_position_embeddings": 65536, "rope_theta": 160000})";

TEST(Yarn, RampOfTheReleasedDeepSeekV4) {
  EXPECT_EQ(std::get<RopeRamp>(spec(kReleasedV4, 64).stretch), (RopeRamp{15, 25}));
}

TEST(Yarn, FrequenciesOfTheReleasedDeepSeekV4) {
  const std::vector<float> f = rope_frequencies(spec(kReleasedV4, 64));
  ASSERT_EQ(f.size(), 32u);
  const std::pair<size_t, double> expected[] = {{0, 1.0},
                                                {1, .687656022},
                                                {15, .00363553858},
                                                {16, .002265625},
                                                {20, 2.96977778e-4},
                                                {24, 1.953125e-5},
                                                {25, 5.37231267e-6},
                                                {31, 5.68052904e-7}};
  for (const auto& [i, value] : expected) EXPECT_NEAR(f[i], value, 1e-6 * value) << i;
}

TEST(Yarn, TheRampStaysWithinTheChannels) {
  const auto ramp = [](const std::string& more, int64_t head_dim = 8) {
    return std::get<RopeRamp>(
        spec(R"({"rope_type": "yarn", "factor": 2, )" + more + "}", head_dim).stretch);
  };
  // All pairs turn often enough, or none does.
  EXPECT_EQ(
      ramp(R"("beta_fast": 1e6, "beta_slow": 1e6, "original_max_position_embeddings": 10)").low,
      0.0);
  EXPECT_EQ(ramp(
                R"("rope_theta": 10, "beta_fast": 1, "beta_slow": 1e-6,
              "original_max_position_embeddings": 1048576)")
                .high,
            7.0);
  const RopeRamp point =
      ramp(R"("beta_fast": 1e6, "beta_slow": 1e-6, "original_max_position_embeddings": 1)", 2);
  EXPECT_LT(point.low, point.high);
}

TEST(Yarn, RampIsOfWholePairsUnlessTheConfigSaysOtherwise) {
  const std::string yarn =
      R"({"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 64, "beta_fast": 4,
          "rope_theta": 1e4})";
  const RopeRamp whole = std::get<RopeRamp>(spec(yarn, 32).stretch);
  EXPECT_EQ(whole.low, std::floor(whole.low));
  EXPECT_EQ(whole.high, std::ceil(whole.high));
  const RopeRamp exact = std::get<RopeRamp>(
      spec(yarn, 32, {.truncate = false, .max_position_embeddings = 4096}).stretch);
  EXPECT_GT(exact.low, whole.low);
  EXPECT_LT(exact.high, whole.high);
  // Inside an object the reference does not look for it.
  EXPECT_EQ(std::get<RopeRamp>(spec(R"({"truncate": false, )" + yarn.substr(1), 32).stretch),
            whole);
}

// NVIDIA/Megatron-LM #1418: DeepSeek's fields.
TEST(Yarn, AttentionFactorFollowsFromFactorAndMscale) {
  const auto factor = [](const std::string& more) {
    return spec(R"({"rope_type": "yarn", "original_max_position_embeddings": 1024, )" + more + "}")
        .attention_factor;
  };
  EXPECT_FLOAT_EQ(factor(R"("factor": 16)"), 1.2772588722239782f);
  EXPECT_FLOAT_EQ(factor(R"("factor": 1)"), 1.0f);
  EXPECT_FLOAT_EQ(factor(R"("factor": 0.5)"), 1.0f);
  EXPECT_FLOAT_EQ(factor(R"("factor": null)"), 0.1f * std::log(4.0f) + 1.0f)
      << "as far as 4096 is beyond the original";
  EXPECT_FLOAT_EQ(factor(R"("factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0)"), 1.0f);
  EXPECT_FLOAT_EQ(factor(R"("factor": 40, "mscale": 0.707, "mscale_all_dim": 0.5)"),
                  static_cast<float>((0.0707 * std::log(40.0) + 1) / (0.05 * std::log(40.0) + 1)));
  EXPECT_FLOAT_EQ(factor(R"("factor": 40, "mscale": 0.707)"), 0.1f * std::log(40.0f) + 1.0f)
      << "one of the two is none";
  EXPECT_FLOAT_EQ(factor(R"("factor": 40, "mscale": 0, "mscale_all_dim": 1)"),
                  0.1f * std::log(40.0f) + 1.0f);
  EXPECT_FLOAT_EQ(
      factor(R"("factor": 40, "mscale": 2, "mscale_all_dim": 1, "attention_factor": 0.7)"), 0.7f)
      << "written, it decides";
}

TEST(RopeConfig, FrequenciesOfEveryType) {
  // Pairs turn by 100^(-i/4) a position: 1, 0.316, 0.1, 0.0316.
  const double theta = std::pow(100.0, -0.25),
               plain[] = {1, theta, theta * theta, theta * theta * theta};
  const auto scaled = [&](std::vector<double> by) {
    for (size_t i = 0; i < by.size(); ++i) by[i] *= plain[i];
    return by;
  };
  expect_frequencies(spec(R"({"rope_type": "default", "rope_theta": 100, "factor": 8})"),
                     scaled({1, 1, 1, 1}));
  expect_frequencies(spec(R"({"rope_type": "linear", "rope_theta": 100, "factor": 8})"),
                     scaled({.125, .125, .125, .125}));
  expect_frequencies(spec(
                         R"({"rope_type": "proportional", "rope_theta": 100, "factor": 2,
              "partial_rotary_factor": 0.5})"),
                     scaled({.5, .5, 0, 0}));
  // Waves of 6.3, 19.9, 62.8 and 199 positions, of which those below 16 are left and those above 64
  // are stretched.
  const double a = (64 / 19.869 - 1) / 3, b = (64 / 62.832 - 1) / 3;
  const std::vector<float> f = rope_frequencies(
      spec(R"({"rope_type": "llama3", "rope_theta": 100, "factor": 8, "low_freq_factor": 1,
      "high_freq_factor": 4, "original_max_position_embeddings": 64})"));
  EXPECT_EQ(f[0], 1.0f);
  EXPECT_NEAR(f[1], plain[1] * ((1 - a) / 8 + a), 1e-5);
  EXPECT_NEAR(f[2], plain[2] * ((1 - b) / 8 + b), 1e-5);
  EXPECT_NEAR(f[3], plain[3] / 8, 1e-8);
}

TEST(RopeConfig, FrequenciesThatFollowTheLength) {
  const RopeFields positions{.max_position_embeddings = 16};
  const RopeSpec dynamic =
      spec(R"({"rope_type": "dynamic", "rope_theta": 100, "factor": 3})", 8, positions);
  EXPECT_TRUE(dynamic.follows_length());
  EXPECT_EQ(rope_frequencies(dynamic, 16), rope_frequencies(spec(R"({"rope_theta": 100})"), 16))
      << "as far as the model was made for";
  const double grown = 100 * std::pow(3.0 * 32 / 16 - 2, 8.0 / 6);
  expect_frequencies(dynamic,
                     {1, std::pow(grown, -.25), std::pow(grown, -.5), std::pow(grown, -.75)}, 32);

  const RopeSpec longrope = spec(
      R"({"rope_type": "longrope", "rope_theta": 100, "factor": 4,
          "original_max_position_embeddings": 10,
      "short_factor": [1, 1, 2, 2], "long_factor": [2, 3, 4, 5]})");
  const double t = std::pow(100.0, -.25);
  expect_frequencies(longrope, {1, t, t * t / 2, t * t * t / 2}, 10);
  expect_frequencies(longrope, {.5, t / 3, t * t / 4, t * t * t / 5}, 11);
  EXPECT_FLOAT_EQ(longrope.attention_factor,
                  static_cast<float>(std::sqrt(1 + std::log(4.0) / std::log(10.0))));
  EXPECT_FALSE(spec(kReleasedV4, 64).follows_length());
}

// lablup/mlxcel #1386: several checkpoints have both spellings.
TEST(RopeConfig, TheOlderSpellingOfTheTypeCountsWhereThereIsNoOther) {
  EXPECT_EQ(read(R"({"type": "linear", "factor": 8})")->type, RopeType::kLinear);
  EXPECT_EQ(read(R"({"type": "linear", "rope_type": "linear", "factor": 8})")->type,
            RopeType::kLinear);
  EXPECT_EQ(read(R"({"type": "linear", "rope_type": "default"})")->type, RopeType::kDefault);
  EXPECT_EQ(read(R"({"type": "yarn", "rope_type": null, "factor": 8})")->type, RopeType::kYarn);
}

// sgl-project/sglang #26013; deepseek-ai/DeepSeek-R1 #684; huggingface/transformers #25957;
// modelscope/ms-swift #4844.
TEST(RopeConfig, FieldsOfOtherTypesAndOtherPeople) {
  EXPECT_TRUE(read(R"({"rope_type": "default", "rope_theta": 1e6})").ok()) << "no factor";
  EXPECT_TRUE(read(
                  R"({"rope_type": "default", "factor": 8, "beta_fast": "x",
              "original_max_position_embeddings": -1})")
                  .ok());
  EXPECT_TRUE(read(
                  R"({"type": "yarn", "factor": 32, "original_max_position_embeddings": 4096,
              "finetuned": true})")
                  .ok());
  EXPECT_TRUE(
      read(R"({"rope_type": "default", "mrope_section": [1, 1, 2], "mrope_interleaved": true})")
          .ok());
  EXPECT_TRUE(read(R"({"rope_type": "yarn", "factor": 2, "attn_factor": null})").ok());
  EXPECT_THAT(read(R"({"rope_type": "yarn", "factor": 2, "attn_factor": 0.88})").error().text(),
              HasSubstr("attn_factor: not known"));
}

TEST(RopeConfig, RefusesWhatHasNoAngles) {
  const std::pair<const char*, const char*> kRefused[] = {
      {R"({"rope_type": "mrope"})",
       "rope_type: is 'mrope', supported: 'default', 'linear', 'proportional', 'dynamic', 'yarn', "
       "'longrope', 'llama3'"},
      {R"({"type": "su"})", "type: is 'su', supported"},
      {R"({"rope_type": "linear"})", "factor: null or missing, expected a number"},
      {R"({"rope_type": "linear", "factor": 0})", "factor: is 0, expected"},
      {R"({"rope_type": "dynamic"})", "factor: null or missing"},
      {R"({"rope_type": "dynamic", "factor": 2, "partial_rotary_factor": 0.25})",
       "must turn more than 2 channels"},
      {R"({"rope_type": "yarn", "rope_theta": 1})", "needs a rope_theta above 1"},
      {R"({"rope_type": "yarn", "factor": 2, "original_max_position_embeddings": 0})",
       "original_max_position_embeddings: is 0"},
      {R"({"rope_type": "llama3", "factor": 2})", "low_freq_factor: null or missing"},
      {R"({"rope_type": "llama3", "factor": 2, "low_freq_factor": 4, "high_freq_factor": 4})",
       "high_freq_factor: must be above"},
      {R"({"rope_type": "longrope", "short_factor": [1, 1, 1, 1]})",
       "long_factor: null or missing"},
      {R"({"rope_type": "longrope", "short_factor": [1], "long_factor": [1, 1, 1, 1]})",
       "short_factor: has 1 elements, expected 4"},
      {R"({"rope_type": "longrope", "short_factor": [1, 1, 1, 0], "long_factor": [1, 1, 1, 1]})",
       "short_factor[3]: is 0"},
      {R"({"rope_type": "longrope", "original_max_position_embeddings": 1,
          "short_factor": [1, 1, 1, 1], "long_factor": [1, 1, 1, 1]})",
       "must be at least 2 for longrope"},
      {R"({"partial_rotary_factor": 0.4})",
       "must turn an even number of channels, at least 2, turns 3"},
  };
  for (const auto& [object, fragment] : kRefused) {
    const auto fields = read(object);
    ASSERT_FALSE(fields.ok()) << object;
    EXPECT_THAT(fields.error().text(), HasSubstr(fragment)) << object;
  }
}

TEST(RopeConfig, ReachIsWhatTheStretchedAnglesWereMadeFor) {
  const auto reach = [](const std::string& object) { return read(object)->reach(); };
  EXPECT_EQ(reach("{}"), 4096);
  EXPECT_EQ(reach(R"({"rope_type": "linear", "factor": 8})"), 4096)
      << "what max_position_embeddings counts already";
  EXPECT_EQ(
      reach(R"({"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 4096})"),
      16384)
      << "a context that was not raised";
  EXPECT_EQ(reach(R"({"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 4})"),
            4096);
  EXPECT_EQ(reach(
                R"({"rope_type": "yarn", "factor": 1e6,
              "original_max_position_embeddings": 4294967296})"),
            int64_t{1} << 32);
}

TEST(RopeConfig, WhatIsWrittenReadsAsTheSame) {
  for (const char* object :
       {R"({"rope_type": "default", "rope_theta": 1e6})", R"({"rope_type": "linear", "factor": 8})",
        R"({"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e6})",
        R"({"rope_type": "dynamic", "factor": 2})",
        R"({"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 64, "mscale": 0.5,
           "mscale_all_dim": 0.2, "beta_fast": 9})",
        R"({"rope_type": "yarn", "attention_factor": 0.9, "original_max_position_embeddings": 64,
           "partial_rotary_factor": 0.5})",
        R"({"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4})",
        R"({"rope_type": "longrope", "short_factor": [1, 1, 2, 2], "long_factor": [2, 3, 4, 5],
           "original_max_position_embeddings": 9})"}) {
    const auto fields = read(object);
    ASSERT_TRUE(fields.ok()) << fields.error().text();
    EXPECT_EQ(spec(rope_json(*fields).dump()), rope_spec(*fields, 8)) << object;
  }
}

}  // namespace
}  // namespace longhaul
