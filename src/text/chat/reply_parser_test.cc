#include "text/chat/reply_parser.h"

#include <gtest/gtest.h>

#include <ctime>
#include <random>

namespace longhaul {
namespace {

// As the chat templates of the families write them; the golden tests find the same in whole
// templates.
ReplyFormat zyphra() {
  return find_reply_format("'<think>\\n' '\\n</think>' <zyphra_tool_call><function=", nullptr);
}
ReplyFormat tags() {
  return find_reply_format("<think>{{ reasoning }}</think><tool_call>{{ name }}</tool_call>",
                           nullptr);
}
ReplyFormat lines() {
  return find_reply_format("'<think>\\n' + reasoning + '\\n</think>\\n\\n' <tool_call>", nullptr);
}
ReplyFormat channel() {
  return find_reply_format("'<|channel>thought\\n' reasoning '\\n<channel|>' <|tool_call>",
                           nullptr);
}
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
      } else if (part.kind == ReplyPart::Kind::kContentWasReasoning) {
        total.reasoning += part.text + total.content;
        total.content.clear();
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

// The kinds of notes that reading the text leaves, with the functions' names and the counts.
std::string notes(const ReplyFormat& format, std::string_view text, bool inside = false,
                  const Tools& tools = {}) {
  ReplyParser parser(format, tools, inside);
  parser.push(text);
  parser.finish();
  std::string out;
  for (const ReplyNote& note : parser.reply().notes) {
    out += (out.empty() ? "" : " ") + std::string(to_string(note.kind));
    if (!note.call.empty()) out += ":" + note.call;
    if (note.count > 1) out += "*" + std::to_string(note.count);
  }
  return out;
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
  EXPECT_EQ(read(lines(), "<think>\nhm\n</think>\n\nyes\n<tool_call>\nf\n</tool_call>\n"),
            "[hm][yes]f{}");
  EXPECT_EQ(read(tags(), "\nhm\n</think>\nyes", true), "[\nhm\n][\nyes]");
  EXPECT_EQ(read(dsml(), "hm\n\n</think>\n\n\nyes\n", true), "[hm\n\n][\n\n\nyes\n]");
}

TEST(ReplyParser, TagsOpenReasoningBeforeTheFirstWordAndOnLinesOfTheirOwn) {
  EXPECT_EQ(read(tags(), " \n<think>hm</think>yes"), "[hm][yes]");
  EXPECT_EQ(read(tags(), "</think>yes"),
            "[][yes]");  // closed by the prompt, and once more by the model
  EXPECT_EQ(read(tags(), "yes\n<think>hm</think>no"), "[hm][yes\nno]");
  EXPECT_EQ(read(tags(), "The tag <think> opens, </think> closes."),
            "[][The tag  opens,  closes.]");
  EXPECT_EQ(notes(tags(), "The tag <think> opens, </think> closes."), "stray_marker stray_marker");
  EXPECT_EQ(read(tags(), "<think></think>yes"), "[][yes]");
  EXPECT_EQ(read(lines(), "<think>\n\n</think>\n\nyes"), "[][yes]");
}

// antirez/ds4 #612 and #678: the last closing marker is the one that counts.
TEST(ReplyParser, AFurtherClosingMarkerMakesTheContentBeforeItReasoning) {
  EXPECT_EQ(read(tags(), "first plan</think>\nwait, another plan</think>\nThe answer.", true),
            "[first plan\nwait, another plan][\nThe answer.]");
  EXPECT_EQ(read(lines(), "first plan</think>\nwait, another plan</think>\nThe answer.", true),
            "[first plan\nwait, another plan][The answer.]");
  EXPECT_EQ(notes(lines(), "first plan</think>\nwait, another plan</think>\nThe answer.", true),
            "more_reasoning");
  EXPECT_EQ(read(tags(), "a</think>b</think>c</think>d", true), "[a\nb\nc][d]");
  EXPECT_EQ(read(dsml(),
                 "a</think>b</think>\n\n<｜DSML｜tool_calls><｜DSML｜invoke "
                 "name=\"f\">\n</｜DSML｜invoke></｜DSML｜tool_calls>",
                 true),
            "[a\nb][]f{}");
  EXPECT_EQ(read(channel(), "a\n<channel|>b\n<channel|>c", true), "[a\nb][c]");
  // SGLang #36285: a model that thinks although its reasoning was closed for it.
  EXPECT_EQ(read(tags(), "Let me see.</think>Yes."), "[Let me see.][Yes.]");
  // ollama #18288: nothing follows, so the content is the answer.
  EXPECT_EQ(read(channel(), "The answer.\n<channel|>"), "[][The answer.]");
  EXPECT_EQ(read(tags(), "a</think>The answer.</think>\n", true), "[a][The answer.\n]");
  EXPECT_EQ(read(tags(), "a</think></think>\n</think>b", true), "[a][b]");
  EXPECT_EQ(notes(tags(), "a</think></think>\n</think>b", true), "stray_marker*2");
  // inspect_ai #4385: reasoning inside of reasoning.
  EXPECT_EQ(read(tags(), "<think>outer <think>inner</think> goes on</think>yes"),
            "[outer inner\n goes on][yes]");
}

TEST(ReplyParser, AMarkerThatOpensReasoningOnceMoreIsDropped) {
  EXPECT_EQ(read(tags(), "<think>\nabc</think>\nHi", true), "[\nabc][\nHi]");
  EXPECT_EQ(read(lines(), "<think>\nabc</think>\nHi", true), "[abc][Hi]");
  EXPECT_EQ(read(lines(), "\n<think>\n<think>\nabc</think>\nHi", true), "[abc][Hi]");
  EXPECT_EQ(read(channel(), "<|channel>thought\nabc\n<channel|>Hi", true), "[abc][Hi]");
  EXPECT_EQ(read(dsml(), "<think>abc</think>Hi", true), "[abc][Hi]");
  EXPECT_EQ(read(tags(), "<think><think>abc</think>Hi"), "[abc][Hi]");
  EXPECT_EQ(notes(lines(), "<think>\nabc</think>\nHi", true), "stray_marker");
}

TEST(ReplyParser, MarkersInCodeAreWords) {
  EXPECT_EQ(read(tags(), "`<think>` opens, `</think>` closes."),
            "[][`<think>` opens, `</think>` closes.]");
  EXPECT_EQ(read(tags(), "so:\n```xml\n<think>hm</think>\n```\n</think>yes"),
            "[so:\n```xml\n<think>hm</think>\n```\n][yes]");
  EXPECT_EQ(read(tags(), "write `<tool_call>f</tool_call>` to call"),
            "[][write `<tool_call>f</tool_call>` to call]");
  EXPECT_EQ(read(channel(), "``<|channel>`x`<|\"|>`` marks"), "[][``<|channel>`x`<|\"|>`` marks]");
  EXPECT_EQ(read(tags(), "the tag `</think>` ends it</think>yes", true),
            "[the tag `</think>` ends it][yes]");
  EXPECT_EQ(read(tags(), "a ` and b</think>yes", true), "[a ` and b][yes]");  // reasoning must end
  EXPECT_EQ(notes(tags(), "`<think>` opens, `</think>` closes."), "");
  // A call in a fence is one.
  EXPECT_EQ(read(tags(), "```\n<tool_call>f</tool_call>\n```"), "[][```\n```]f{}");
}

TEST(ReplyParser, StrayMarkersAreLeftOut) {
  EXPECT_EQ(read(channel(), "yes<tool_call|> and <|\"|>no<|\"|>"), "[][yes and \"no\"]");
  EXPECT_EQ(read(channel(), "<|tool_call>call:f{}<tool_call|><tool_call|>done"),
            "[][done]f{}");  // ollama's parser drops these too
  EXPECT_EQ(read(channel(), "<|tool_call>call:f{}<tool_call|><|tool_response>"), "[][]f{}");
  EXPECT_EQ(read(tags(), "yes</tool_call> </arg_value>no"), "[][yes no]");
  // vLLM #56184: closing tags of a block that is not open; an empty block.
  EXPECT_EQ(read(dsml(), "a </｜DSML｜parameter>b</｜DSML｜invoke></｜DSML｜tool_calls>c"),
            "[][a bc]");
  EXPECT_EQ(
      read(dsml(), "hm</｜DSML｜invoke></think>a<｜DSML｜tool_calls></｜DSML｜tool_calls>b", true),
      "[hm][ab]");
  EXPECT_EQ(read(dsml(), "a<|DSML|parameter name=\"x\">b<｜｜DSML｜｜tool_calls>c"), "[][abc]");
  // What is left on both sides does not make up another.
  EXPECT_EQ(read(tags(), "a<thi<tool_call|></tool_call>nk>b").find("<think>"), std::string::npos);
  EXPECT_EQ(read(channel(), "<|<|\"|>|>"), "[][<|\"\n|>]");
}

TEST(ReplyParser, ChannelsOpenAnywhere) {
  EXPECT_EQ(read(channel(),
                 "<|channel>thought\nfirst\n<channel|>yes\n<|channel>thought\nthen\n<channel|>no"),
            "[firstthen][yesno]");
  EXPECT_EQ(read(channel(), "<|channel>thought\n<channel|>yes"), "[][yes]");
  EXPECT_EQ(read(channel(), "<|channel>thoughtful<channel|>yes"), "[ful][yes]");
  EXPECT_EQ(read(channel(), "<|channel>other\n<channel|>yes"), "[other][yes]");
  EXPECT_EQ(read(channel(), "<|channel>tho"), "[tho][]");
}

TEST(ReplyParser, CallsAreTakenOut) {
  EXPECT_EQ(read(tags(),
                 "look:<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></"
                 "tool_call><tool_call>g</tool_call>done"),
            R"([][look:done]f{"a": 1}g{})");
  EXPECT_EQ(read(channel(),
                 "<|tool_call>call:f{a:<|\"|>x<|\"|>}<tool_call|><|tool_call>call:g{}<tool_call|>"),
            R"([][]f{"a": "x"}g{})");
  EXPECT_EQ(read(dsml(),
                 "hm</think>ok\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke "
                 "name=\"f\">\n</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
                 true),
            "[hm][ok]f{}");
}

TEST(ReplyParser, ACallInsideReasoning) {
  // It ends the reasoning where its markers are tokens of their own.
  EXPECT_EQ(read(dsml(),
                 "hm\n\n<｜DSML｜tool_calls><｜DSML｜invoke "
                 "name=\"f\"></｜DSML｜invoke></｜DSML｜tool_calls>",
                 true),
            "[hm][]f{}");
  EXPECT_EQ(read(channel(), "hm\n<|tool_call>call:f{}<tool_call|>", true), "[hm][]f{}");
  // Elsewhere it was tried out if the reasoning goes on to its end, and made if nothing closes the
  // reasoning (antirez/ds4 #318).
  EXPECT_EQ(read(tags(), "I write <tool_call>f</tool_call></think>yes", true), "[I write ][yes]");
  EXPECT_EQ(notes(tags(), "I write <tool_call>f</tool_call></think>yes", true), "unmade_call:f");
  EXPECT_EQ(read(tags(), "I write <tool_call>f</tool_call>", true), "[I write ][]f{}");
  EXPECT_EQ(notes(tags(), "I write <tool_call>f</tool_call>", true), "repaired_call:f");
  EXPECT_EQ(read(tags(), "the marker <tool_call> comes first</think>yes", true),
            "[the marker  comes first][yes]");
  EXPECT_EQ(read(tags(), "hm<tool_call>f<arg_key>a</arg_key><arg_value>1</think>yes", true),
            "[hm][yes]");
  EXPECT_EQ(read(dsml(), "say <｜DSML｜tool_calls> for calls</think>yes", true),
            "[say  for calls][yes]");
}

TEST(ReplyParser, WhatIsNoCallIsContentWithoutMarkup) {
  EXPECT_EQ(read(tags(), "a <tool_call>no call</tool_call> b"), "[][a no call b]");
  EXPECT_EQ(read(lines(), "a\n\n<tool_call>no call</tool_call>\nb"), "[][a\n\nno call\nb]");
  EXPECT_EQ(read(tags(), "a<tool_call>{\"a\": <arg_key>1}</tool_call>"), "[][a{\"a\": 1}]");
  EXPECT_EQ(notes(tags(), "a<tool_call>{\"a\": 1}</tool_call>"), "unreadable_call");
  EXPECT_EQ(read(dsml(), "a\n\n<｜DSML｜tool_calls>oops</｜DSML｜tool_calls>"), "[][a\n\noops]");
  EXPECT_EQ(read(channel(), "<|tool_call>call:f{a:<|\"|>x<|\"|>,b:}<tool_call|>ok"),
            "[][call:f{a:\"x\",b:}ok]");
}

// vLLM #47903, kronk #835: neither markup nor half a call.
TEST(ReplyParser, AnAnswerThatIsCutOffInsideACallGivesWhatIsComplete) {
  EXPECT_EQ(read(tags(), "a<tool_call>f<arg_key>x"), "[][a]");
  EXPECT_EQ(notes(tags(), "a<tool_call>f<arg_key>x"), "cut_off_call:f");
  EXPECT_EQ(read(tags(), "a<tool_call>f</tool_c"), "[][a]");
  EXPECT_EQ(read(tags(), "a<tool_call>g</tool_call><tool_call>f<arg_key>a</arg_key><arg_value>so"),
            "[][a]g{}");
  EXPECT_EQ(read(tags(), "a<tool_"), "[][a]");
  EXPECT_EQ(read(tags(), "a<t"), "[][a<t]");
  EXPECT_EQ(read(tags(), "1 <"), "[][1 <]");
  EXPECT_EQ(read(tags(), "a<tool_call>"), "[][a]");
  EXPECT_EQ(read(channel(), "hm<|tool_call>call:f{a:<|\"|>so far"), "[][hm]");
  EXPECT_EQ(read(channel(), "hm<|tool_call>call:f{}<tool_call|><|tool_call"), "[][hm]f{}");
  EXPECT_EQ(read(channel(), "<|channel>tho"), "[tho][]");
  EXPECT_EQ(read(dsml(), "\n\n<｜DSML｜tool_calls><｜DSML｜invoke name=\"f\"></｜DSML｜invoke>"),
            "[][]f{}");
  EXPECT_EQ(read(dsml(),
                 "ok\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke "
                 "name=\"f\">\n</｜DSML｜invoke>\n<｜DSML｜invoke name=\"g\">\n<｜DSML｜par"),
            "[][ok]f{}");
  EXPECT_EQ(read(dsml(), "ok\n\n<｜DSML｜to"), "[][ok]");
  EXPECT_EQ(read(zyphra(), "ok\n<zyphra_tool_call>\n<function=f>\n<parameter=a>\nso"), "[][ok]");
  // Wherever an answer is cut, no part of a marker is shown.
  const std::string whole =
      "ok\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" "
      "string=\"true\">x</｜DSML｜parameter>\n"
      "</｜DSML｜invoke>\n</｜DSML｜tool_calls>";
  for (size_t n = 4; n <= whole.size(); ++n) {
    ReplyParser parser(dsml(), {}, false);
    parser.push(std::string_view(whole).substr(0, n));
    parser.finish();
    EXPECT_TRUE(parser.reply().content == "ok" || parser.reply().content == "ok\n\n" ||
                parser.reply().content == "ok\n\n<")
        << n << parser.reply().content;
    EXPECT_EQ(parser.reply().tool_calls.size(),
              n >= whole.find("</｜DSML｜invoke>") + std::string_view("</｜DSML｜invoke>").size()
                  ? 1u
                  : 0u)
        << n;
  }
}

TEST(ReplyParser, ACallWithoutItsMarkerIsOneWhereThatIsSure) {
  const Tools tools = *Tools::parse(
      R"([{"name": "f", "parameters": {"properties": {"a": {"type": "string"}}}}])", "tools");
  const auto with_tools = [&](const ReplyFormat& format, std::string_view text) {
    return shown(parse(ReplyParser(format, tools, false), {text}));
  };
  // vLLM #55954 and SGLang #40236: DSML without the block around it; the block's older name.
  const std::string invoke =
      "<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" "
      "string=\"true\">x</｜DSML｜parameter>\n</｜DSML｜invoke>\n";
  EXPECT_EQ(with_tools(dsml(), "ok\n\n" + invoke), R"([][ok]f{"a": "x"})");
  EXPECT_EQ(with_tools(dsml(), "ok\n\n" + invoke + "</｜DSML｜tool_calls>"),
            R"([][ok]f{"a": "x"})");
  EXPECT_EQ(read(dsml(), "ok\n\n<｜DSML｜function_calls>\n" + invoke + "</｜DSML｜function_calls>"),
            R"([][ok]f{"a": "x"})");
  EXPECT_EQ(read(dsml(), "ok\n\n<|DSML|tool_calls>\n" + invoke + "</|DSML|tool_calls>"),
            R"([][ok]f{"a": "x"})");
  EXPECT_EQ(with_tools(dsml(), "<｜DSML｜invoke name=\"other\">no</｜DSML｜invoke>"), "[][no]");
  // ollama #16686, #17353.
  EXPECT_EQ(
      with_tools(
          zyphra(),
          "I "
          "look.\n<function=f>\n<parameter=a>\nx\n</parameter>\n</function>\n</zyphra_tool_call>"),
      R"([][I look.]f{"a": "x"})");
  EXPECT_EQ(with_tools(channel(), "ok\ncall:f{a:<|\"|>x<|\"|>}<tool_call|>"),
            R"([][ok]f{"a": "x"})");
  EXPECT_EQ(with_tools(channel(), "ok\ncall:f{a:<|\"|>x<|\"|>}"), R"([][ok]f{"a": "x"})");
  EXPECT_EQ(read(channel(), "call:me{maybe} later"), "[][call:me{maybe} later]");
  EXPECT_EQ(with_tools(tags(), "f<arg_key>a</arg_key><arg_value>x</arg_value></tool_call>"),
            R"([][]f{"a": "x"})");
  EXPECT_EQ(with_tools(tags(), "f(x) is a function"), "[][f(x) is a function]");
}

// A slip in one call does not take what follows along.
TEST(ReplyParser, AnOpenStringEndsWhereTheNextCallBegins) {
  const std::string second = R"(<|tool_call>call:g{b:<|"|>y<|"|>}<tool_call|>)";
  EXPECT_EQ(read(channel(), R"(<|tool_call>call:f{a:<|"|>x}<tool_call|>)" + second + "ok"),
            R"([][ok]f{"a": "x"}g{"b": "y"})");
  EXPECT_EQ(read(channel(), R"(<|tool_call>call:f{a:x<|"|>}<tool_call|>)" + second + "ok"),
            R"([][ok]f{"a": "x"}g{"b": "y"})");
  EXPECT_EQ(read(channel(), R"(<|tool_call>call:f{a:1}<|tool_call>call:g{b:2}<tool_call|>ok)"),
            R"([][ok]f{"a": 1}g{"b": 2})");
  EXPECT_EQ(read(channel(), R"(<|tool_call>call:f{a:<|"|>x}<tool_call|>ok)"),
            R"([][ok]f{"a": "x"})");
  EXPECT_EQ(read(tags(),
                 "<tool_call>f<arg_key>a</arg_key><arg_value>1</tool_call><tool_call>g<arg_key>b</"
                 "arg_key><arg_value>2</arg_value></tool_call>ok"),
            R"([][ok]f{"a": 1}g{"b": 2})");
  EXPECT_EQ(
      read(
          tags(),
          R"(<tool_call>{"name": "f", "arguments": {"a": "x}}</tool_call><tool_call>{"name": "g", "arguments": {"b": "y"}}</tool_call>ok)"),
      R"([][ok]f{"a": "x"}g{"b": "y"})");
  EXPECT_EQ(
      read(zyphra(),
           "<zyphra_tool_call>\n<function=f>\n<parameter=a>\nx\n</function>\n</"
           "zyphra_tool_call>\n<zyphra_tool_call>\n"
           "<function=g>\n<parameter=b>\ny\n</parameter>\n</function>\n</zyphra_tool_call>ok"),
      R"([][ok]f{"a": "x"}g{"b": "y"})");
}

