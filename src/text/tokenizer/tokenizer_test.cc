#include "text/tokenizer/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace longhaul {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<int32_t>;

// Tokens a=0 b=1 c=2 ab=3 abc=4, <s>=5 added; `rest` adds members such as a pre_tokenizer.
std::string small_json(const std::string& rest = "", const std::string& model_rest = "") {
  return R"({"added_tokens":[{"id":5,"content":"<s>","special":true}],)" + rest +
         R"("model":{"type":"BPE","vocab":{"a":0,"b":1,"c":2,"ab":3,"abc":4},"merges":["a b",["ab","c"]])" +
         model_rest + "}}";
}

Tokenizer parsed(const std::string& json) {
  auto tokenizer = Tokenizer::parse(json, "test.json");
  if (!tokenizer.ok()) throw std::runtime_error(tokenizer.error().text());
  return *tokenizer;
}

TEST(Tokenizer, MergesLowestRankFirstAndLeftmost) {
  const auto t = parsed(small_json());
  EXPECT_THAT(*t.encode("abcab"), ElementsAre(4, 3));
  EXPECT_THAT(*t.encode("cba"), ElementsAre(2, 1, 0));
  EXPECT_THAT(*t.encode(""), ElementsAre());
}

TEST(Tokenizer, SpecialTokensAreFoundUnlessReadAsPlainText) {
  const auto t = parsed(small_json());
  EXPECT_THAT(*t.encode("a<s>b"), ElementsAre(0, 5, 1));
  EXPECT_THAT(*t.encode("a<s>b", false),
              ElementsAre(3));  // '<', 's', '>' have no token and no unk_token: dropped
}

TEST(Tokenizer, LooksUpTokensAndIds) {
  const auto t = parsed(small_json());
  EXPECT_EQ(t.vocab_size(), 6);
  EXPECT_EQ(t.token_to_id("ab"), 3);
  EXPECT_EQ(t.token_to_id("<s>"), 5);
  EXPECT_EQ(t.token_to_id("x"), std::nullopt);
  EXPECT_EQ(t.id_to_token(4), "abc");
  EXPECT_EQ(t.id_to_token(5), "<s>");
  EXPECT_EQ(t.id_to_token(6), std::nullopt);
  EXPECT_EQ(t.id_to_token(-1), std::nullopt);
  EXPECT_TRUE(t.is_special(5));
  EXPECT_FALSE(t.is_special(4));
}

