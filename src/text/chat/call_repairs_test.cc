// Calls with a slip in them, each of a kind that users of public engines have reported. The inputs
// are our own.
#include <gtest/gtest.h>

#include "text/chat/tool_calls.h"

namespace longhaul {
namespace {

constexpr CallMarkers kTags{"<tool_call>", "</tool_call>", {}, false};
constexpr CallMarkers kBraces{"<|tool_call>", "<tool_call|>", {}, false};
constexpr CallMarkers kZyphra{"<zyphra_tool_call>", "</zyphra_tool_call>", {}, false};
constexpr CallMarkers kDsml{"<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>", {}, true};

Tools trains() {
  return *Tools::parse(
      R"([{"name": "find_train", "parameters": {"properties": {"town": {"type": "string"}, "limit": {"type": "integer"},
      "direct": {"type": "boolean"}, "stops": {"type": "array"}, "via": {"type": "object"}}}}, {"name": "go"}])",
      "tools");
}

// The calls, each of which must carry a note; then what is no call.
std::string mended(const CallMarkers& markers, std::string_view body, const Tools& tools = {}) {
  const std::string text = std::string(body) + std::string(markers.close);
  const CallBlock block = read_call_block({text, markers, true}, {}, tools);
  std::string out;
  for (const ToolCall& call : block.calls) {
    const auto arguments = parse_json(call.arguments, "arguments");
    EXPECT_TRUE(arguments.ok() && arguments->as_object() != nullptr) << call.arguments;
    out += call.name + call.arguments + ";";
  }
  EXPECT_FALSE(block.notes.empty()) << body;
  return out + block.content;
}

void expect_mended(const CallMarkers& markers, std::string_view wanted,
                   std::initializer_list<const char*> bodies, const Tools& tools = {}) {
  for (const char* body : bodies) EXPECT_EQ(mended(markers, body, tools), wanted) << body;
}

TEST(CallRepairs, BracesWithALostQuotationMark) {
  // SGLang #39240: the opening mark is lost, the closing one is there.
  expect_mended(kBraces, R"(find_train{"town": "Oslo, Norway", "limit": 5};)",
                {R"(call:find_train{town:Oslo, Norway<|"|>,limit:5})",
                 R"(call:find_train{town: Oslo, Norway<|"|>, limit: 5 })",
                 R"(call:find_train{town:<|"|>Oslo, Norway,limit:5})",
                 R"(call:find_train{town:"Oslo, Norway,limit:5})",
                 R"(call:find_train{town:Oslo, Norway",limit:5})",
                 R"(call:find_train{town:Oslo, Norway,limit:5})"},
                trains());
  expect_mended(kBraces, R"(find_train{"town": "Oslo"};)",
                {R"(call:find_train{town:Oslo<|"|>})", R"(call:find_train{town:<|"|>Oslo})",
                 R"(call:find_train{town:Oslo})", R"(call:find_train{town:'Oslo'<|"|>})",
                 R"(call:find_train{town:"Oslo<|"|>})", R"(call:find_train{town:<|"|>Oslo"})",
                 R"(call:find_train{town:<|"Oslo<|"|>})", R"(call:find_train{town:<|"|Oslo})",
                 R"(call:find_train{town:<|"|>Oslo<|"|><|"|>})"});
  // ollama's repairs stop at the last value; here any may lack its closing mark.
  expect_mended(kBraces, R"(f{"a": "one", "b": "two"};)",
                {R"(call:f{a:<|"|>one,b:<|"|>two<|"|>})", R"(call:f{a:one<|"|>,b:<|"|>two<|"|>})",
                 R"(call:f{a:<|"|>one<|"|>,b:<|"|>two})", R"(call:f{a:<|"|>one<|"|>,b:two<|"|>})"});
  // Text may look as if it had keys in it.
  EXPECT_EQ(mended(kBraces, R"(call:note{text:buy milk, tomorrow: call mom<|"|>,n:1})"),
            R"(note{"text": "buy milk, tomorrow: call mom", "n": 1};)");
  EXPECT_EQ(mended(kBraces, "call:write{content:# Title\nnote: if (x) { y(); }\nend<|\"|>}"),
            R"x(write{"content": "# Title\nnote: if (x) { y(); }\nend"};)x");
  EXPECT_EQ(mended(kBraces, R"(call:f{n:5,town:Oslo<|"|>,b:true,c:<|"|>x<|"|>})"),
            R"(f{"n": 5, "town": "Oslo", "b": true, "c": "x"};)");
  EXPECT_EQ(mended(kBraces, R"(call:f{l:[a<|"|>,<|"|>b<|"|>],n:5<|"|>})"),
            R"(f{"l": ["a", "b"], "n": "5"};)");
}

