#include "text/chat/tool_calls.h"

#include <gtest/gtest.h>

namespace longhaul {
namespace {

Tools weather_tools() {
  return *Tools::parse(R"([{"name": "weather", "parameters": {"type": "object", "properties": {
      "city": {"type": "string"}, "days": {"type": "integer"}, "note": {"type": ["string", "null"]}, "code": {"type": "string"}}}}])",
                       "tools");
}

// "name{arguments}" of every call, then what is left.
std::string read(std::string_view body, bool closed = true, const Tools& tools = weather_tools()) {
  const ReadCalls read = read_tool_calls(body, {.closed = closed}, tools);
  std::string out;
  for (const ToolCall& call : read.calls) out += call.name + call.arguments + ";";
  return out + std::string(read.rest);
}

TEST(ToolCalls, TaggedArgumentsInBothLayouts) {
  const std::string wanted = R"(weather{"city": "Paris", "days": 3};)";
  EXPECT_EQ(read("weather<arg_key>city</arg_key><arg_value>Paris</arg_value><arg_key>days</arg_key><arg_value>3</arg_value>"), wanted);
  EXPECT_EQ(read("weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n"),
            wanted);
  EXPECT_EQ(read("weather"), "weather{};");
}

TEST(ToolCalls, StringsKeepEveryByteAndTypesComeFromTheSchema) {
  EXPECT_EQ(read("weather<arg_key>code</arg_key><arg_value>\n  if x:\n\t1\n</arg_value>"), R"(weather{"code": "\n  if x:\n\t1\n"};)");
  EXPECT_EQ(read("weather<arg_key>city</arg_key><arg_value>75001</arg_value>"), R"(weather{"city": "75001"};)");
  EXPECT_EQ(read("weather<arg_key>days</arg_key><arg_value>many</arg_value>"), R"(weather{"days": "many"};)");
  EXPECT_EQ(read("weather<arg_key>note</arg_key><arg_value>null</arg_value>"), R"(weather{"note": null};)");
  EXPECT_EQ(read("weather<arg_key>note</arg_key><arg_value>7</arg_value>"), R"(weather{"note": "7"};)");
  // Nothing is known of this function: JSON is JSON, except strings, which are written raw.
  EXPECT_EQ(read("f<arg_key>a</arg_key><arg_value>[1,{\"b\":2.50}]</arg_value><arg_key>c</arg_key><arg_value>\"q\"</arg_value>"),
            R"(f{"a": [1, {"b": 2.5}], "c": "\"q\""};)");
}

TEST(ToolCalls, BracesNotation) {
  EXPECT_EQ(read(R"(call:weather{city:<|"|>a "b" {c}, d<|"|>,days:3})"), R"(weather{"city": "a \"b\" {c}, d", "days": 3};)");
  EXPECT_EQ(read(R"(call:f{a:[1,-2.5e3,true,null,<|"|>x<|"|>],b:{c:{}},<|"|>d e<|"|>:[]})"),
            R"(f{"a": [1, -2500.0, true, null, "x"], "b": {"c": {}}, "d e": []};)");
  EXPECT_EQ(read(R"(call:f{ "a" : "x\ny" , b : word })"), R"(f{"a": "x\ny", "b": "word"};)");
  EXPECT_EQ(read("call:f{}"), "f{};");
}

TEST(ToolCalls, FunctionTags) {
  EXPECT_EQ(read("\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n"),
            R"(weather{"city": "Paris", "days": 3};)");
  EXPECT_EQ(read("<function=f></function><function=g>"), "f{};g{};");
}

