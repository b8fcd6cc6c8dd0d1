#include "text/chat/tool_calls.h"

#include <gtest/gtest.h>

namespace longhaul {
namespace {

Tools weather_tools() {
  return *Tools::parse(R"([{"name": "weather", "parameters": {"type": "object", "properties": {
      "city": {"type": "string"}, "days": {"type": "integer"}, "note": {"type": ["string", "null"]}, "code": {"type": "string"},
      "sunny": {"type": "boolean"}, "at": {"type": "object"}}}}])",
                       "tools");
}

constexpr CallMarkers kTags{"<tool_call>", "</tool_call>", {}, false};
constexpr CallMarkers kBraces{"<|tool_call>", "<tool_call|>", {}, false};
constexpr CallMarkers kZyphra{"<zyphra_tool_call>", "</zyphra_tool_call>", {}, false};
constexpr CallMarkers kDsml{"<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>", {}, true};

// "name{arguments};" of every call, "~" before one that was mended; then what is no call, and "!"
// where the block was cut off.
std::string shown(const CallBlock& block) {
  std::string out;
  for (const ToolCall& call : block.calls) {
    const bool mended =
        std::any_of(block.notes.begin(), block.notes.end(), [&](const ReplyNote& note) {
          return note.kind == ReplyNote::Kind::kRepairedCall && note.call == call.name;
        });
    out += (mended ? "~" : "") + call.name + call.arguments + ";";
  }
  out += block.content;
  for (const ReplyNote& note : block.notes) {
    if (note.kind == ReplyNote::Kind::kCutOffCall) out += "!" + note.call;
  }
  return out;
}

std::string read(const CallMarkers& markers, std::string_view body,
                 const Tools& tools = weather_tools()) {
  const std::string text = std::string(body) + std::string(markers.close);
  const CallBlock block = read_call_block({text, markers, true}, {}, tools);
  EXPECT_EQ(block.length, text.size()) << text;
  return shown(block);
}
std::string read(std::string_view body, const Tools& tools = weather_tools()) {
  return read(kTags, body, tools);
}

// The closing marker has not come and will not.
std::string read_open(const CallMarkers& markers, std::string_view body) {
  return shown(read_call_block({body, markers, true}, {}, weather_tools()));
}

TEST(ToolCalls, TaggedArgumentsInBothLayouts) {
  const std::string wanted = R"(weather{"city": "Paris", "days": 3};)";
  EXPECT_EQ(read("weather<arg_key>city</arg_key><arg_value>Paris</arg_value><arg_key>days</"
                 "arg_key><arg_value>3</arg_value>"),
            wanted);
  EXPECT_EQ(read("weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</"
                 "arg_key>\n<arg_value>3</arg_value>\n"),
            wanted);
  EXPECT_EQ(read("weather"), "weather{};");
}

TEST(ToolCalls, StringsKeepEveryByteAndTypesComeFromTheSchema) {
  EXPECT_EQ(read("weather<arg_key>code</arg_key><arg_value>\n  if x:\n\t1\n</arg_value>"),
            R"(weather{"code": "\n  if x:\n\t1\n"};)");
  EXPECT_EQ(read("weather<arg_key>city</arg_key><arg_value>75001</arg_value>"),
            R"(weather{"city": "75001"};)");
  EXPECT_EQ(read("weather<arg_key>days</arg_key><arg_value>many</arg_value>"),
            R"(weather{"days": "many"};)");
  EXPECT_EQ(read("weather<arg_key>note</arg_key><arg_value>null</arg_value>"),
            R"(weather{"note": null};)");
  EXPECT_EQ(read("weather<arg_key>note</arg_key><arg_value>7</arg_value>"),
            R"(weather{"note": "7"};)");
  // Nothing is known of this function: JSON is JSON, except strings, which are written raw.
  EXPECT_EQ(read("f<arg_key>a</arg_key><arg_value>[1,{\"b\":2.50}]</arg_value><arg_key>c</"
                 "arg_key><arg_value>\"q\"</arg_value>"),
            R"(f{"a": [1, {"b": 2.50}], "c": "\"q\""};)");
}