TEST(CallRepairs, BracesWithCommasMissingOrTooMany) {
  // yzma #243.
  expect_mended(
      kBraces, R"(turn{"way": "left", "angle": 90};)",
      {R"(call:turn{way:<|"|>left<|"|>angle:90})", R"(call:turn{way:<|"|>left<|"|> angle:90})",
       "call:turn{way:<|\"|>left<|\"|>\nangle:90}", R"(call:turn{way:<|"|>left<|"|>,,angle:90})",
       R"(call:turn{,way:<|"|>left<|"|>,angle:90})", R"(call:turn{way:<|"|>left<|"|>,angle:90,})",
       R"(call:turn{way:<|"|>left<|"|>,angle:90,,})"});
  expect_mended(kBraces, R"(turn{"tags": ["a", "b"]};)",
                {R"(call:turn{tags:[<|"|>a<|"|>,<|"|>b<|"|>,];})",
                 R"(call:turn{tags:[<|"|>a<|"|>,<|"|>b<|"|>,]})",
                 R"(call:turn{tags:[<|"|>a<|"|><|"|>b<|"|>],})",
                 R"(call:turn{tags:[<|"|>a<|"|> <|"|>b<|"|>]})"});
  EXPECT_EQ(mended(kBraces, "call:f{n:[1 2 3]}"), R"(f{"n": [1, 2, 3]};)");
  EXPECT_EQ(mended(kBraces, R"(call:turn{o:{x:1}l:[2]n:3})"),
            R"(turn{"o": {"x": 1}, "l": [2], "n": 3};)");
}

TEST(CallRepairs, WordsEndWhereTheNextKeyBegins) {
  expect_mended(
      kBraces, R"(turn{"angle": 90, "way": "left"};)",
      {R"(call:turn{angle:90 way:<|"|>left<|"|>})", "call:turn{angle:90\nway:<|\"|>left<|\"|>}",
       R"(call:turn{angle:90, way:<|"|>left<|"|>,})"});
}

TEST(CallRepairs, BracesInOtherWritings) {
  // vLLM #51284, omlx #1854, ollama #17882: JSON's or Python's quotation marks; '=' for ':'. omlx
  // #1886: parentheses for braces.
  expect_mended(
      kBraces, R"(save{"name": "report.txt", "ids": ["x1"]};)",
      {R"(call:save{name:"report.txt",ids:["x1"]})", R"(call:save{name:'report.txt',ids:['x1']})",
       R"(call:save{name='report.txt',ids=['x1']})",
       R"x(call:save(name="report.txt", ids=["x1"]))x",
       R"(call:save(name:<|"|>report.txt<|"|>,ids:[<|"|>x1<|"|>]))",
       R"(call:save{"name": "report.txt", "ids": ["x1"]})",
       R"(call:save{'name': 'report.txt', 'ids': ['x1']})"});
  EXPECT_EQ(mended(kBraces, R"(call:find_train{direct:True,via:None,stops:[False]})"),
            R"(find_train{"direct": true, "via": null, "stops": [false]};)");
  // A pattern in quotation marks keeps its backslashes (ollama #15315).
  EXPECT_EQ(mended(kBraces, R"(call:grep{in:<|"|>*.py<|"|>,pattern:':\s*\w+'<|"|>})"),
            R"(grep{"in": "*.py", "pattern": ":\\s*\\w+"};)");
  // The mark is also the model's sign for a quotation mark inside of text (vLLM #48678).
  EXPECT_EQ(
      mended(
          kBraces,
          R"x(call:run{code:<|"|>q(<|"|><|"|><|"|> SELECT 1 <|"|><|"|><|"|>).go()<|"|>,ids:[<|"|>d<|"|>]})x"),
      R"x(run{"code": "q(\"\"\" SELECT 1 \"\"\").go()", "ids": ["d"]};)x");
  EXPECT_EQ(mended(kBraces, R"(call:say{text:"He said "hello" to me",n:1})"),
            R"(say{"text": "He said \"hello\" to me", "n": 1};)");
}