// ollama #16075, vLLM #45167, Rapid-MLX #1515.
TEST(ReplyParser, AMarkerInsideAStringEndsNothing) {
  EXPECT_EQ(
      read(channel(), R"(<|tool_call>call:f{a:<|"|>ends in <tool_call|> or }<|"|>}<tool_call|>ok)"),
      R"([][ok]f{"a": "ends in <tool_call|> or }"})");
  EXPECT_EQ(
      read(channel(),
           R"(<|tool_call>call:f{a:<|"|>see <|channel> and <|tool_call> here<|"|>}<tool_call|>ok)"),
      R"([][ok]f{"a": "see <|channel> and <|tool_call> here"})");
  EXPECT_EQ(
      read(tags(), R"(<tool_call>{"name": "f", "arguments": {"a": "</tool_call>"}}</tool_call>ok)"),
      R"([][ok]f{"a": "</tool_call>"})");
  EXPECT_EQ(read(tags(),
                 "<tool_call>f<arg_key>a</arg_key><arg_value>ends in </tool_call> "
                 "so</arg_value></tool_call>ok"),
            R"([][ok]f{"a": "ends in </tool_call> so"})");
  EXPECT_EQ(read(zyphra(),
                 "<zyphra_tool_call><function=f><parameter=a></zyphra_tool_call></parameter></"
                 "function></zyphra_tool_call>ok"),
            R"([][ok]f{"a": "</zyphra_tool_call>"})");
  EXPECT_EQ(read(dsml(),
                 "<｜DSML｜tool_calls><｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"a\" "
                 "string=\"true\"></｜DSML｜tool_calls>"
                 "</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>ok"),
            R"([][ok]f{"a": "</｜DSML｜tool_calls>"})");
  std::string many = "<|tool_call>call:f{a:<|\"|>";
  for (int i = 0; i < 100; ++i) many += "<tool_call|>";
  EXPECT_EQ(read(channel(), many + "<|\"|>}<tool_call|>ok").substr(0, 7), "[][ok]f");
}

