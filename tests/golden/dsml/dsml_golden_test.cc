// Prompts as the released encoder writes them: cases.json, made by tools/make_dsml_goldens.py with
// the fixed texts of prose.py; and prompts whose digests a description of the format gives.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "testing/sha256.h"
#include "text/chat/dsml_encoder.h"

namespace longhaul {
namespace {

const std::string kFolder = LH_SOURCE_DIR "/tests/golden/dsml/";

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

Json json(std::string_view text) {
  auto parsed = parse_json(text, "json");
  EXPECT_TRUE(parsed.ok()) << (parsed.ok() ? "" : parsed.error().message);
  return parsed.ok() ? *parsed : Json();
}

const std::string& string_of(const Json& object, std::string_view key) {
  return *object.find(key)->as_string();
}

DsmlOptions options_of(const Json& mode) {
  DsmlOptions options{.thinking = string_of(mode, "thinking_mode") == "thinking"};
  if (const Json* effort = mode.find("reasoning_effort"))
    options.max_effort = *effort->as_string() == "max";
  if (const Json* drop = mode.find("drop_thinking")) options.drop_thinking = *drop->as_bool();
  return options;
}

const DsmlEncoder& without_prose() {
  static const DsmlEncoder encoder(
      invalid("there is no /nowhere/encoding/encoding_dsv4.py; get it"));
  return encoder;
}

std::string encoded(const DsmlEncoder& encoder, std::string_view messages,
                    const DsmlOptions& options) {
  const auto prompt = encoder.encode(json(messages), options);
  return prompt.ok() ? *prompt : "error: " + prompt.error().message;
}

TEST(DsmlGolden, PromptsAreThoseOfTheReleasedEncoder) {
  const auto prose = DsmlProse::parse(read_file(kFolder + "prose.py"), "prose.py");
  ASSERT_TRUE(prose.ok()) << prose.error().message;
  const DsmlEncoder encoder(*prose);
  const Json all = json(read_file(kFolder + "cases.json"));
  int n = 0;
  for (const Json& c : *all.find("cases")->as_array()) {
    const std::string& name = string_of(c, "name");
    const auto prompt =
        encoder.encode(*all.find("conversations")->find(name), options_of(*c.find("mode")));
    ASSERT_TRUE(prompt.ok()) << name << ": " << prompt.error().message;
    EXPECT_EQ(*prompt, string_of(c, "prompt")) << name << " " << c.find("mode")->dump();
    ++n;
  }
  EXPECT_GE(n, 500);
}

TEST(DsmlGolden, PromptsWithoutFixedTextsHaveTheirPublishedDigests) {
  const DsmlOptions chat, thinking{.thinking = true},
      keeping{.thinking = true, .drop_thinking = false};
  constexpr const char* kTurns =
      R"([{"role": "user", "content": "u1"}, {"role": "assistant", "reasoning_content": "r1", "content": "a1"},
                                     {"role": "user", "content": "u2"}])";
  constexpr const char* kHi = R"([{"role": "user", "content": "Hi"}])";
  constexpr const char* kSystem =
      R"([{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}])";
  EXPECT_EQ(encoded(without_prose(), kHi, chat),
            "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜></think>");
  EXPECT_EQ(sha256_hex(encoded(without_prose(), kHi, chat)),
            "43a8b16635804295c55163b61d2f612efd6764fb0f9c1ec0de24a86937fd16b8");
  EXPECT_EQ(sha256_hex(encoded(without_prose(), kSystem, thinking)),
            "5e6fdae192be7819b061d15e2ecd931dc647f689a504bdf64ac310a5fc769531");
  EXPECT_EQ(sha256_hex(encoded(without_prose(), kTurns, thinking)),
            "3cd96198ae42bc3c2ff618b57022bb29e3606c590db3c3edec648f565ec17146");
  EXPECT_EQ(sha256_hex(encoded(without_prose(), kTurns, keeping)),
            "e870839764ab62a05513a19f3707596826fd7db4ad9da5a7ee0e66fcd1611ad7");
}

// With the fixed texts of a released checkpoint, where the environment names its file.
TEST(DsmlGolden, PromptsWithTheReleasedTextsHaveTheirPublishedDigests) {
  const char* path = std::getenv("LONGHAUL_DSML_ENCODING");
  if (path == nullptr) GTEST_SKIP() << "LONGHAUL_DSML_ENCODING names no encoding_dsv4.py";
  const auto prose = DsmlProse::parse(read_file(path), path);
  ASSERT_TRUE(prose.ok()) << prose.error().message;
  const DsmlEncoder encoder(*prose);
  const std::string most = encoded(encoder, R"([{"role": "user", "content": "Hi"}])",
                                   {.thinking = true, .max_effort = true});
  EXPECT_EQ(most.size(), 543u);
  EXPECT_EQ(sha256_hex(most), "1bcdbbd0c9b620fd93068a10a509094e488c017ec976e442aa0a0553b86d6d57");
  const std::string call = encoded(encoder, R"([
    {"role": "system", "content": "S", "tools": [{"type": "function", "function": {"name": "add", "description": "Add", "parameters":
      {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]}}}]},
    {"role": "user", "content": "1+2?"},
    {"role": "assistant", "content": "", "reasoning_content": "r", "tool_calls":
      [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{\"a\": 1, \"b\": 2}"}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "3"}])",
                                   {.thinking = true});
  EXPECT_EQ(call.size(), 1558u);
  EXPECT_EQ(sha256_hex(call), "3a692f05c4362b35b663279d425ab49d96b49e1f85e412767afd059f1e4639cd");
}

