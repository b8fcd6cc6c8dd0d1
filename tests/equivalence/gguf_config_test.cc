// Keys of GGUF files that do not fit each other or the tensors: one error that names the key, and
// what to do.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>

#include "checkpoint/open_model.h"
#include "formats/formats_testing.h"
#include "formats/gguf_testing.h"
#include "testing/checkpoint.h"
#include "testing/gguf_checkpoint.h"

namespace longhaul::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

std::string u32(const std::string& key, uint32_t value) {
  return gguf_value(key, GgufValueType::kU32, value);
}
std::string f32(const std::string& key, float value) {
  return gguf_value(key, GgufValueType::kF32, value);
}
std::string i32s(const std::string& key, const std::vector<int32_t>& values) {
  std::string bytes;
  for (const int32_t value : values) bytes += raw(value);
  return raw_array(key, 5, values.size(), bytes);
}

Error error_of(const std::string& golden, const std::vector<std::string>& values) {
  const TemporaryFolder folder;
  const std::string file =
      write_gguf(read_golden(golden), folder.path() + "/model.gguf", 1, values);
  const auto opened = open_model(file, {});
  return opened.ok() ? Error{.message = "opened"} : opened.error();
}

std::string problem(const std::string& golden, const std::vector<std::string>& values) {
  return error_of(golden, values).text();
}

struct Bad {
  const char* name;
  const char* golden;
  std::vector<std::string> values;
  const char* message;
};

class GgufConfig : public ::testing::TestWithParam<Bad> {};

TEST_P(GgufConfig, NamesTheKeyAndARemedy) {
  const Error error = error_of(GetParam().golden, GetParam().values);
  EXPECT_THAT(error.message, HasSubstr(GetParam().message));
  EXPECT_THAT(error.message, HasSubstr("model.gguf"));
  EXPECT_FALSE(error.remedy.empty());
}

const Bad kBad[] = {
    {"NoBlocks", "gemma/gemma3", {u32("gemma3.block_count", 0)}, "gemma3.block_count"},
    {"ManyBlocks", "gemma/gemma3", {u32("gemma3.block_count", 513)}, "gemma3.block_count"},
    {"VeryManyBlocks", "gemma/e2b", {u32("gemma4.block_count", 1u << 31)}, "gemma4.block_count"},
    {"BlocksAreText", "gemma/gemma3", {gguf_text("gemma3.block_count", "6")}, "gemma3.block_count"},
    {"BlocksMissing", "gemma/gemma3", {raw_string("gemma3.block_count")}, "gemma3.block_count"},
    {"NoHeads",
     "gemma/gemma3",
     {u32("gemma3.attention.head_count", 0)},
     "gemma3.attention.head_count"},
    {"NoKeyHeads",
     "gemma/e2b",
     {u32("gemma4.attention.head_count_kv", 0)},
     "gemma4.attention.head_count_kv"},
    {"OddHeads",
     "gemma/gemma3",
     {u32("gemma3.attention.key_length", 7), u32("gemma3.attention.value_length", 7)},
     "must be even"},
    {"ValuesOfOtherWidth",
     "gemma/gemma3",
     {u32("gemma3.attention.value_length", 4)},
     "gemma3.attention.value_length"},
    {"EpsilonIsNoNumber",
     "gemma/gemma3",
     {f32("gemma3.attention.layer_norm_rms_epsilon", NAN)},
     "gemma3.attention.layer_norm_rms_epsilon"},
    {"FewerWidths",
     "gemma/e2b",
     {i32s("gemma4.feed_forward_length", {20, 20, 20, 20, 20})},
     "gemma4.feed_forward_length"},
    {"MoreWidths",
     "gemma/e2b",
     {i32s("gemma4.feed_forward_length", {20, 20, 20, 40, 40, 40, 40})},
     "gemma4.feed_forward_length"},
    {"AWidthOfNothing",
     "gemma/e2b",
     {i32s("gemma4.feed_forward_length", {20, 0, 20, 40, 40, 40})},
     "gemma4.feed_forward_length[1]"},
    {"WidthsThatDiffer",
     "gemma/e2b",
     {i32s("gemma4.feed_forward_length", {20, 24, 20, 40, 40, 40})},
     "gemma4.feed_forward_length"},
    {"FewerKinds",
     "gemma/e2b",
     {raw_array("gemma4.attention.sliding_window_pattern", 7, 2, std::string("\1\0", 2))},
     "gemma4.attention.sliding_window_pattern"},
    {"AllShared",
     "gemma/e2b",
     {u32("gemma4.attention.shared_kv_layers", 6)},
     "gemma4.attention.shared_kv_layers"},
    {"VocabularyOfOtherSize", "laguna/xs", {u32("laguna.vocab_size", 71)}, "laguna.vocab_size"},
    {"TokensOfOtherNumber",
     "gemma/gemma3",
     {raw_array("tokenizer.ggml.tokens", 8, 1, raw_string("a"))},
     "tokenizer.ggml.tokens has 1 elements"},
    {"OtherScores",
     "laguna/xs",
     {u32("laguna.expert_gating_func", 1)},
     "laguna.expert_gating_func"},
    {"FewerHeads",
     "laguna/xs",
     {i32s("laguna.attention.head_count", {4, 6, 6})},
     "laguna.attention.head_count"},
    {"ManyExperts", "laguna/xs", {u32("laguna.expert_count", 1u << 30)}, "laguna.expert_count"},
    {"TurnsMoreThanAHead",
     "laguna/xs",
     {u32("laguna.rope.dimension_count", 10)},
     "laguna.rope.dimension_count"},
    {"RatiosTooFew",
     "deepseek_v4/flash",
     {i32s("deepseek4.attention.compress_ratios", {0, 4})},
     "deepseek4.attention.compress_ratios"},
    {"RatiosThatDiffer",
     "deepseek_v4/flash",
     {i32s("deepseek4.attention.compress_ratios", {0, 0, 4, 8, 8})},
     "deepseek4.attention.compress_ratios"},
    {"GroupsOfExperts",
     "deepseek_v4/flash",
     {u32("deepseek4.expert_group_count", 4)},
     "deepseek4.expert_group_count"},
};