TEST(ToolCalls, BracesNotation) {
  EXPECT_EQ(read(kBraces, R"(call:weather{city:<|"|>a "b" {c}, d<|"|>,days:3})"),
            R"(weather{"city": "a \"b\" {c}, d", "days": 3};)");
  EXPECT_EQ(
      read(kBraces, R"(call:f{a:[1,-2.5e3,true,null,<|"|>x<|"|>],b:{c:{}},<|"|>d e<|"|>:[]})"),
      R"(f{"a": [1, -2.5e3, true, null, "x"], "b": {"c": {}}, "d e": []};)");
  EXPECT_EQ(read(kBraces, "call:f{}"), "f{};");
  // ollama #18390: keys with spaces and of other scripts.
  EXPECT_EQ(read(kBraces, R"(call:f{m:{Basic LLM Chain:{main:[]}, 节点 名称:1}})"),
            R"(f{"m": {"Basic LLM Chain": {"main": []}, "节点 名称": 1}};)");
  // No escapes are known between its marks (ollama #15254).
  EXPECT_EQ(read(kBraces, R"(call:f{p:<|"|>C:\users\bob \u2603 \"q\"<|"|>})"),
            R"(f{"p": "C:\\users\\bob \\u2603 \\\"q\\\""};)");
}

TEST(ToolCalls, FunctionTags) {
  EXPECT_EQ(read(kZyphra,
                 "\n<function=weather>\n<parameter=city>\nParis\n</"
                 "parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n"),
            R"(weather{"city": "Paris", "days": 3};)");
  EXPECT_EQ(read("<function=f></function><function=g></function>"), "f{};g{};");
}

TEST(ToolCalls, WhatIsExactIsNotMended) {
  for (const char* arguments :
       {R"({"a": "1", "b\"c": 2})", R"({"": 1})", R"({"x": "y, \"z\": {", "q": "'"})",
        R"({"x": ", b", "y": "}"})", R"({"k=v": ":", "m,n": ["a", "b: c"]})",
        R"({"t": "True", "n": "None", "s": "'q'"})", R"({"code": "f(a=1, b={\"c\": [1]})\n"})",
        R"({"a": "<|tool_call>call:f{", "b": "</arg_value>"})"}) {
    const CallBlock json = read_call_block(
        {std::string(R"({"name": "f", "arguments": )") + arguments + "}</tool_call>", kTags, true},
        {}, {});
    EXPECT_TRUE(json.notes.empty()) << arguments;
    EXPECT_EQ(shown(json), std::string("f") + arguments + ";");
  }
  EXPECT_EQ(read(kBraces, R"x(call:f{don't:<|"|>x<|"|>,a=b:<|"|>, c: <|"|>,(d):1})x"),
            R"x(f{"don't": "x", "a=b": ", c: ", "(d)": 1};)x");
}

