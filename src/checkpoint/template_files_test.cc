// Where a checkpoint may keep its chat templates, and which of them is used.
#include "checkpoint/template_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "formats/formats_testing.h"

namespace longhaul {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

class TemplateFiles : public ::testing::Test {
 protected:
  void config(std::string_view text) {
    auto json = parse_json(text, "tokenizer_config.json");
    ASSERT_TRUE(json.ok()) << json.error().text();
    config_ = std::move(*json);
  }
  void named(const std::string& name, std::string_view text) {
    std::filesystem::create_directories(folder_.path() + "/additional_chat_templates");
    folder_.write("additional_chat_templates/" + name, text);
  }
  std::unique_ptr<const ModelFiles> files() const {
    folder_.write("config.json", "{}");
    auto opened = open_model_files(folder_.path());
    EXPECT_TRUE(opened.ok()) << opened.error().text();
    return std::move(*opened);
  }
  // What the chosen template renders; "none", or the error.
  std::string chosen(bool has_tools = false) {
    const auto templates = load_chat_templates(*files(), config_);
    if (!templates.ok()) return templates.error().text();
    const auto found = templates->choose(has_tools);
    if (!found.ok()) return found.error().text();
    if (*found == nullptr) return "none";
    const auto text = (*found)->render(Json::object({}));
    return text.ok() ? *text : text.error().text();
  }
  std::string tokens() {
    const auto json = load_special_tokens(*files(), config_);
    return json.ok() ? json->dump() : json.error().text();
  }