// Long answers of nothing but slips take no longer than others.
// Of the processor, so that other work does not count.
double seconds_to_read(const ReplyFormat& format, std::string text, const std::string& piece,
                       size_t size) {
  while (text.size() < size) text += piece;
  ReplyParser parser(format, {}, false);
  const std::clock_t begin = std::clock();
  parser.push(text);
  parser.finish();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

TEST(ReplyParser, HostileAnswersAreReadInLinearTime) {
  const std::vector<std::string> pieces = {
      "<|tool_call>",
      "<|tool_call>call:f{a:<|\"|>",
      "<|tool_call>call:f{a:<|\"|>x}<tool_call|>",
      "<|tool_call>call:f{a:\"x}<tool_call|>y",
      "<tool_call>f<arg_key>a</arg_key><arg_value>",
      "<tool_call>f<arg_key>a</arg_key><arg_value>x</tool_call>z",
      "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"",
      "{\"a\": ",
      "<think>",
      "</think>x",
      "</think>",
      "`",
      "<｜DSML｜invoke name=\"f\">",
      "<｜DSML｜tool_calls><｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"a\">",
      "<function=f><parameter=a>",
      "<",
      "<｜",
      "call:f{\n",
      "f\n",
      "'",
      "a:1,",
      "<|tool_call>call:f{a:[\"x]}<tool_call|>z",
      "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": [\"x]}}</tool_call>z",
      "<tool_call>f<arg_key>a</arg_key><arg_value>use <tool_call>{</arg_value>.</tool_call>",
      "<｜DSML｜tool_calls><｜DSML｜invoke name=\"f\"><｜DSML｜parameter "
      "name=\"a\">x<｜DSML｜invoke name=\"g\"></｜DSML｜tool_calls>",
      "<tool_call|>",
      "</tool_call>",
      "[",
      " ",
      "\n",
      "<|\"|>"};
  for (const std::string& piece : pieces) {
    for (const char* before : {"", "<|tool_call>call:f{a:<|\"|>"}) {
      for (const ReplyFormat& format : {tags(), channel(), dsml(), zyphra()}) {
        const double few = seconds_to_read(format, before, piece, 4'000);
        const double many = seconds_to_read(format, before, piece, 32'000);
        // Eight times the text; a quadratic reading takes 64 times as long.
        EXPECT_LT(many, 24 * few + 0.05) << before << piece;
      }
    }
  }
}

TEST(ReplyParser, TextIsGivenAsSoonAsItIsCertain) {
  ReplyParser parser(tags(), {}, true);
  const auto text = [](const std::vector<ReplyPart>& parts) {
    return parts.empty() ? std::string() : parts.front().text;
  };
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
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().text();
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
  const std::vector<std::string_view> alphabet = {"`",
                                                  "```\n",
                                                  "<|\"|>",
                                                  "call:f{a:",
                                                  "}",
                                                  ",",
                                                  "<｜DSML｜parameter name=\"a\" string=\"true\">",
                                                  "</｜DSML｜parameter>",
                                                  "<|DSML|invoke name='g'>",
                                                  "{\"name\": \"f\", \"arguments\": {\"a\": \"",
                                                  "\"}}",
                                                  "<function=f>",
                                                  "<parameter=a>",
                                                  "</function>",
                                                  "<zyphra_tool_call>",
                                                  "</zyphra_tool_call>",
                                                  "<think>",
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
  const auto below = [&](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  for (int round = 0; round < 4000; ++round) {
    std::string text;
    for (size_t n = below(9); n > 0; --n) text += alphabet[below(alphabet.size())];
    for (const ReplyFormat& format : {tags(), lines(), channel(), dsml(), zyphra()}) {
      for (const bool inside : {false, true}) {
        const std::string whole = read(format, text, inside);
        std::vector<std::string_view> bytes, pieces;
        for (size_t i = 0; i < text.size(); ++i)
          bytes.push_back(std::string_view(text).substr(i, 1));
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