TEST(ToolCalls, JsonObjects) {
  EXPECT_EQ(read("\n{\"name\": \"weather\", \"arguments\": {\"city\":\"Z\u00fcrich\"}}\n"),
            "weather{\"city\": \"Z\u00fcrich\"};");
  EXPECT_EQ(read(R"({"name": "f", "arguments": "{\"a\": 1}"})"), R"(f{"a": 1};)");
  EXPECT_EQ(read(R"({"name": "f", "arguments": [1]})"), R"(f{"arguments": [1]};)");
  EXPECT_EQ(read(R"({"name": "f", "parameters": {"s": "\ud83d\ude00 \u00e9 \\ \/"}})"),
            "f{\"s\": \"\U0001F600 é \\\\ /\"};");
  EXPECT_EQ(read(R"({"name": "f"})"), "f{};");
}

TEST(ToolCalls, DsmlBlocks) {
  const std::string body =
      "\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">7 "
      "<b></｜DSML｜parameter>\n"
      "<｜DSML｜parameter name=\"days\" string=\"false\">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
      "<｜DSML｜invoke name=\"now\">\n\n</｜DSML｜invoke>\n";
  EXPECT_EQ(read(kDsml, body), R"(weather{"city": "7 <b>", "days": 3};now{};)");
  EXPECT_EQ(read(kDsml,
                 "<｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"a\" "
                 "string=\"false\">\"x\"</｜DSML｜parameter>"
                 "</｜DSML｜invoke>"),
            R"(f{"a": "x"};)");
  // A repeated parameter counts last, a value that is no JSON is text.
  EXPECT_EQ(read(kDsml,
                 "<｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"a\" "
                 "string=\"false\">1</｜DSML｜parameter>"
                 "<｜DSML｜parameter name=\"a\" string=\"false\">x "
                 "y</｜DSML｜parameter></｜DSML｜invoke>"),
            R"(~f{"a": "x y"};)");
}

TEST(ToolCalls, WhatIsNoCallIsLeft) {
  for (const char* body : {"hello world", "f<arg_key>a</arg_key>", "call:f{a:}", "call:{}",
                           "{\"name\": 1}", "{}", "{\"a\": {}}", "f <b>", "call:f{:1}",
                           "call:f{{a:1}}", "<function=>", "<｜DSML｜invoke name=\"\">"}) {
    EXPECT_EQ(read(body), body);
  }
  EXPECT_EQ(read(kDsml, "<｜DSML｜invoke name=\"f\"></｜DSML｜invoke> tail "), "f{};tail ");
}

TEST(ToolCalls, AWordIsACallOnlyWhereTheModelWritesThemSo) {
  const CallText text{"weather</tool_call>", kTags, true};
  EXPECT_TRUE(read_call_block(text, {.bare_names = false}, {}).calls.empty());
  EXPECT_EQ(read_call_block(text, {.bare_names = true}, {}).calls.size(), 1u);
}

TEST(ToolCalls, WithoutTheClosingMarkerOnlyCallsThatEndByThemselvesCount) {
  EXPECT_EQ(read_open(kTags, "weather<arg_key>city</arg_key><arg_value>x</arg_value>"), "!weather");
  EXPECT_EQ(read_open(kTags, "weather"), "!weather");
  EXPECT_EQ(read_open(kZyphra, "<function=f>"), "!f");
  EXPECT_EQ(read_open(kBraces, "call:f{}"), "f{};");
  EXPECT_EQ(read_open(kBraces, "call:f{a:1,}"), "~f{\"a\": 1};");
  EXPECT_EQ(read_open(kBraces, "call:f{a:1"), "!f");
  EXPECT_EQ(read_open(kBraces, "call:f{a:<|\"|>x}"), "!f");
  EXPECT_EQ(read_open(kTags, "{\"name\": \"f\", \"arguments\": {\"a\": \"x"), "!f");
  EXPECT_EQ(
      read_open(kDsml, "<｜DSML｜invoke name=\"f\"></｜DSML｜invoke>\n<｜DSML｜invoke name=\"g\">"),
      "f{};!g");
}

TEST(ToolCalls, DeepNestingIsNoCall) {
  const std::string open = "call:f{a:" + std::string(200, '[');
  EXPECT_EQ(read(kBraces, open), open);
  const std::string deep = "call:f{a:" + std::string(40, '[') + std::string(40, ']') + "}";
  EXPECT_EQ(read(kBraces, deep), deep);
}

TEST(ToolCalls, NumbersStayAsTheyAreWritten) {
  for (const char* number :
       {"0", "-0", "1.0", "0.1000", "1e400", "-2.5E+3", "9007199254740993", "18446744073709551616",
        "123456789012345678901234567890", "-9223372036854775809", "1.00000000000000000000001"}) {
    const std::string wanted = std::string("f{\"n\": ") + number + "};";
    EXPECT_EQ(read(kBraces, std::string("call:f{n:") + number + "}"), wanted);
    EXPECT_EQ(read(std::string(R"({"name": "f", "arguments": {"n": )") + number + "}}"), wanted);
    EXPECT_EQ(read(std::string("f<arg_key>n</arg_key><arg_value>") + number + "</arg_value>"),
              wanted);
    EXPECT_EQ(read(kZyphra,
                   std::string("<function=f><parameter=n>") + number + "</parameter></function>"),
              wanted);
    EXPECT_EQ(
        read(kDsml,
             std::string(
                 "<｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"n\" string=\"false\">") +
                 number + "</｜DSML｜parameter></｜DSML｜invoke>"),
        wanted);
  }
  const std::string digits(4300, '7');
  EXPECT_EQ(read(kBraces, "call:f{n:" + digits + "}"), "f{\"n\": " + digits + "};");
  // Beyond that no reader of JSON in Python takes them.
  EXPECT_EQ(read(kBraces, "call:f{n:" + digits + "7}"), "~f{\"n\": \"" + digits + "7\"};");
  // Python and JSON know no such numbers: they are words.
  for (const char* word : {"007", "1_000", "0x1F", "+5", ".5", "5.", "NaN", "1,5"}) {
    EXPECT_EQ(read(std::string("f<arg_key>n</arg_key><arg_value>") + word + "</arg_value>"),
              std::string("f{\"n\": \"") + word + "\"};");
  }
}

TEST(ToolCalls, StringsAreReadBeforeTheEndIsLookedFor) {
  EXPECT_EQ(
      read(kBraces, R"(call:f{a:<|"|>see <tool_call|> and } and <|tool_call> here<|"|>,b:1})"),
      R"(f{"a": "see <tool_call|> and } and <|tool_call> here", "b": 1};)");
  EXPECT_EQ(read(R"({"name": "f", "arguments": {"a": "ends in </tool_call>, \"}\" too", "b": 1}})"),
            R"(f{"a": "ends in </tool_call>, \"}\" too", "b": 1};)");
  EXPECT_EQ(read("f<arg_key>a</arg_key><arg_value>a block ends in </tool_call>, a value in "
                 "</arg_value> here</arg_value>"),
            R"(f{"a": "a block ends in </tool_call>, a value in </arg_value> here"};)");
  EXPECT_EQ(read(kZyphra,
                 "<function=f>\n<parameter=a>\n</zyphra_tool_call> </function> "
                 "</parameter>.\n</parameter>\n</function>\n"),
            R"(f{"a": "</zyphra_tool_call> </function> </parameter>."};)");
  EXPECT_EQ(read(kDsml,
                 "<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" "
                 "string=\"true\"></｜DSML｜invoke> </｜DSML｜tool_calls> and "
                 "</｜DSML｜parameter> too</｜DSML｜parameter>\n</｜DSML｜invoke>\n"),
            R"(f{"a": "</｜DSML｜invoke> </｜DSML｜tool_calls> and </｜DSML｜parameter> too"};)");
}