// MemPalace/mempalace #2114, huggingface/transformers #37011: a text may mention a token that the
// tokenizer knows and the model does not.
TEST(Tokenizer, AnAddedTokenThatTheModelDoesNotKnowIsText) {
  const std::string json =
      R"({"added_tokens":[{"id":2,"content":"c","special":false},{"id":5,"content":"ab","normalized":true},
      {"id":6,"content":"<s>","special":true},{"id":7,"content":"cab","special":true,"lstrip":true}],"model":{"type":"BPE",
      "vocab":{"a":0,"b":1,"c":2,"ac":3,"cb":4},"merges":["a c","c b"]},
      "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
      "pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[6],"tokens":["<s>"]}}}})";
  const auto with = [&](int64_t max_ids) {
    auto tokenizer = Tokenizer::parse(json, "test.json", max_ids);
    if (!tokenizer.ok()) throw std::runtime_error(tokenizer.error().text());
    return *tokenizer;
  };
  const Tokenizer all = with(8), seven = with(7), six = with(6), five = with(5);
  EXPECT_THAT(*all.encode("a cab<s>ab"), ElementsAre(0, 7, 6, 5));
  EXPECT_THAT(*seven.encode("a cab<s>ab"), ElementsAre(0, 2, 5, 6, 5))
      << "what stands inside of it is found";
  EXPECT_THAT(*six.encode("cab<s>ab"), ElementsAre(2, 5, 5));
  EXPECT_THAT(*five.encode("cab<s>ab"), ElementsAre(2, 0, 1, 0, 1));
  EXPECT_EQ(all.token_to_id("cab"), 7);
  EXPECT_EQ(seven.token_to_id("cab"), std::nullopt);
  EXPECT_EQ(seven.token_to_id("<s>"), 6);
  EXPECT_EQ(with(2).token_to_id("c"), std::nullopt) << "in the vocabulary as well";
  // What the file itself puts around a text is not a mention: it stays, for the caller to refuse.
  EXPECT_THAT(*six.encode("ac", true, true), ElementsAre(6, 0, 2));
  EXPECT_EQ(six.vocab_size(), 8);
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8) {
  const auto t = parsed(small_json());
  for (const std::string bad :
       {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"}) {
    const auto ids = t.encode("abcabc" + bad);
    ASSERT_FALSE(ids.ok());
    EXPECT_EQ(ids.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(ids.error().text(), HasSubstr("offset 6"));
  }
}

TEST(Tokenizer, AddsWhatTheTemplateSays) {
  const auto t = parsed(small_json(R"("post_processor":{"type":"TemplateProcessing",
      "single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
      "special_tokens":{"<s>":{"id":"<s>","ids":[5],"tokens":["<s>"]}}},)"));
  EXPECT_THAT(*t.encode("ab", true, true), ElementsAre(5, 3));
  EXPECT_THAT(*t.encode("ab"), ElementsAre(3));
}

TEST(Tokenizer, WithoutADecoderTokensAreJoinedByBlanks) {
  const auto t = parsed(small_json());
  EXPECT_EQ(t.decode(Ids{4, 5, 0}), "abc <s> a");
  EXPECT_EQ(t.decode(Ids{4, 5, 0}, true), "abc a");
  EXPECT_EQ(t.decode(Ids{99, -7}), "");
}

TEST(Tokenizer, UnknownCharactersFuseOnlyWhenTheFileSaysSo) {
  for (const bool fuse : {false, true}) {
    const auto t = parsed(
        small_json("", std::string(R"(,"unk_token":"c","fuse_unk":)") + (fuse ? "true" : "false")));
    EXPECT_EQ(*t.encode("axyb"), fuse ? (Ids{0, 2, 1}) : (Ids{0, 2, 2, 1}));
  }
}

TEST(Tokenizer, SplitBehavioursAreThoseOfHuggingFace) {
  const auto pieces = [](const std::string& behavior, bool invert) {
    // Each piece that holds "ab" whole becomes one token 3; a cut between a and b shows as 0, 1.
    const auto t = parsed(
        small_json(R"("pre_tokenizer":{"type":"Split","pattern":{"Regex":"b"},"behavior":")" +
                   behavior + R"(","invert":)" + (invert ? "true" : "false") + "},"));
    return *t.encode("abbab");
  };
  EXPECT_EQ(pieces("Removed", false), (Ids{0, 0}));
  EXPECT_EQ(pieces("Removed", true), (Ids{1, 1, 1}));
  EXPECT_EQ(pieces("Isolated", false), (Ids{0, 1, 1, 0, 1}));
  EXPECT_EQ(pieces("MergedWithPrevious", false), (Ids{3, 1, 3}));
  EXPECT_EQ(pieces("MergedWithNext", false), (Ids{0, 1, 1, 0, 1}));
  EXPECT_EQ(pieces("MergedWithNext", true), (Ids{3, 1, 3}));
  EXPECT_EQ(pieces("Contiguous", false), (Ids{0, 1, 1, 0, 1}));
}

TEST(Detokenizer, NeverReturnsPartOfACharacterAndAddsUpToDecode) {
  // Byte level: "é" is the bytes C3 A9, the characters U+00C3 and U+00A9 of the byte alphabet.
  const auto t = parsed(
      R"({"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{"Ã":0,"©":1,"x":2,"Ġ":3},"merges":[]}})");
  Detokenizer stream(t);
  EXPECT_EQ(stream.push(0), "");
  EXPECT_EQ(stream.push(1), "é");
  EXPECT_EQ(stream.push(3), " ");
  EXPECT_EQ(stream.push(0), "");
  EXPECT_EQ(stream.push(2), "\xEF\xBF\xBDx");
  EXPECT_EQ(stream.push(0), "");
  EXPECT_EQ(stream.flush(), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.flush(), "");
  EXPECT_EQ(t.decode(Ids{0, 1, 3, 0, 2, 0}), "é \xEF\xBF\xBDx\xEF\xBF\xBD");
}

TEST(Detokenizer, WritesTheSpecialTokensItIsToldTo) {
  const auto t = parsed(
      R"({"added_tokens":[{"id":1,"content":"<a>","special":true},{"id":2,"content":"<b>","special":true}],
      "decoder":{"type":"Fuse"},"model":{"type":"BPE","vocab":{"x":0},"merges":[]}})");
  Detokenizer stream(t, /*skip_special=*/true, {2});
  std::string text;
  for (const int32_t id : {1, 0, 2, 0, 1}) text += stream.push(id);
  EXPECT_EQ(text + stream.flush(), "x<b>x");
}

TEST(Detokenizer, HoldsARunOfByteTokensToItsEnd) {
  const auto t =
      parsed(R"({"decoder":{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"},
      {"type":"Strip","content":" ","start":1,"stop":0}]},
      "model":{"type":"BPE","vocab":{"<0xC3>":0,"<0xA9>":1,"x":2," ":3},"merges":[]}})");
  Detokenizer stream(t);
  EXPECT_EQ(stream.push(3), "");  // the one leading blank that Strip takes
  EXPECT_EQ(stream.push(3), " ");
  EXPECT_EQ(stream.push(0), "");
  EXPECT_EQ(stream.push(1), "");
  EXPECT_EQ(stream.push(2), "éx");
  EXPECT_EQ(stream.push(0), "");
  EXPECT_EQ(stream.flush(), "\xEF\xBF\xBD");
}

TEST(Tokenizer, LongRunsAreNotQuadratic) {
  const auto t = parsed(
      R"({"model":{"type":"BPE","vocab":{"a":0,"aa":1,"aaaa":2,"b":3,"ab":4},"merges":["a a","aa aa","a b"]}})");
  const size_t n = 1 << 20;
  EXPECT_EQ(t.encode(std::string(n, 'a'))->size(), n / 4);
  std::string mixed;
  for (size_t i = 0; i < n / 4; ++i) mixed += "aab";
  EXPECT_EQ(t.encode(mixed)->size(), n / 2);
}

}  // namespace
}  // namespace longhaul
