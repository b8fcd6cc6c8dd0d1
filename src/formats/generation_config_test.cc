#include "formats/generation_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/formats_testing.h"

namespace longhaul {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Result<GenerationDefaults> parse(std::string_view generation, std::string_view config) {
  const auto g = parse_json(generation, "g"), c = parse_json(config, "c");
  EXPECT_TRUE(g.ok() && c.ok());
  return parse_generation_defaults(&*g, "generation_config.json", *c, "config.json");
}

TEST(GenerationDefaults, UnitesTheEndTokensOfAllFiles) {
  const auto d = parse(
      R"({"eos_token_id":[106,1],"bos_token_id":2,"temperature":1.0,"top_k":64,"top_p":0.95,"min_p":0,
                           "repetition_penalty":1.1,"do_sample":true,"suppress_tokens":[9,3],"transformers_version":"5"})",
      R"({"eos_token_id":50,"bos_token_id":7,"pad_token_id":-1,"text_config":{"eos_token_id":1,"pad_token_id":0}})");
  ASSERT_TRUE(d.ok()) << d.error().text();
  EXPECT_THAT(d->eos_token_ids, ElementsAre(1, 50, 106));
  EXPECT_EQ(d->bos_token_id, 2);
  EXPECT_EQ(d->pad_token_id, 0);
  EXPECT_EQ(d->temperature, 1.0);
  EXPECT_EQ(d->top_k, 64);
  EXPECT_EQ(d->top_p, 0.95);
  EXPECT_EQ(d->min_p, 0.0);
  EXPECT_EQ(d->repetition_penalty, 1.1);
  EXPECT_EQ(d->do_sample, true);
  EXPECT_THAT(d->suppress_tokens, ElementsAre(3, 9));
}

TEST(GenerationDefaults, LeavesUnsetWhatIsNotSaid) {
  const auto d = parse(R"({"temperature":null})", R"({"eos_token_id":null})");
  ASSERT_TRUE(d.ok());
  EXPECT_EQ(d->temperature, std::nullopt);
  EXPECT_EQ(d->do_sample, std::nullopt);
  EXPECT_EQ(d->bos_token_id, std::nullopt);
  EXPECT_THAT(d->eos_token_ids, IsEmpty());
}

TEST(GenerationDefaults, ReadsTheRulesOfAnAnswer) {
  const auto d = parse(
      R"({"begin_suppress_tokens":[220,-1],"bad_words_ids":[[5],[],[6,7]],"sequence_bias":[[[5,6],-1.5],[[7],2],[[5,6],3.0]],
                           "no_repeat_ngram_size":3,"encoder_no_repeat_ngram_size":2,"encoder_repetition_penalty":1.5,
                           "forced_bos_token_id":4,"forced_eos_token_id":[2,1],"min_length":3,"min_new_tokens":4,"max_length":90,
                           "max_new_tokens":50,"exponential_decay_length_penalty":[15,1.6],"stop_strings":["###","","\n\n"],
                           "typical_p":0.9,"epsilon_cutoff":0.1,"eta_cutoff":0.2,"top_h":0.4})",
      "{}");
  ASSERT_TRUE(d.ok()) << d.error().text();
  EXPECT_THAT(d->begin_suppress_tokens, ElementsAre(220));
  EXPECT_THAT(d->bad_words_ids, ElementsAre(ElementsAre(5), ElementsAre(6, 7)));
  ASSERT_EQ(d->sequence_bias.size(), 2u) << "a sequence that stands twice has the later bias";
  EXPECT_THAT(d->sequence_bias[1].ids, ElementsAre(5, 6));
  EXPECT_EQ(d->sequence_bias[1].bias, 3.0f);
  EXPECT_EQ(d->no_repeat_ngram_size, 3);
  EXPECT_EQ(d->encoder_no_repeat_ngram_size, 2);
  EXPECT_EQ(d->encoder_repetition_penalty, 1.5);
  EXPECT_EQ(d->forced_bos_token_id, 4);
  EXPECT_THAT(d->forced_eos_token_id, ElementsAre(1, 2));
  EXPECT_EQ(d->min_length, 3);
  EXPECT_EQ(d->min_new_tokens, 4);
  EXPECT_EQ(d->max_length, 90);
  EXPECT_EQ(d->max_new_tokens, 50);
  ASSERT_TRUE(d->exponential_decay_length_penalty);
  EXPECT_EQ(d->exponential_decay_length_penalty->start, 15);
  EXPECT_EQ(d->exponential_decay_length_penalty->factor, 1.6);
  EXPECT_THAT(d->stop_strings, ElementsAre("###", "\n\n"));
  EXPECT_EQ(d->typical_p, 0.9);
  EXPECT_EQ(d->epsilon_cutoff, 0.1);
  EXPECT_EQ(d->eta_cutoff, 0.2);
  EXPECT_EQ(d->top_h, 0.4);
  EXPECT_THAT(d->notes, IsEmpty());
  EXPECT_THAT(parse(R"({"stop_strings":"END"})", "{}")->stop_strings, ElementsAre("END"));
}

