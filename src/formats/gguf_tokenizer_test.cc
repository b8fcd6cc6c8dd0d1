#include "formats/gguf_tokenizer.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "formats/formats_testing.h"
#include "formats/gguf_merges.h"
#include "formats/gguf_testing.h"

namespace longhaul {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Token {
  std::string text;
  int32_t type = 1;
  float score = 0;
};

// A file's tokenizer, whose keys are filled in and then changed at will.
struct Tokens {
  std::string model = "llama", pre = "default";
  std::vector<Token> tokens = {{"<pad>", 3},   {"<eos>", 3},     {"<bos>", 3},     {"<unk>", 2},
                               {"<0x0A>", 6},  {"a", 1, -1},     {"b", 1, -2},     {"ab", 1, -3},
                               {"abb", 1, -4}, {"  ", 4, -1000}, {"\u2581", 1, -5}};
  std::vector<std::string> more;  // keys with values

  std::string text() const {
    std::string texts, types, scores;
    for (const Token& token : tokens) {
      texts += raw_string(token.text);
      types += raw(token.type);
      scores += raw(token.score);
    }
    GgufTestFile file;
    file.values = {gguf_text("tokenizer.ggml.model", model),
                   gguf_text("tokenizer.ggml.pre", pre),
                   raw_array("tokenizer.ggml.tokens", 8, tokens.size(), texts),
                   raw_array("tokenizer.ggml.token_type", 5, tokens.size(), types),
                   raw_array("tokenizer.ggml.scores", 6, tokens.size(), scores),
                   gguf_value("tokenizer.ggml.eos_token_id", GgufValueType::kU32, uint32_t{1}),
                   gguf_value("tokenizer.ggml.bos_token_id", GgufValueType::kU32, uint32_t{2})};
    // One that is given again stands in place of the first.
    for (const std::string& value : more) {
      std::erase_if(file.values, [&](const std::string& v) { return key_of(v) == key_of(value); });
      if (key_of(value) != value.substr(8)) file.values.push_back(value);
    }
    return file.text();
  }

 private:
  static std::string key_of(const std::string& value) {
    uint64_t length = 0;
    std::memcpy(&length, value.data(), sizeof length);
    return value.substr(8, length);
  }
};

// A key to be left out.
std::string without(std::string_view key) { return raw_string(key); }

const GgufTokenRules kRules = {
    .merged_model = "merged", .pre = {"by_lines"}, .splits = {{R"(\n+)", "MergedWithNext"}}};

class GgufTokenizer : public ::testing::Test {
 protected:
  Result<std::optional<std::string>> rebuilt(const GgufTokenRules& rules = kRules) {
    return gguf_tokenizer_json(metadata(), "m.gguf", rules);
  }
  Json json(const GgufTokenRules& rules = kRules) {
    const auto text = rebuilt(rules);
    EXPECT_TRUE(text.ok()) << text.error().text();
    return text.ok() && *text ? *parse_json(**text, "rebuilt") : Json();
  }
  std::string problem() {
    const auto text = rebuilt();
    return text.ok() ? "rebuilt" : text.error().text();
  }
  const GgufMetadata& metadata() {
    text_ = file_.text();
    auto header = parse_gguf_header(std::as_bytes(std::span(text_)), "m.gguf");
    EXPECT_TRUE(header.ok()) << header.error().text();
    metadata_ = std::move(header->metadata);
    return metadata_;
  }

  Tokens file_;
  Notices notices_;

