// A checkpoint as a GGUF file gives the logits that it gives as a folder, to the bit: in f32,
// packed and from a folder of packed weights; whole and split; in F32 and in BF16.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "api/loaded_model.h"
#include "base/notice.h"
#include "formats/formats_testing.h"
#include "formats/gguf_testing.h"
#include "longhaul/checkpoint.h"
#include "longhaul/planner.h"
#include "testing/checkpoint.h"
#include "testing/gguf_checkpoint.h"
#include "testing/planned_logits.h"

namespace longhaul::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class GgufCheckpoint : public ::testing::TestWithParam<std::string> {
 protected:
  // Gemma 3 files have no key for the width by which scores are divided.
  HfCheckpoint golden() const {
    HfCheckpoint checkpoint = read_golden(GetParam());
    if (GetParam().find("gemma3") != std::string::npos)
      checkpoint.set("query_pre_attn_scalar", *checkpoint.text_config().find("head_dim"));
    return checkpoint;
  }
  std::vector<int32_t> prompt() const { return golden_cases(GetParam()).front().prompt; }
  std::string at(const std::string& name) const { return folder_.path() + "/" + name; }

  TemporaryFolder folder_;
  Notices notices_;
};

TEST_P(GgufCheckpoint, GivesTheLogitsOfTheFolder) {
  HfCheckpoint checkpoint = golden();
  for (const char* type : {"F32", "BF16"}) {
    SCOPED_TRACE(type);
    if (type == std::string("BF16")) checkpoint.round_matrices_to_bf16();
    checkpoint.write(at(type));
    const std::string whole = write_gguf(checkpoint, at(type) + ".gguf");
    for (const char* weights : {"f32", "bf16", "q8"}) {
      const std::vector<float> expected = planned_logits(at(type), prompt(), f32_state(weights));
      EXPECT_FALSE(expected.empty());
      EXPECT_EQ(planned_logits(whole, prompt(), f32_state(weights)), expected) << weights;
    }
  }
}

TEST_P(GgufCheckpoint, OpensByAnyPartAndByItsFolder) {
  const HfCheckpoint checkpoint = golden();
  checkpoint.write(at("hf"));
  fs::create_directories(at("split"));
  const std::string first = write_gguf(checkpoint, at("split/model"), 3);
  const std::vector<float> expected = planned_logits(at("hf"), prompt());
  EXPECT_EQ(planned_logits(first, prompt()), expected);
  EXPECT_EQ(planned_logits(at("split/model-00003-of-00003.gguf"), prompt()), expected);
  EXPECT_EQ(planned_logits(at("split"), prompt()), expected);
}

TEST_P(GgufCheckpoint, PacksIntoAFolderThatRunsAlone) {
  const HfCheckpoint checkpoint = golden();
  const std::string file = write_gguf(checkpoint, at("model.gguf"));
  for (const auto& [option, precision] :
       {std::pair{"bf16", WeightPrecision::kBF16}, {"q8", WeightPrecision::kQ8}}) {
    const std::string packed = at(option);
    const auto report = quantize(file, packed, {.weights = precision});
    ASSERT_TRUE(report.ok()) << report.error().text();
    EXPECT_EQ(planned_logits(packed, prompt(), f32_state("auto")),
              planned_logits(file, prompt(), f32_state(option)))
        << option;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, GgufCheckpoint,
                         ::testing::Values("gemma/gemma3", "gemma/gemma3_linear", "gemma/e2b",
                                           "gemma/26b", "gemma/31b", "gemma/12b", "laguna/xs",
                                           "laguna/per_element", "deepseek_v4/flash",
                                           "zaya/full_legacy"),
                         test_name);

// --- several files in a folder -------------------------------------------------------------------

class GgufFolder : public ::testing::Test {
 protected:
  std::string at(const std::string& name) const { return folder_.path() + "/" + name; }
  void write(const std::string& name, std::vector<std::string> values) {
    GgufTestFile file;
    file.values = std::move(values);
    std::ofstream(at(name), std::ios::binary) << file.text();
  }
  std::string problem(const std::string& model) {
    const auto loaded = LoadedModel::load(model, f32_state("f32"));
    return loaded.ok() ? "loaded" : loaded.error().text();
  }

  TemporaryFolder folder_;
  Notices notices_;
};

TEST_F(GgufFolder, LeavesOutWhatIsNoModel) {
  write_gguf(read_golden("gemma/e2b"), at("model.gguf"));
  write("mmproj-model.gguf", {gguf_text("general.architecture", "clip")});
  write("lora.gguf",
        {gguf_text("general.architecture", "gemma4"), gguf_text("general.type", "adapter")});
  write("model-assistant.gguf", {gguf_text("general.architecture", "gemma4-assistant")});
  EXPECT_EQ(problem(folder_.path()), "loaded");
  EXPECT_THAT(notices_.lines, Contains(HasSubstr("left out: lora.gguf (general.type 'adapter'), "
                                                 "mmproj-model.gguf (a tower for images or sound), "
                                                 "model-assistant.gguf (general.architecture "
                                                 "'gemma4-assistant')")));
}

TEST_F(GgufFolder, NamesTheModelsWhereThereAreSeveral) {
  write_gguf(read_golden("gemma/e2b"), at("a.gguf"));
  write_gguf(read_golden("gemma/e2b"), at("b.gguf"));
  EXPECT_THAT(problem(folder_.path()),
              HasSubstr("holds several models; give one of its files: a.gguf, b.gguf"));
}

TEST_F(GgufFolder, RefusesAFileThatIsNoModel) {
  write("mmproj.gguf", {gguf_text("general.architecture", "clip")});
  EXPECT_THAT(problem(at("mmproj.gguf")), HasSubstr("a tower for images or sound; give the model"));
  EXPECT_THAT(problem(folder_.path()), HasSubstr("mmproj.gguf (a tower for images or sound); get"));
  write("llama.gguf", {gguf_text("general.architecture", "llama")});
  EXPECT_THAT(
      problem(at("llama.gguf")),
      HasSubstr("general.architecture 'llama' is not supported; use a file of one of these: "
                "gemma3, gemma4, laguna"));
}

TEST_F(GgufFolder, ListsWhatIsMissingAndWhatHasNoPlace) {
  HfCheckpoint checkpoint = read_golden("gemma/e2b");
  checkpoint.tensors.erase("model.layers.1.self_attn.q_proj.weight");
  checkpoint.tensors.erase("model.layers.2.mlp.up_proj.weight");
  const std::string file = write_gguf(checkpoint, at("model.gguf"));
  const std::string text = problem(file);
  EXPECT_THAT(text, HasSubstr("missing tensor 'model.layers.1.self_attn.q_proj.weight'"));
  EXPECT_THAT(text, HasSubstr("missing tensor 'model.layers.2.mlp.up_proj.weight'"));
}

TEST_F(GgufFolder, SwappedNormsChangeTheLogits) {
  HfCheckpoint checkpoint = read_golden("gemma/e2b");
  const std::vector<int32_t> prompt = golden_cases("gemma/e2b").front().prompt;
  const auto before = planned_logits(write_gguf(checkpoint, at("a.gguf")), prompt);
  std::swap(checkpoint.tensors.at("model.layers.0.pre_feedforward_layernorm.weight"),
            checkpoint.tensors.at("model.layers.0.post_attention_layernorm.weight"));
  EXPECT_NE(planned_logits(write_gguf(checkpoint, at("b.gguf")), prompt), before);
}

}  // namespace
}  // namespace longhaul::testing