INSTANTIATE_TEST_SUITE_P(Classes, GgufConfig, ::testing::ValuesIn(kBad),
                         [](const auto& info) { return info.param.name; });

TEST(GgufConfigKeys, ThatAreNotKnownAreTold) {
  const Notices notices;
  EXPECT_EQ(problem("gemma/gemma3", {u32("gemma3.some.new_key", 1), u32("other.key", 2)}),
            "opened");
  EXPECT_THAT(notices.lines, Contains(HasSubstr("keys that are not known are passed over: "
                                                "gemma3.some.new_key")));
}

TEST(GgufConfigKeys, OfAnyWidthAreRead) {
  EXPECT_EQ(problem("gemma/gemma3",
                    {gguf_value("gemma3.block_count", GgufValueType::kU8, uint8_t{6}),
                     gguf_value("gemma3.context_length", GgufValueType::kI64, int64_t{4096})}),
            "opened");
}

TEST(GgufConfigKeys, WhatShapesTellMayBeMissing) {
  const Notices notices;
  std::vector<std::string> missing;
  for (const char* key :
       {"vocab_size", "attention.q_lora_rank", "attention.output_lora_rank",
        "attention.output_group_count", "attention.compress_ratios", "hyper_connection.count",
        "hyper_connection.sinkhorn_iterations", "hyper_connection.epsilon", "hash_layer_count",
        "attention.indexer.head_count", "attention.indexer.key_length", "attention.key_length"})
    missing.push_back(raw_string(std::string("deepseek4.") + key));
  EXPECT_EQ(problem("deepseek_v4/flash", missing), "opened");
  EXPECT_THAT(problem("deepseek_v4/flash", {raw_string("deepseek4.attention.sliding_window")}),
              HasSubstr("deepseek4.attention.sliding_window"));
}

TEST(GgufConfigKeys, AWrongShareOfExtrapolationIsReadAsOne) {
  const Notices notices;
  EXPECT_EQ(problem("laguna/xs", {f32("laguna.rope.scaling.yarn_ext_factor", 8)}), "opened");
  EXPECT_THAT(notices.lines, Contains(HasSubstr("yarn_ext_factor is 8")));
}

TEST(GgufNorms, OfGemma3MustHoldTheOne) {
  const TemporaryFolder folder;
  HfCheckpoint checkpoint = read_golden("gemma/gemma3");
  for (auto& [name, tensor] : checkpoint.tensors) {
    if (name.find("input_layernorm") == name.npos) continue;
    const float minus_one = -1.0f;
    for (size_t at = 0; at < tensor.bytes.size(); at += sizeof minus_one)
      std::memcpy(tensor.bytes.data() + at, &minus_one, sizeof minus_one);
  }
  const auto opened = open_model(write_gguf(checkpoint, folder.path() + "/model.gguf"), {});
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(opened.error().text(), HasSubstr("the mean of all 'attn_norm' is 0"));
}

}  // namespace
}  // namespace longhaul::testing