TEST(CallRepairs, BracesWithBracketsMissingOrTooMany) {
  expect_mended(kBraces, R"(f{"a": [1, {"b": "x"}]};)",
                {R"(call:f{a:[1,{b:<|"|>x<|"|>}])", R"(call:f{a:[1,{b:<|"|>x<|"|>)",
                 R"(call:f{a:[1,{b:<|"|>x<|"|>}]}})", R"(call:f{a:[1,{b:<|"|>x<|"|>}]})})",
                 R"(call:f{a:[1,{b:<|"|>x<|"|>]})", R"(call:f{a:[1,{b:<|"|>x<|"|>}})"});
  EXPECT_EQ(mended(kBraces, R"(call:bash{command:<|"|>echo ${HOME}})"),
            R"(bash{"command": "echo ${HOME}"};)");
  EXPECT_EQ(mended(kBraces, "call:f"), "f{};");
}

TEST(CallRepairs, BracesWithAWrongBeginning) {
  // vLLM #54778: a colon, a dash or nothing where "call:" belongs; omlx #1854: the server's name
  // before the function's.
  expect_mended(
      kBraces, R"(go{"to": 1};)",
      {"go{to:1}", ":go{to:1}", "-go{to:1}", "call:srv:go{to:1}", "<|tool_call>call:go{to:1}"},
      trains());
  expect_mended(
      kBraces, R"(go{"to": 1};)",
      {"```\ncall:go{to:1}\n```", "```json\n{\"name\": \"go\", \"arguments\": {\"to\": 1}}\n```\n",
       "```json\n{\"name\": \"go\", \"arguments\": {\"to\": 1}\n```"});
}

TEST(CallRepairs, JsonNearlyRight) {
  // mlx-lm #1071, hermes-agent #5315 and #12093, minpeter/ai-sdk-tool-call-middleware #298.
  expect_mended(kTags, R"(f{"a": "x", "b": [1, 2]};)",
                {R"({"name": "f", "arguments": {"a": "x", "b": [1, 2],}})",
                 R"({"name": "f", "arguments": {"a": "x", "b": [1, 2,]}})",
                 R"({'name': 'f', 'arguments': {'a': 'x', 'b': [1, 2]}})",
                 R"({name: "f", arguments: {a: "x", b: [1, 2]}})",
                 R"({"name": "f", "arguments": {"a": "x" "b": [1, 2]}})",
                 R"({"name": "f", "arguments": {"a": "x", "b": [1, 2]})",
                 R"({"name": "f", "arguments": {"a": "x", "b": [1, 2]}}})",
                 R"({"function": {"name": "f", "arguments": {"a": "x", "b": [1, 2,],}}})"});
  expect_mended(kTags, R"(f{"a": "x", "b": [1, 2]};)",
                {R"({"name": "f", "arguments": {"a": "x, "b": [1, 2]}})",
                 R"({"name": "f", "arguments": {"a": x", "b": [1, 2]}})",
                 R"({"name": "f", "arguments": {a": "x", "b": [1, 2]}})",
                 R"({"name": "f", "arguments": {"a: "x", "b": [1, 2]}})",
                 R"({"name": "f" "arguments": {"a": "x", "b": [1, 2]}})",
                 R"({"name" = "f", "arguments" = {"a" = "x", "b" = [1, 2]}})"});
  EXPECT_EQ(mended(kTags, "{\"name\": \"f\", \"arguments\": {\"a\": \"one\ntwo\t\"}}"),
            R"(f{"a": "one\ntwo\t"};)");
  EXPECT_EQ(mended(kTags, R"({"name": "f", "arguments": {"a": "say "hi" now", "b": 1}})"),
            R"(f{"a": "say \"hi\" now", "b": 1};)");
  EXPECT_EQ(mended(kTags, R"({"name": "f", "arguments": {"p": "C:\dir\x \ud800"}})"),
            R"(f{"p": "C:\\dir\\x \\ud800"};)");
  EXPECT_EQ(mended(kTags, R"({"name": "f", "arguments": {"t": True, "n": None}})"),
            R"(f{"t": true, "n": null};)");
  EXPECT_EQ(mended(kTags, R"({"name": "f", "arguments": "{'a': 1,}"})"), R"(f{"a": 1};)");
  EXPECT_EQ(mended(kTags, R"([{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}])"),
            "f{};g{};");
  EXPECT_EQ(mended(kTags, R"({"name": "f", "arguments": {"a": 1, "a": 2}})"), R"(f{"a": 2};)");
}

