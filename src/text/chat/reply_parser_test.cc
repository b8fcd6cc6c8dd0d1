#include "text/chat/reply_parser.h"

#include <gtest/gtest.h>

#include <random>

namespace longhaul {
namespace {

// As the chat templates of the families write them; the golden tests find the same in whole templates.
ReplyFormat tags() { return find_reply_format("<think>{{ reasoning }}</think><tool_call>{{ name }}</tool_call>", nullptr); }
ReplyFormat lines() { return find_reply_format("'<think>\\n' + reasoning + '\\n</think>\\n\\n' <tool_call>", nullptr); }
ReplyFormat channel() { return find_reply_format("'<|channel>thought\\n' reasoning '\\n<channel|>' <|tool_call>", nullptr); }
ReplyFormat dsml() { return find_reply_format("｜DSML｜ </think>", nullptr); }

std::string shown(const Reply& reply) {
  std::string out = "[" + reply.reasoning + "][" + reply.content + "]";
  for (const ToolCall& call : reply.tool_calls) out += call.name + call.arguments;
  return out;
}

Reply parse(ReplyParser parser, const std::vector<std::string_view>& pieces) {
  Reply total;
  const auto add = [&](const std::vector<ReplyPart>& parts) {
    for (const ReplyPart& part : parts) {
      if (part.kind == ReplyPart::Kind::kToolCall) {
        total.tool_calls.push_back(part.call);
      } else {
        EXPECT_FALSE(part.text.empty());
        (part.kind == ReplyPart::Kind::kReasoning ? total.reasoning : total.content) += part.text;
      }
    }
  };
  for (const std::string_view piece : pieces) add(parser.push(piece));
  add(parser.finish());
  EXPECT_EQ(shown(total), shown(parser.reply()));
  return total;
}

std::string read(const ReplyFormat& format, std::string_view text, bool inside = false) {
  return shown(parse(ReplyParser(format, {}, inside), {text}));
}

TEST(ReplyParser, TextWithoutMarkersIsContent) {
  EXPECT_EQ(read({}, " plain <think> text \n"), "[][ plain <think> text \n]");
  EXPECT_EQ(read(tags(), "two\n\nlines\n"), "[][two\n\nlines\n]");
  EXPECT_EQ(read(tags(), ""), "[][]");
  EXPECT_EQ(read(dsml(), "\n\n"), "[][\n\n]");
}

TEST(ReplyParser, ReasoningMayBeOpenAlready) {
  EXPECT_EQ(read(tags(), "hm</think>yes", true), "[hm][yes]");
  EXPECT_EQ(read(tags(), "<think>hm</think>yes"), "[hm][yes]");
  EXPECT_EQ(read(tags(), "hm", true), "[hm][]");
  EXPECT_EQ(read(channel(), "hm\n<channel|>yes", true), "[hm][yes]");
}

TEST(ReplyParser, LineBreaksBesideMarkersAreLayoutWhereTheTemplateBreaksLines) {
  EXPECT_EQ(read(lines(), "\nhm\n\nwell\n</think>\n\nyes\n", true), "[hm\n\nwell][yes\n]");
  EXPECT_EQ(read(lines(), "<think>\nhm\n</think>\n\nyes\n<tool_call>\nf\n</tool_call>\n"), "[hm][yes]f{}");
  EXPECT_EQ(read(tags(), "\nhm\n</think>\nyes", true), "[\nhm\n][\nyes]");
  EXPECT_EQ(read(dsml(), "hm\n\n</think>\n\n\nyes\n", true), "[hm\n\n][\n\n\nyes\n]");
}

TEST(ReplyParser, TagsOpenReasoningOnlyBeforeTheFirstWord) {
  EXPECT_EQ(read(tags(), " \n<think>hm</think>yes"), "[hm][yes]");
  EXPECT_EQ(read(tags(), "The tag <think> opens, </think> closes."), "[][The tag <think> opens, </think> closes.]");
  EXPECT_EQ(read(tags(), "</think>yes"), "[][yes]");  // closed by the prompt, and once more by the model
  EXPECT_EQ(read(tags(), "a</think>b</think>c", true), "[a][b</think>c]");
}

TEST(ReplyParser, ChannelsOpenAnywhere) {
  EXPECT_EQ(read(channel(), "<|channel>thought\nfirst\n<channel|>yes\n<|channel>thought\nthen\n<channel|>no"), "[firstthen][yesno]");
  EXPECT_EQ(read(channel(), "<|channel>thought\n<channel|>yes"), "[][yes]");
  EXPECT_EQ(read(channel(), "<|channel>thoughtful<channel|>yes"), "[ful][yes]");
  EXPECT_EQ(read(channel(), "<|channel>other\n<channel|>yes"), "[other][yes]");
  EXPECT_EQ(read(channel(), "<|channel>tho"), "[tho][]");
}

TEST(ReplyParser, CallsAreTakenOut) {
  EXPECT_EQ(read(tags(), "look:<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call><tool_call>g</tool_call>done"),
            R"([][look:done]f{"a": 1}g{})");
  EXPECT_EQ(read(channel(), "<|tool_call>call:f{a:<|\"|>x<|\"|>}<tool_call|><|tool_call>call:g{}<tool_call|>"), R"([][]f{"a": "x"}g{})");
  EXPECT_EQ(
      read(dsml(), "hm</think>ok\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>", true),
      "[hm][ok]f{}");
}

TEST(ReplyParser, ACallInsideReasoningEndsItWhereMarkersAreNeverWords) {
  EXPECT_EQ(read(dsml(), "hm\n\n<｜DSML｜tool_calls><｜DSML｜invoke name=\"f\"></｜DSML｜invoke></｜DSML｜tool_calls>", true), "[hm][]f{}");
  EXPECT_EQ(read(channel(), "hm\n<|tool_call>call:f{}<tool_call|>", true), "[hm][]f{}");
  EXPECT_EQ(read(tags(), "I write <tool_call>f</tool_call></think>yes", true), "[I write <tool_call>f</tool_call>][yes]");
}

TEST(ReplyParser, WhatIsNoCallStaysContentWithItsMarkers) {
  EXPECT_EQ(read(tags(), "a <tool_call>no call</tool_call> b"), "[][a <tool_call>no call</tool_call> b]");
  EXPECT_EQ(read(lines(), "a\n\n<tool_call>no call</tool_call>\nb"), "[][a\n\n<tool_call>no call</tool_call>\nb]");
  EXPECT_EQ(read(tags(), "a<tool_call>f<arg_key>x"), "[][a<tool_call>f<arg_key>x]");
  EXPECT_EQ(read(tags(), "a<tool_call>f</tool_c"), "[][a<tool_call>f</tool_c]");
  EXPECT_EQ(read(tags(), "a<tool_"), "[][a<tool_]");
  EXPECT_EQ(read(dsml(), "a\n\n<｜DSML｜tool_calls>oops</｜DSML｜tool_calls>"), "[][a\n\n<｜DSML｜tool_calls>oops</｜DSML｜tool_calls>]");
  EXPECT_EQ(read(dsml(), "\n\n<｜DSML｜tool_calls><｜DSML｜invoke name=\"f\"></｜DSML｜invoke>"), "[][]f{}");
}

TEST(ReplyParser, TextIsGivenAsSoonAsItIsCertain) {
  ReplyParser parser(tags(), {}, true);
  const auto text = [](const std::vector<ReplyPart>& parts) { return parts.empty() ? std::string() : parts.front().text; };
  EXPECT_EQ(text(parser.push("hm <")), "hm ");
  EXPECT_EQ(text(parser.push("/th")), "");
  EXPECT_EQ(text(parser.push("is")), "</this");
  EXPECT_EQ(text(parser.push("</think>y")), "y");
  EXPECT_EQ(text(parser.push("es")), "es");
}

TEST(ReplyFormat, IsFoundInTemplatesAndOtherwiseInTokens) {
  EXPECT_EQ(find_reply_format("", nullptr).think_open, "");
  EXPECT_EQ(find_reply_format("", nullptr).call_open, "");
  const auto tokenizer = Tokenizer::parse(
      R"({"added_tokens": [{"id": 0, "content": "<think>", "special": false}, {"id": 1, "content": "</think>", "special": true},
          {"id": 2, "content": "｜DSML｜", "special": true}, {"id": 3, "content": "<|tool_call>", "special": true}],
          "model": {"type": "BPE", "vocab": {"a": 4}, "merges": []}})",
      "tokenizer.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  const ReplyFormat by_tokens = find_reply_format("", &*tokenizer);
  EXPECT_EQ(by_tokens.think_close, "</think>");
  EXPECT_EQ(by_tokens.call_open, "<｜DSML｜tool_calls>");
  EXPECT_EQ(marker_tokens(by_tokens, *tokenizer), (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(find_reply_format("{{ '<|tool_call>' }}", &*tokenizer).call_close, "<tool_call|>");
}

TEST(ReplyFormat, OnlyTheEndOfThePromptOpensReasoning) {
  EXPECT_TRUE(ends_inside_reasoning(tags(), "user: hi <assistant><think>"));
  EXPECT_TRUE(ends_inside_reasoning(lines(), "user: hi <assistant><think>\n"));
  EXPECT_TRUE(ends_inside_reasoning(channel(), "<|turn>model\n<|channel>thought\n"));
  EXPECT_FALSE(ends_inside_reasoning(channel(), "<|turn>model\n<|channel>thought\n<channel|>"));
  EXPECT_FALSE(ends_inside_reasoning(tags(), "user: what is <think>? <assistant></think>"));
  EXPECT_FALSE(ends_inside_reasoning({}, ""));
}

// However an answer is cut, the reply is the same.
TEST(ReplyParser, NoCutChangesTheReply) {
  const std::vector<std::string_view> alphabet = {"<think>",
                                                  "</think>",
                                                  "<|channel>",
                                                  "thought",
                                                  "<channel|>",
                                                  "<tool_call>",
                                                  "</tool_call>",
                                                  "<|tool_call>",
                                                  "<tool_call|>",
                                                  "<｜DSML｜tool_calls>",
                                                  "</｜DSML｜tool_calls>",
                                                  "<｜DSML｜invoke name=\"f\">",
                                                  "</｜DSML｜invoke>",
                                                  "call:f{}",
                                                  "f",
                                                  "\n",
                                                  "\n\n",
                                                  " ",
                                                  "<",
                                                  "word",
                                                  "｜",
                                                  "<th",
                                                  "<arg_key>a</arg_key>",
                                                  "<arg_value>1</arg_value>"};
  std::mt19937 random(7);
  const auto below = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  for (int round = 0; round < 4000; ++round) {
    std::string text;
    for (size_t n = below(9); n > 0; --n) text += alphabet[below(alphabet.size())];
    for (const ReplyFormat& format : {tags(), lines(), channel(), dsml()}) {
      for (const bool inside : {false, true}) {
        const std::string whole = read(format, text, inside);
        std::vector<std::string_view> bytes, pieces;
        for (size_t i = 0; i < text.size(); ++i) bytes.push_back(std::string_view(text).substr(i, 1));
        for (size_t i = 0; i < text.size();) {
          const size_t n = 1 + below(6);
          pieces.push_back(std::string_view(text).substr(i, n));
          i += n;
        }
        ASSERT_EQ(shown(parse(ReplyParser(format, {}, inside), bytes)), whole) << text;
        ASSERT_EQ(shown(parse(ReplyParser(format, {}, inside), pieces)), whole) << text;
      }
    }
  }
}

}  // namespace
}  // namespace longhaul