 private:
  std::string text_;
  GgufMetadata metadata_;
};

std::vector<std::string> merges_of(const Json& tokenizer) {
  std::vector<std::string> merges;
  for (const Json& merge : *tokenizer.find("model")->find("merges")->as_array())
    merges.push_back(*(*merge.as_array())[0].as_string() + "|" +
                     *(*merge.as_array())[1].as_string());
  return merges;
}

const Json& added(const Json& tokenizer, size_t i) {
  return (*tokenizer.find("added_tokens")->as_array())[i];
}

TEST_F(GgufTokenizer, RebuildsMergesFromScores) {
  EXPECT_THAT(merges_of(json()), ElementsAre("\u2581|\u2581", "a|b", "ab|b"));
}

TEST_F(GgufTokenizer, PutsMergesOfUsersTokensFirst) {
  file_.tokens.push_back({"    ", 4, -1000});  // four blanks out of two and two
  const Json tokenizer = json();
  EXPECT_THAT(merges_of(tokenizer),
              ElementsAre("\u2581\u2581|\u2581\u2581", "\u2581|\u2581", "a|b", "ab|b"));
  EXPECT_EQ(*added(tokenizer, 4).find("content")->as_string(), "\u2581\u2581");
  EXPECT_FALSE(*added(tokenizer, 4).find("special")->as_bool());
}

TEST_F(GgufTokenizer, KeepsTheSpecialTokensOfTheFile) {
  const Json tokenizer = json();
  EXPECT_EQ(*added(tokenizer, 0).find("content")->as_string(), "<pad>");
  EXPECT_TRUE(*added(tokenizer, 0).find("special")->as_bool());
  EXPECT_EQ(*tokenizer.find("model")->find("unk_token")->as_string(), "<unk>");
  EXPECT_TRUE(*tokenizer.find("model")->find("byte_fallback")->as_bool());
}

TEST_F(GgufTokenizer, AddsTheBeginningUnlessTheFileSaysNo) {
  EXPECT_THAT(json().find("post_processor")->dump(), HasSubstr("\"<bos>\""));
  file_.more = {gguf_value("tokenizer.ggml.add_bos_token", GgufValueType::kBool, uint8_t{0})};
  EXPECT_TRUE(json().find("post_processor")->is_null());
}

TEST_F(GgufTokenizer, MakesTurnMarkersControlTokens) {
  file_.tokens.push_back({"<start_of_turn>", 1});
  const Json plain = json(), mended = json({.control = {"<start_of_turn>"}});
  EXPECT_EQ(plain.find("added_tokens")->as_array()->size() + 1,
            mended.find("added_tokens")->as_array()->size());
  EXPECT_TRUE(*added(mended, 5).find("special")->as_bool());
}

TEST_F(GgufTokenizer, UnusedControlTokensStayVisible) {
  file_.tokens.push_back({"<unused0>", 3});
  EXPECT_FALSE(*added(json(), 5).find("special")->as_bool());
}

TEST_F(GgufTokenizer, CountsATokenThatStandsTwiceAtItsFirstId) {
  file_.tokens.push_back({"ab", 1, -9});
  EXPECT_EQ(*json().find("model")->find("vocab")->find("ab")->as_int(), 7);
  EXPECT_THAT(notices_.lines,
              Contains(HasSubstr("stand twice count at their first id: 'ab' (id 11)")));
}

TEST_F(GgufTokenizer, TakesGivenMergesAndPreTokenizers) {
  file_.model = "gpt2";
  file_.more = {raw_array("tokenizer.ggml.merges", 8, 1, raw_string("a b"))};
  file_.pre = "by_lines";
  EXPECT_THAT(merges_of(json()), ElementsAre("a|b"));
  EXPECT_THAT(json().find("pre_tokenizer")->dump(), HasSubstr("MergedWithNext"));
  EXPECT_EQ(*json().find("decoder")->find("type")->as_string(), "ByteLevel");
  file_.model = "merged";
  EXPECT_THAT(merges_of(json()), ElementsAre("a|b"));
  EXPECT_EQ(*json().find("decoder")->find("type")->as_string(), "Sequence");
}

TEST_F(GgufTokenizer, PrefersAWholeTokenizer) {
  file_.more = {gguf_text("tokenizer.huggingface.json", "{\"own\": 1}")};
  EXPECT_EQ(**rebuilt(), "{\"own\": 1}");
}

TEST_F(GgufTokenizer, HasNoneWhereTheFileHasNone) {
  file_.more = {gguf_text("tokenizer.ggml.model", "none")};
  ASSERT_TRUE(rebuilt().ok());
  EXPECT_FALSE(rebuilt()->has_value());
}

TEST_F(GgufTokenizer, StopsAndDefaults) {
  file_.tokens.push_back({"<end_of_turn>", 3});
  file_.more = {gguf_value("tokenizer.ggml.eot_token_id", GgufValueType::kU32, uint32_t{3}),
                gguf_value("general.sampling.temp", GgufValueType::kF32, 0.5f),
                gguf_value("general.sampling.top_k", GgufValueType::kI32, int32_t{64}),
                raw_array("tokenizer.ggml.suppress_tokens", 5, 1, raw(int32_t{4}))};
  const auto config = gguf_generation_config(metadata(), "m.gguf", {.stops = {"<end_of_turn>"}});
  ASSERT_TRUE(config.ok()) << config.error().text();
  EXPECT_EQ(config->find("eos_token_id")->dump(), "[1,3,11]");
  EXPECT_EQ(config->find("suppress_tokens")->dump(), "[4]");
  EXPECT_EQ(config->find("temperature")->number(), 0.5);
  EXPECT_EQ(*config->find("top_k")->as_int(), 64);
  EXPECT_TRUE(*config->find("do_sample")->as_bool());
}

TEST_F(GgufTokenizer, NamesTemplatesAndSpecialTokens) {
  file_.more = {gguf_text("tokenizer.chat_template", "{{ bos_token }}"),
                gguf_text("tokenizer.chat_template.tool_use", "tools")};
  const auto config = gguf_tokenizer_config(metadata(), "m.gguf");
  ASSERT_TRUE(config.ok()) << config.error().text();
  EXPECT_EQ(*config->find("bos_token")->as_string(), "<bos>");
  EXPECT_EQ(config->find("chat_template")->dump(),
            R"({"default":"{{ bos_token }}","tool_use":"tools"})");
  file_.more = {gguf_text("tokenizer.chat_template", "{% include '/etc/passwd' %}")};
  EXPECT_THAT(gguf_tokenizer_config(metadata(), "m.gguf").error().text(),
              HasSubstr("includes another file, which is not here; put the model's "
                        "chat_template.jinja beside"));
}

// --- hostile -------------------------------------------------------------------------------------

struct Hostile {
  const char* name;
  void (*damage)(Tokens& file);
  const char* message;
};

class GgufTokenizerHostile : public GgufTokenizer, public ::testing::WithParamInterface<Hostile> {};

TEST_P(GgufTokenizerHostile, IsRefusedByNameWithARemedy) {
  GetParam().damage(file_);
  EXPECT_THAT(problem(), HasSubstr(GetParam().message));
  EXPECT_THAT(problem(), HasSubstr("; "));
}

constexpr const char* kScores = "tokenizer.ggml.scores";
constexpr const char* kTypes = "tokenizer.ggml.token_type";

const Hostile kHostile[] = {
    {"ScoresShorter", [](Tokens& f) { f.more = {raw_array(kScores, 6, 1, raw(0.0f))}; },
     "tokenizer.ggml.scores has 1 elements, there are 11 tokens"},
    {"ScoresOfBytes", [](Tokens& f) { f.more = {raw_array(kScores, 0, 3, "abc")}; },
     "tokenizer.ggml.scores is array of u8, expected an array of floats"},
    {"ScoresMissing", [](Tokens& f) { f.more = {without(kScores)}; },
     "tokenizer.ggml.scores is missing"},
    {"ScoreIsNoNumber", [](Tokens& f) { f.tokens[7].score = NAN; },
     "tokenizer.ggml.scores[7] is no number"},
    {"TypesShorter", [](Tokens& f) { f.more = {raw_array(kTypes, 5, 1, raw(int32_t{1}))}; },
     "tokenizer.ggml.token_type has 1 elements, there are 11 tokens"},
    {"TypesOfFloats", [](Tokens& f) { f.more = {raw_array(kTypes, 6, 1, raw(1.0f))}; },
     "tokenizer.ggml.token_type is array of f32"},
    {"TypeUnknown", [](Tokens& f) { f.tokens[5].type = 7; },
     "tokenizer.ggml.token_type[5] is 7, expected 1 to 6"},
    {"NoTokens", [](Tokens& f) { f.tokens.clear(); }, "tokenizer.ggml.tokens has 0 elements"},
    {"EmptyToken", [](Tokens& f) { f.tokens[5].text.clear(); },
     "tokenizer.ggml.tokens[5] has 0 bytes"},
    {"LongToken", [](Tokens& f) { f.tokens[5].text.assign(1 << 20, 'x'); },
     "tokenizer.ggml.tokens[5] has 1048576 bytes, expected 1 to 1024"},
    {"NegativeByte", [](Tokens& f) { f.tokens[4].text = "<0x-1>"; },
     "tokenizer.ggml.tokens[4] is '<0x-1>', expected a byte"},
    {"NoByte", [](Tokens& f) { f.tokens[4].text = "<0xZZ>"; }, "is '<0xZZ>', expected a byte"},
    {"ByteTwice", [](Tokens& f) { f.tokens.push_back({"<0x0A>", 6}); },
     "tokenizer.ggml.tokens[11] is '<0x0A>' for the second time"},
    {"MergeWithoutBlank",
     [](Tokens& f) {
       f.model = "merged";
       f.more = {raw_array("tokenizer.ggml.merges", 8, 1, raw_string("ab"))};
     },
     "tokenizer.ggml.merges[0] is 'ab', expected two texts with one blank between"},
    {"MergesMissing", [](Tokens& f) { f.model = "merged"; }, "tokenizer.ggml.merges is missing"},
    {"ModelUnknown", [](Tokens& f) { f.model = "bert"; },
     "tokenizer.ggml.model is 'bert', expected llama, merged or gpt2"},
    {"SplitUnknown", [](Tokens& f) { f.model = "gpt2"; },
     "tokenizer.ggml.pre is 'default', expected by_lines"},
    {"BosBeyond",
     [](Tokens& f) {
       f.more = {gguf_value("tokenizer.ggml.bos_token_id", GgufValueType::kU32, uint32_t{11})};
     },
     "tokenizer.ggml.bos_token_id is 11, and there are 11 tokens"},
    {"BosIsText", [](Tokens& f) { f.more = {gguf_text("tokenizer.ggml.bos_token_id", "2")}; },
     "tokenizer.ggml.bos_token_id is string, expected an integer"},
    {"SpacePrefix",
     [](Tokens& f) {
       f.more = {gguf_value("tokenizer.ggml.add_space_prefix", GgufValueType::kBool, uint8_t{1})};
     },
     "tokenizer.ggml.add_space_prefix is true, expected false"},
};

INSTANTIATE_TEST_SUITE_P(Classes, GgufTokenizerHostile, ::testing::ValuesIn(kHostile),
                         [](const auto& info) { return info.param.name; });

TEST(GgufMerges, AreOrderedByScoreThenLengths) {
  const std::vector<std::string> texts = {"a", "b", "ab", "ba", "aba", "abab"};
  const std::vector<double> scores = {0, 0, -1, -1, -2, -2};
  TokenIds ids;
  for (size_t i = 0; i < texts.size(); ++i) ids.emplace(texts[i], static_cast<int32_t>(i));
  std::vector<std::string> merges;
  for (const TokenPair& pair : merges_of_scores(texts, scores, ids))
    merges.push_back(std::string(pair.left).append("|").append(pair.right));
  EXPECT_THAT(merges, ElementsAre("a|b", "b|a", "aba|b", "ab|ab", "ab|a", "a|ba"));
}

}  // namespace
}  // namespace longhaul