TEST(CallRepairs, TaggedCallsWithATagMissing) {
  const std::string wanted = R"(find_train{"town": "Oslo", "limit": 5};)";
  // vLLM #47190 (<arg_key>), #49248 (<arg_value>), sigit #95 (<tool_call> for <arg_key>).
  expect_mended(
      kTags, wanted,
      {"find_train "
       "town</arg_key><arg_value>Oslo</arg_value><arg_key>limit</arg_key><arg_value>5</arg_value>",
       "find_traintown</arg_key><arg_value>Oslo</arg_value><arg_key>limit</arg_key><arg_value>5</"
       "arg_value>",
       "find_train<arg_key>town<arg_value>Oslo</arg_value><arg_key>limit</arg_key><arg_value>5</"
       "arg_value>",
       "find_train</arg_key><arg_key>town</arg_key><arg_value>Oslo</arg_value><arg_key>limit</"
       "arg_key><arg_value>5</arg_value>",
       "find_train<arg_key>town</arg_key><arg_key>town</arg_key><arg_value>Oslo</"
       "arg_value><arg_key>limit</arg_key><arg_value>5</"
       "arg_value>",
       "find_train<arg_key>town</arg_key>Oslo</arg_value><arg_key>limit</arg_key><arg_value>5</"
       "arg_value>",
       "find_train<arg_key>town</arg_key><arg_value>Oslo<arg_key>limit</arg_key><arg_value>5</"
       "arg_value>",
       "find_train<arg_key>town</arg_key><arg_value>Oslo</arg_value><arg_key>limit</"
       "arg_key><arg_value>5",
       "find_train<tool_call>town</arg_key><arg_value>Oslo</arg_value><arg_key>limit</"
       "arg_key><arg_value>5</arg_value>",
       "find_train\n<arg_key>town</arg_key>\n<arg_value>Oslo\n<arg_key>limit</"
       "arg_key>\n<arg_value>5\n"},
      trains());
  // fw-ai-external/python-sdk #119: a closing tag behind the name of a call without arguments.
  expect_mended(kTags, "go{};", {"go</arg_value>", "go\n</arg_value>\n", "go</arg_key>\n"},
                trains());
  // A name and JSON, as ollama's reader of this format takes it.
  EXPECT_EQ(mended(kTags, "find_train\n{\"town\": \"Oslo\", \"limit\": 5}", trains()), wanted);
  EXPECT_EQ(mended(kTags,
                   "find_train<arg_key>direct</arg_key><arg_value>True</arg_value><arg_key>stops</"
                   "arg_key><arg_value>['a', 'b',]</arg_value>",
                   trains()),
            R"(find_train{"direct": true, "stops": ["a", "b"]};)");
}

TEST(CallRepairs, FunctionTagsWithATagMissing) {
  const std::string wanted = R"(find_train{"town": "Oslo", "limit": 5};)";
  // ollama #17914, SGLang #27337, mlx-lm #1881.
  expect_mended(
      kZyphra, wanted,
      {"\n<function=find_train>\n<parameter=town>\nOslo\n<parameter=limit>\n5\n</parameter>\n</"
       "function>\n",
       "\n<function=find_train>\n<parameter=town>\nOslo\n</parameter>\n<parameter=limit>\n5\n</"
       "function>\n",
       "\n<function=find_train>\n<parameter=town>\nOslo\n</parameter>\n<parameter=limit>\n5\n</"
       "parameter>\n",
       "\n<function=find_train>\n<parameter=town>\nOslo\n</parameter>\n<parameter=limit>\n5\n",
       "\n<function=find_train\n<parameter=town\nOslo\n</parameter>\n<parameter=limit>\n5\n</"
       "parameter>\n</function>\n",
       "\n<function=find_train>\n<parameter=town>\nOslo\n</parameter1>\n<parameter=limit>\n5\n</"
       "parameter/>\n</function>\n",
       "\n<function name=\"find_train\">\n<parameter "
       "name=\"town\">\nOslo\n</parameter>\n<parameter "
       "name='limit'>\n5\n</parameter>\n</function>\n",
       "<function=\"find_train\"><parameter=\"town\">Oslo</parameter><parameter=limit>5</"
       "parameter></function>",
       "<function=find_train>{\"town\": \"Oslo\", \"limit\": 5}</function>"},
      trains());
}