// What loading says of them (checkpoint/load_texts.h) is what a prompt that needs them says.
TEST(DsmlEncoder, FixedTextsThatAreMissingAreAskedForByName) {
  const std::string wanted = "/nowhere/encoding/encoding_dsv4.py";
  for (const char* messages :
       {R"([{"role": "system", "content": "", "tools": [{"name": "f"}]}])",
        R"([{"role": "system", "content": "", "response_format": {"a": 1}}])"}) {
    EXPECT_NE(encoded(without_prose(), messages, {}).find(wanted), std::string::npos) << messages;
  }
  EXPECT_NE(encoded(without_prose(), R"([{"role": "user", "content": ""}])",
                    {.thinking = true, .max_effort = true})
                .find(wanted),
            std::string::npos);
}

TEST(DsmlEncoder, WhatTheReleasedEncoderRefusesOrBreaksOn) {
  const auto error = [](const char* messages) { return encoded(without_prose(), messages, {}); };
  EXPECT_EQ(error("{}"), "error: messages: must be an array, not an object");
  EXPECT_EQ(error("[1]"), "error: messages[0]: must be an object, not an integer");
  EXPECT_EQ(error(R"([{"role": "critic"}])").find("error: messages[0].role: 'critic' is none of"),
            0u);
  EXPECT_EQ(error(R"([{"role": "developer", "content": ""}])"),
            "error: turn 0: a developer's message needs content");
  EXPECT_EQ(error(R"([{"role": "latest_reminder"}])"), "error: turn 0: a reminder needs content");
  EXPECT_EQ(error(R"([{"role": "user", "content": "x", "task": "dance"}])")
                .find("error: turn 0.task: 'dance' is none of"),
            0u);
  EXPECT_EQ(error(R"([{"role": "user", "content": 5}])"),
            "error: messages[0].content: must be text or a list of parts, not an integer");
  EXPECT_EQ(error(R"([{"role": "assistant", "tool_calls": [{}]}])"),
            "error: turn 0.tool_calls: a call without a function's name");
  EXPECT_EQ(error(R"([{"role": "assistant", "tool_calls": 1}])"),
            "error: turn 0.tool_calls: must be an array, not an integer");
}

TEST(DsmlEncoder, IsChosenByTheTokensOfItsFormat) {
  const auto fits = [](std::string_view last) {
    const auto tokenizer = Tokenizer::parse(
        fmt::format(
            R"({{"added_tokens": [{{"id": 1, "content": "<｜begin▁of▁sentence｜>"}}, {{"id": 2, "content": "<｜end▁of▁sentence｜>"}},
            {{"id": 3, "content": "<｜User｜>"}}, {{"id": 4, "content": "<｜Assistant｜>"}}, {{"id": 5, "content": "{}"}}],
            "model": {{"type": "BPE", "vocab": {{"a": 0}}, "merges": []}}}})",
            last),
        "tokenizer.json");
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    return DsmlEncoder::fits(*tokenizer);
  };
  EXPECT_TRUE(fits("｜DSML｜"));
  EXPECT_FALSE(fits("<｜tool▁calls▁begin｜>"));
}

// What is taken beyond the released encoder.
TEST(DsmlEncoder, ArgumentsMayBeAnObjectAndContentAListOfParts) {
  const auto call = [](const char* arguments) {
    return encoded(
        without_prose(),
        fmt::format(
            R"([{{"role": "assistant", "tool_calls": [{{"function": {{"name": "f", "arguments": {}}}}}]}}])",
            arguments),
        {});
  };
  EXPECT_EQ(call(R"({"a": 1, "b": "x"})"), call(R"("{\"a\": 1, \"b\": \"x\"}")"));
  EXPECT_NE(call("[1]").find("name=\"arguments\" string=\"false\">[1]<"), std::string::npos);
  EXPECT_EQ(
      encoded(
          without_prose(),
          R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}])",
          {}),
      encoded(without_prose(), R"([{"role": "user", "content": "a\n\nb"}])", {}));
}

}  // namespace
}  // namespace longhaul