// Text that has not come yet may close a string that holds the closing marker.
TEST(ToolCalls, AStringThatIsOpenAtTheMarkerAsksForMore) {
  for (const char* body :
       {R"(call:f{a:<|"|>see <tool_call|>)", R"(call:f{a:"see <tool_call|>)",
        R"(call:f{a:[<|"|>x<|"|>,<|"|>}]}<tool_call|>)",
        R"(call:f{a:<|"|>write <|tool_call>call:g{b:<|"|>y<|"|>}<tool_call|>)"}) {
    EXPECT_EQ(read_call_block({body, kBraces, false}, {}, {}).reading, Reading::kMore) << body;
  }
  EXPECT_EQ(read_call_block({"f<arg_key>a</arg_key><arg_value>x</tool_call>", kTags, false}, {}, {})
                .reading,
            Reading::kMore);
  EXPECT_EQ(read_call_block(
                {"{\"name\": \"f\", \"arguments\": {\"a\": \"x</tool_call>", kTags, false}, {}, {})
                .reading,
            Reading::kMore);
}

// A value that quotes a whole call keeps it: nothing of it is called.
TEST(ToolCalls, AQuotedCallIsText) {
  const auto patient = [](const CallMarkers& markers, std::string_view text) {
    return shown(read_call_block({text, markers, false}, {}, {}));
  };
  EXPECT_EQ(
      patient(
          kBraces,
          R"(call:f{a:<|"|>write <|tool_call>call:g{b:<|"|>y<|"|>}<tool_call|> so<|"|>}<tool_call|>)"),
      R"(~f{"a": "write <|tool_call>call:g{b:\"y\"}<tool_call|> so"};)");
  EXPECT_EQ(
      patient(kTags,
              "f<arg_key>a</arg_key><arg_value>write "
              "<tool_call>g<arg_key>b</arg_key><arg_value>y</arg_value></tool_call> "
              "so</arg_value></tool_call>"),
      R"(f{"a": "write <tool_call>g<arg_key>b</arg_key><arg_value>y</arg_value></tool_call> so"};)");
}

TEST(Tools, AreChecked) {
  EXPECT_EQ(Tools::parse("{}", "t").error().text(),
            "t: must be an array of functions, not an object; put it into [...]");
  EXPECT_EQ(Tools::parse("[{\"function\": {}}]", "t").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Tools::parse("[1]", "t").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Tools::parse("[{\"name\": \"f\"}, {\"name\": \"f\"}]", "t").error().text(),
            "t[1]: a function named 'f' stands there already; leave one out");
  EXPECT_EQ(Json(Tools::parse("[{\"name\": \"f\"}]", "t")->wrapped()).dump(),
            R"([{"type":"function","function":{"name":"f"}}])");
}

}  // namespace
}  // namespace longhaul