TEST(CallRepairs, DsmlNearlyRight) {
  const std::string wanted = R"(find_train{"town": "Oslo", "limit": 5};)";
  // SGLang #40236 and #39435, vLLM #54838, lucebox #742, opencrabs #419, GenericAgent #804, cline
  // #13348.
  expect_mended(
      kDsml, wanted,
      {"<|DSML|invoke name=\"find_train\">\n<|DSML|parameter name=\"town\" "
       "string=\"true\">Oslo</|DSML|parameter>\n<|DSML|parameter "
       "name=\"limit\" "
       "string=\"false\">5</|DSML|parameter>\n</|DSML|invoke>\n",
       "<｜｜DSML｜｜invoke name=\"find_train\">\n<｜｜DSML｜｜parameter name=\"town\" "
       "string=\"true\">Oslo</｜｜DSML｜｜parameter>\n<｜｜DSML｜｜parameter "
       "name=\"limit\" string=\"false\">5</｜｜DSML｜｜parameter>\n</｜｜DSML｜｜invoke>\n",
       "<｜DSML｜invoke name='find_train'>\n<｜DSML｜parameter name=town "
       "string='true'>Oslo</｜DSML｜parameter>\n<｜DSML｜parameter "
       "name=\"limit\">5"
       "</｜DSML｜parameter>\n</｜DSML｜invoke>\n",
       "<｜DSML｜invoke name=\"find_train\">\n<｜DSML｜parameter name=\"town\" "
       "string=\"true\">Oslo\n<｜DSML｜parameter name=\"limit\" "
       "string=\"false\">5</｜DSML｜parameter>\n</｜DSML｜invoke>\n",
       "<｜DSML｜invoke name=\"find_train\">\n<｜DSML｜parameter name=\"town\" "
       "string=\"true\">Oslo</｜DSML｜parameter>\n<｜DSML｜parameter "
       "name=\"limit\" string=\"maybe\">5\n</｜DSML｜invoke>\n",
       "<｜DSML｜invoke name=\"find_train\">\n<｜DSML｜parameter name=\"town\" "
       "string=\"true\">Oslo</｜DSML｜parameter>\n<｜DSML｜parameter "
       "name=\"limit\" string=\"false\">5</｜DSML｜parameter>\n",
       "<invoke name=\"find_train\">\n<parameter name=\"town\" "
       "string=\"true\">Oslo</｜DSML｜parameter>\n<parameter name=\"limit\">5"
       "</｜DSML｜parameter>\n</｜DSML｜invoke>\n",
       "<｜DSML｜invoke name=\"find_train\">{\"town\": \"Oslo\", \"limit\": 5}</｜DSML｜invoke>",
       "<｜DSML｜invoke name=\"find_train\">\n<｜DSML｜parameter name=\"arguments\" "
       "string=\"false\">{\"town\": \"Oslo\", \"limit\": 5}"
       "</｜DSML｜parameter>\n</｜DSML｜invoke>\n"},
      trains());
  // codex-relay #49: parameters as tags without a body.
  EXPECT_EQ(mended(kDsml,
                   "<｜｜DSML｜｜invoke name=\"run\">\n<｜｜DSML｜｜invoke name=\"cmd\" "
                   "string=\"echo a\" />\n</｜｜DSML｜｜invoke>\n"),
            R"(run{"cmd": "echo a"};)");
  // One call that cannot be read does not take the others along.
  EXPECT_EQ(mended(kDsml,
                   "<｜DSML｜invoke name=\"f\">oops</｜DSML｜invoke>\n<｜DSML｜invoke "
                   "name=\"go\">\n\n</｜DSML｜invoke>\n"),
            "go{};<｜DSML｜invoke name=\"f\">oops</｜DSML｜invoke>\n");
  // lucebox #742: the next call begins although the last is open.
  EXPECT_EQ(mended(kDsml,
                   "<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" "
                   "string=\"true\">x</｜DSML｜parameter>\n<｜DSML｜invoke "
                   "name=\"go\">\n</｜DSML｜invoke>\n"),
            R"(f{"a": "x"};go{};)");
}

TEST(CallRepairs, ANoteSaysWhatWasMended) {
  const std::string text = R"(call:turn{way:<|"|>left<|"|>angle:90,}<tool_call|>)";
  const CallBlock block = read_call_block({text, kBraces, true}, {}, {});
  ASSERT_EQ(block.notes.size(), 1u);
  EXPECT_EQ(block.notes[0].kind, ReplyNote::Kind::kRepairedCall);
  EXPECT_EQ(block.notes[0].call, "turn");
  EXPECT_EQ(block.notes[0].detail, "a comma missing or too many");
}

}  // namespace
}  // namespace longhaul