// Nothing is ignored in silence: microsoft/onnxruntime-genai #2201, ml-explore/mlx-swift-lm #412,
// vllm-project/vllm #986.
TEST(GenerationDefaults, NamesWhatIsNotDone) {
  const auto notes = [](const char* generation, const char* config = "{}") {
    const auto d = parse(generation, config);
    EXPECT_TRUE(d.ok()) << d.error().text();
    return d.ok() ? d->notes : std::vector<std::string>{};
  };
  EXPECT_THAT(
      notes(R"({"num_beams":4,"length_penalty":2.0,"new_rule":7,"max_time":3.5})"),
      ElementsAre(
          "generation_config.json: not done here: num_beams, length_penalty, new_rule, max_time"));
  for (const char* field :
       {R"("guidance_scale":1.5)", R"("penalty_alpha":0.6)", R"("dola_layers":"high")",
        R"("token_healing":true)", R"("watermarking_config":{"bias":2.5})",
        R"("num_return_sequences":3)", R"("custom_generate":"x")", R"("force_words_ids":[[1]])",
        R"("constraints":[1])", R"("forced_decoder_ids":[[1,2]])", R"("top_n_sigma":1.0)"})
    EXPECT_EQ(notes(("{" + std::string(field) + "}").c_str()).size(), 1u) << field;
  EXPECT_THAT(
      notes(
          R"({"num_beams":1,"length_penalty":2.0,"early_stopping":true,"diversity_penalty":0.5,"guidance_scale":1.0,
                        "num_return_sequences":1,"penalty_alpha":0,"dola_layers":null,"max_time":null,"token_healing":false,"constraints":[],
                        "_from_model_config":true,"cache_implementation":"hybrid","use_cache":false,"output_attentions":true,
                        "renormalize_logits":true,"remove_invalid_values":true,"num_assistant_tokens":20,"transformers_version":"5.18.0"})"),
      IsEmpty())
      << "beams' fields without beams, and fields that change no text";
  EXPECT_THAT(
      notes(
          "{}",
          R"({"temperature":0.7,"top_k":50,"max_length":20,"bad_words_ids":[[1]],"text_config":{"num_beams":2}})"),
      ElementsAre("config.json: counts in generation_config.json alone, passed over here: "
                  "bad_words_ids, temperature, num_beams"));
  EXPECT_THAT(notes(R"({"temperature":0.7})", R"({"temperature":0.7})"), IsEmpty());
}

TEST(GenerationDefaults, RefusesRulesThatAreNone) {
  for (const char* field :
       {R"("bad_words_ids":[5])", R"("bad_words_ids":[["a"]])", R"("bad_words_ids":[[-1]])",
        R"("bad_words_ids":{"a":1})", R"("bad_words_ids":[[2147483648]])",
        R"("sequence_bias":[[5,1.0]])", R"("sequence_bias":[[[],1.0]])",
        R"("sequence_bias":[[[1]]])", R"("sequence_bias":{"[1]":2.0})",
        R"("sequence_bias":[[[1],"x"]])", R"("exponential_decay_length_penalty":[1])",
        R"("exponential_decay_length_penalty":5)", R"("begin_suppress_tokens":3)",
        R"("no_repeat_ngram_size":-1)", R"("stop_strings":[1])", R"("min_new_tokens":"5")",
        R"("forced_eos_token_id":"</s>")", R"("typical_p":2)", R"("max_new_tokens":1.5)"})
    EXPECT_FALSE(parse("{" + std::string(field) + "}", "{}").ok()) << field;
  const auto d = parse(R"({"forced_eos_token_id":[1,2],"suppress_tokens":[1,2,3]})", "{}");
  ASSERT_FALSE(d.ok());
  EXPECT_THAT(
      d.error().text(),
      HasSubstr("forced_eos_token_id: is among suppress_tokens, which leaves no token; take one"));
  EXPECT_TRUE(parse(R"({"forced_eos_token_id":[1,2],"suppress_tokens":[1]})", "{}").ok());
  EXPECT_FALSE(parse(R"({"forced_bos_token_id":1,"suppress_tokens":[1]})", "{}").ok());
}

TEST(GenerationDefaults, RefusesValuesThatNoSamplerTakes) {
  const auto d =
      parse(R"({"temperature":-1,"top_p":1.5,"eos_token_id":[2147483648],"top_k":"all"})", "{}");
  ASSERT_FALSE(d.ok());
  EXPECT_THAT(d.error().text(), HasSubstr("generation_config.json: 4 problems"));
  EXPECT_THAT(d.error().text(), HasSubstr("eos_token_id[0]: is 2147483648"));
  EXPECT_FALSE(parse("{}", R"({"eos_token_id":"</s>"})").ok());
}

}  // namespace
}  // namespace longhaul