  TemporaryFolder folder_;
  Json config_;
};

TEST_F(TemplateFiles, NoneIsNoError) {
  EXPECT_EQ(chosen(), "none");
  config(R"({"chat_template": null})");
  EXPECT_EQ(chosen(), "none");
  config(R"({"chat_template": ""})");
  EXPECT_EQ(chosen(), "none");
  config(R"({"chat_template": []})");
  EXPECT_EQ(chosen(), "none");
}

// Each of these goes before those above it: the reference's tokenizer reads a file first, then its
// own config. What only its processors read comes last.
TEST_F(TemplateFiles, TheFirstPlaceThatHasOneCounts) {
  folder_.write("processor_config.json",
                R"({"chat_template": "processor", "image_seq_length": 256})");
  EXPECT_EQ(chosen(), "processor");
  folder_.write("chat_template.json", R"({"chat_template": "json"})");
  EXPECT_EQ(chosen(), "json");
  config(R"({"chat_template": "config"})");
  EXPECT_EQ(chosen(), "config");
  folder_.write("chat_template.jinja", "jinja");
  EXPECT_EQ(chosen(), "jinja");
  EXPECT_EQ(chosen(/*has_tools=*/true), "jinja");
}

// ggml-org/llama.cpp #6484, huggingface/swift-transformers #134: Command R, Hermes 3, Mistral 0.3.
TEST_F(TemplateFiles, OfNamedOnesTheDefaultIsUsed) {
  config(
      R"({"chat_template": [{"name": "rag", "template": "{% broken"}, {"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]})");
  EXPECT_EQ(chosen(), "plain");
  EXPECT_EQ(chosen(/*has_tools=*/true), "tools");  // huggingface/transformers #31429
  config(
      R"({"chat_template": [{"name": "default", "template": "first"}, {"name": "default", "template": "last"}]})");
  EXPECT_EQ(chosen(), "last");
  EXPECT_EQ(chosen(/*has_tools=*/true), "last");
  config(R"({"chat_template": {"default": "object", "tool_use": "object's tools"}})");
  EXPECT_EQ(chosen(), "object");
  EXPECT_EQ(chosen(/*has_tools=*/true), "object's tools");
  config("{}");
  folder_.write("chat_template.json",
                R"({"chat_template": [{"name": "default", "template": "in chat_template.json"}]})");
  EXPECT_EQ(chosen(), "in chat_template.json");
}

TEST_F(TemplateFiles, AdditionalFilesAreNamedOnes) {
  named("tool_use.jinja", "tools");
  named("rag.jinja", "rag");
  named("README.md", "text");
  EXPECT_THAT(chosen(), AllOf(HasSubstr("none of the templates is named 'default'"),
                              HasSubstr("--chat-template FILE (there are rag, tool_use)")));
  EXPECT_EQ(chosen(/*has_tools=*/true), "tools");
  config(R"({"chat_template": "config"})");
  EXPECT_EQ(chosen(), "config");
  EXPECT_EQ(chosen(/*has_tools=*/true), "tools");
  folder_.write("chat_template.jinja", "plain");
  EXPECT_EQ(chosen(), "plain");
  EXPECT_EQ(chosen(/*has_tools=*/true), "tools");
  const auto templates = load_chat_templates(*files(), config_);
  ASSERT_TRUE(templates.ok());
  EXPECT_THAT(templates->names, UnorderedElementsAre("default", "rag", "tool_use"));
}

TEST_F(TemplateFiles, WithoutADefaultNoneIsGuessed) {
  config(R"({"chat_template": [{"name": "rag", "template": "x"}]})");
  EXPECT_THAT(chosen(), HasSubstr("tokenizer_config.json: chat_template: none of the templates is "
                                  "named 'default'; give one with --chat-template"));
  config(R"({"chat_template": [{"name": "\u001b[2J", "template": "x"}]})");
  EXPECT_THAT(chosen(), Not(HasSubstr("\x1b")));
}

TEST_F(TemplateFiles, WrongTypesAreErrorsThatNameTheField) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"chat_template": 7})",
       "tokenizer_config.json: chat_template: is an integer, expected a text or a list of named "
       "ones"},
      {R"({"chat_template": ["x"]})",
       "chat_template[0]: expected an object with the texts 'name' and 'template'"},
      {R"({"chat_template": [{"name": "default", "template": "x"}, {"name": "y"}]})",
       "chat_template[1]: expected"},
      {R"({"chat_template": [{"name": 1, "template": "x"}]})", "chat_template[0]: expected"},
      {R"({"chat_template": {"default": null}})", "chat_template.default: expected"}};
  for (const auto& [text, fragment] : cases) {
    config(text);
    EXPECT_THAT(chosen(), AllOf(HasSubstr(fragment), HasSubstr("--chat-template FILE"))) << text;
  }
  config(R"({"chat_template": "{% for"})");
  EXPECT_THAT(chosen(), HasSubstr("tokenizer_config.json: chat_template"));
  config("null");
  folder_.write("chat_template.json", "{");
  EXPECT_THAT(chosen(), HasSubstr("chat_template.json: not valid JSON"));
}

TEST_F(TemplateFiles, SpecialTokensAreTextsOrObjectsOfThem) {
  EXPECT_EQ(tokens(), "{}");
  config(
      R"({"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": false}, "pad_token": null, "sep_token": 5, "image_token": "<i>",
             "unk_token": {"__type": "AddedToken", "content": "<unk>"}, "mask_token": "<m>", "cls_token": "<c>"})");
  EXPECT_EQ(
      tokens(),
      R"({"bos_token":"<s>","eos_token":"</s>","unk_token":"<unk>","cls_token":"<c>","mask_token":"<m>"})");
}

// The reference reads special_tokens_map.json where the config does not note added tokens.
TEST_F(TemplateFiles, OlderCheckpointsKeepSpecialTokensInAFileOfTheirOwn) {
  folder_.write("special_tokens_map.json",
                R"({"bos_token": {"content": "<b>"}, "eos_token": "<e>"})");
  config(R"({"bos_token": "<s>", "pad_token": "<p>"})");
  EXPECT_EQ(tokens(), R"({"bos_token":"<b>","eos_token":"<e>","pad_token":"<p>"})");
  config(R"({"bos_token": "<s>", "added_tokens_decoder": {}})");
  EXPECT_EQ(tokens(), R"({"bos_token":"<s>"})");
}

}  // namespace
}  // namespace longhaul
