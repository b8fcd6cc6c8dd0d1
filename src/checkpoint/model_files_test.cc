// What a folder holds of a model, and what is read of it.
#include "checkpoint/model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "checkpoint/load_texts.h"
#include "formats/formats_testing.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

class Folder : public ::testing::Test {
 protected:
  Folder() { folder_.write("config.json", R"({"eos_token_id": 3})"); }

  void write(const std::string& name, std::string_view text) {
    fs::create_directories((fs::path(folder_.path()) / name).parent_path());
    folder_.write(name, text);
  }
  std::unique_ptr<const ModelFiles> open() const {
    auto files = open_model_files(folder_.path());
    EXPECT_TRUE(files.ok()) << files.error().text();
    return std::move(*files);
  }

  TemporaryFolder folder_;
};

TEST_F(Folder, WithoutTextsIsAModelAllTheSame) {
  const auto files = open();
  EXPECT_EQ(files->config().where, folder_.path() + "/config.json");
  EXPECT_EQ(files->config().name, fs::path(folder_.path()).filename().string());
  for (const TextKind kind :
       {TextKind::kTokenizer, TextKind::kGenerationConfig, TextKind::kChatTemplate}) {
    const auto text = files->read(kind);
    ASSERT_TRUE(text.ok());
    EXPECT_FALSE(text->has_value()) << files->where(kind);
  }
  EXPECT_TRUE(files->read_json(TextKind::kTokenizerConfig)->is_null());
  EXPECT_TRUE(files->named_templates()->empty());
  EXPECT_FALSE(load_tokenizer(*files, 100)->has_value());
  const auto prose = load_dsml_prose(*files);
  ASSERT_FALSE(prose.ok());
  EXPECT_THAT(prose.error().text(), HasSubstr("/encoding/encoding_dsv4.py"));
}

TEST_F(Folder, TextsAreReadWhenAskedFor) {
  const auto files = open();
  write("chat_template.jinja", "plain");
  write("additional_chat_templates/tool_use.jinja", "tools");
  write("additional_chat_templates/README.md", "none");
  EXPECT_EQ(**files->read(TextKind::kChatTemplate), "plain");
  EXPECT_THAT(*files->named_templates(), ElementsAre(Pair("tool_use", "tools")));
  write("tokenizer_config.json", "{");
  EXPECT_THAT(files->read_json(TextKind::kTokenizerConfig).error().text(),
              HasSubstr("tokenizer_config.json"));
}

TEST_F(Folder, DefaultsForGeneratingNeedNoFileOfTheirOwn) {
  const auto files = open();
  const auto defaults = load_generation_defaults(*files, files->config().config);
  ASSERT_TRUE(defaults.ok());
  EXPECT_THAT(defaults->eos_token_ids, ElementsAre(3));
  write("generation_config.json", "{");
  EXPECT_FALSE(load_generation_defaults(*files, files->config().config).ok());
}

TEST_F(Folder, TextsAreFoundAgainInACopy) {
  write("tokenizer.json", "{}");
  write("chat_template.jinja", "plain");
  write("additional_chat_templates/rag.jinja", "rag");
  write("encoding/encoding_dsv4.py", "x = 1");
  write("notes.txt", "not the model's");
  const TemporaryFolder copy;
  ASSERT_TRUE(open()->copy_texts(copy.path()).ok());
  ASSERT_TRUE(write_model_config(copy.path(), Json::object({{"a", 1}})).ok());
  const auto found = open_model_files(copy.path());
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(**(*found)->read(TextKind::kTokenizer), "{}");
  EXPECT_EQ(**(*found)->read(TextKind::kChatTemplate), "plain");
  EXPECT_EQ(**(*found)->read(TextKind::kDsmlProse), "x = 1");
  EXPECT_THAT(*(*found)->named_templates(), ElementsAre(Pair("rag", "rag")));
  EXPECT_FALSE(fs::exists(copy.path() + "/notes.txt"));
  EXPECT_THAT((*found)->text_files(),
              UnorderedElementsAre(copy.path() + "/config.json", copy.path() + "/tokenizer.json",
                                   copy.path() + "/chat_template.jinja"));
}

TEST_F(Folder, OfWhatIsNoModelTheErrorSaysWhatToGive) {
  const auto problem = [](const std::string& path) {
    const auto files = open_model_files(path);
    return files.ok() ? "opened" : files.error().text();
  };
  EXPECT_THAT(problem("/nowhere"), HasSubstr("there is no such folder"));
  EXPECT_THAT(problem(folder_.path() + "/config.json"), HasSubstr("give the folder that it is in"));
  const TemporaryFolder empty;
  EXPECT_THAT(problem(empty.path()), HasSubstr("download the model's config.json"));
  write("snapshots/1/config.json", "{}");
  fs::remove(folder_.path() + "/config.json");
  EXPECT_THAT(problem(folder_.path()), HasSubstr("give its snapshot"));
}

}  // namespace
}  // namespace longhaul