TEST(ToolCalls, JsonObjects) {
  EXPECT_EQ(read("\n{\"name\": \"weather\", \"arguments\": {\"city\":\"Z\u00fcrich\"}}\n"), "weather{\"city\": \"Z\u00fcrich\"};");
  EXPECT_EQ(read(R"({"name": "f", "arguments": "{\"a\": 1}"})"), R"(f{"a": 1};)");
  EXPECT_EQ(read(R"({"name": "f", "arguments": [1]})"), R"(f{"arguments": [1]};)");
  EXPECT_EQ(read(R"({"name": "f"})"), "f{};");
}

TEST(ToolCalls, DsmlBlocks) {
  const std::string body =
      "\n<｜DSML｜invoke name=\"weather\">\n<｜DSML｜parameter name=\"city\" string=\"true\">7 <b></｜DSML｜parameter>\n"
      "<｜DSML｜parameter name=\"days\" string=\"false\">3</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
      "<｜DSML｜invoke name=\"now\">\n\n</｜DSML｜invoke>\n";
  EXPECT_EQ(read(body), R"(weather{"city": "7 <b>", "days": 3};now{};)");
  // Lenient: a repeated parameter counts last, a value that is no JSON is text.
  EXPECT_EQ(read("<｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"a\" string=\"false\">1</｜DSML｜parameter>"
                 "<｜DSML｜parameter name=\"a\">x y</｜DSML｜parameter></｜DSML｜invoke>"),
            R"(f{"a": "x y"};)");
}

TEST(ToolCalls, WhatIsNoCallIsLeft) {
  for (const char* body : {"hello world", "f<arg_key>a</arg_key>", "f<arg_key>a</arg_key><arg_value>1", "call:f{a:}", "call:f{a:1",
                           "call:f", "call:{}", "{\"name\": 1}", "{", "<function=f><parameter=a>1</function>", "<function=f", "f <b>",
                           "<｜DSML｜invoke name=\"f\">", "<｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"a\" string=\"maybe\">"}) {
    EXPECT_EQ(read(body), body);
  }
  EXPECT_EQ(read("<｜DSML｜invoke name=\"f\"></｜DSML｜invoke> tail "), "f{};tail ");
}

TEST(ToolCalls, AWordIsACallOnlyWhereTheModelWritesThemSo) {
  EXPECT_TRUE(read_tool_calls("weather", {.bare_names = false}, {}).calls.empty());
  EXPECT_EQ(read_tool_calls("weather", {.bare_names = true}, {}).calls.size(), 1u);
}

TEST(ToolCalls, WithoutTheClosingMarkerOnlyCallsThatEndByThemselvesCount) {
  EXPECT_EQ(read("weather<arg_key>city</arg_key><arg_value>x</arg_value>", false),
            "weather<arg_key>city</arg_key><arg_value>x</arg_value>");
  EXPECT_EQ(read("weather", false), "weather");
  EXPECT_EQ(read("<function=f>", false), "<function=f>");
  EXPECT_EQ(read("call:f{}", false), "f{};");
  EXPECT_EQ(read("<｜DSML｜invoke name=\"f\"></｜DSML｜invoke>\n<｜DSML｜invoke name=\"g\">", false), "f{};<｜DSML｜invoke name=\"g\">");
}

TEST(ToolCalls, DeepNestingIsNoCall) {
  EXPECT_EQ(read("call:f{a:" + std::string(200, '[')), "call:f{a:" + std::string(200, '['));
  const std::string deep = "call:f{a:" + std::string(40, '[') + std::string(40, ']') + "}";
  EXPECT_EQ(read(deep), deep);
}

TEST(Tools, AreChecked) {
  EXPECT_EQ(Tools::parse("{}", "t").error().message, "t: must be an array of functions, not an object");
  EXPECT_EQ(Tools::parse("[{\"function\": {}}]", "t").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Tools::parse("[1]", "t").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(Tools::parse("[{\"name\": \"f\"}, {\"name\": \"f\"}]", "t").error().message, "t[1]: a function named 'f' stands there already");
  EXPECT_EQ(Json(Tools::parse("[{\"name\": \"f\"}]", "t")->wrapped()).dump(), R"([{"type":"function","function":{"name":"f"}}])");
}

}  // namespace
}  // namespace longhaul
