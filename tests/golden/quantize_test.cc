// Folders of packed weights: what `quantize` writes gives the logits of weights packed while
// loading, to the bit, and what is wrong with a folder is said.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/mapped_file.h"
#include "checkpoint/packed_folder.h"
#include "formats/formats_testing.h"
#include "formats/safetensors_writer.h"
#include "longhaul/checkpoint.h"
#include "longhaul/planner.h"
#include "testing/checkpoint.h"
#include "testing/steps.h"

namespace longhaul::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

LoadOptions options(const std::string& weights) {
  LoadOptions o;
  o.weights = *parse_weights(weights);
  o.context = 512;
  o.all_logits = true;
  return o;
}

std::string read_text_of(const std::string& path) {
  auto text = read_file(path, size_t{16} << 20);
  EXPECT_TRUE(text.ok());
  return text.ok() ? *text : "";
}

class Quantize : public ::testing::TestWithParam<std::string> {};

TEST_P(Quantize, GivesTheLogitsOfPackingWhileLoading) {
  const TemporaryFolder folder;
  std::vector<std::string> packings = {"q4", "released"};
  if (grid() != Grid::kSmall) packings.insert(packings.end(), {"q8", "bf16"});
  for (const std::string& weights : packings) {
    const std::string out = folder.path() + "/" + weights;
    const auto report =
        quantize(golden_folder(GetParam()), out, {.weights = *parse_weights(weights)});
    ASSERT_TRUE(report.ok()) << report.error().text();
    const auto packed = LoadedModel::load(out, options("auto")),
               plain = LoadedModel::load(golden_folder(GetParam()), options(weights));
    ASSERT_TRUE(packed.ok()) << packed.error().text();
    ASSERT_TRUE(plain.ok()) << plain.error().text();
    EXPECT_EQ(packed->weights->resident_bytes(), packed->plan.weight_bytes);
    EXPECT_EQ(packed->weights->resident_bytes(), plain->weights->resident_bytes());
    EXPECT_EQ(packed->weights->mapped_bytes, plain->weights->mapped_bytes);
    for (const GoldenCase& c : golden_cases(GetParam()))
      EXPECT_EQ(run_logits(*packed, c.prompt, 0), run_logits(*plain, c.prompt, 0)) << weights;
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Quantize);
INSTANTIATE_TEST_SUITE_P(Checkpoints, Quantize, ::testing::ValuesIn(checkpoints_in_depth()),
                         test_name);

// A packed folder that each test damages.
class PackedFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto report =
        quantize(golden_folder("gemma/e2b"), path(), {.weights = WeightPrecision::kQ4});
    ASSERT_TRUE(report.ok()) << report.error().text();
  }
  std::string path() const { return folder_.path() + "/packed"; }
  std::string problem(const LoadOptions& o = options("auto")) const {
    const auto model = LoadedModel::load(path(), o);
    return model.ok() ? "loaded" : model.error().text();
  }
  // Writes the tensors again, edited.
  void rewrite(const std::function<void(std::vector<TensorDecl>&,
                                        std::vector<std::vector<std::byte>>&)>& edit) const {
    const std::string file = path() + "/model.safetensors", edited = path() + "/edited";
    std::vector<TensorDecl> decls;
    std::vector<std::vector<std::byte>> data;
    {
      const auto source = open_safetensors(file);
      ASSERT_TRUE(source.ok());
      for (const TensorInfo& t : source->all()) {
        decls.push_back({t.name, t.dtype, t.shape});
        data.emplace_back(t.bytes.begin(), t.bytes.end());
      }
    }
    edit(decls, data);
    auto writer = SafetensorsWriter::create(edited, decls);
    ASSERT_TRUE(writer.ok()) << writer.error().text();
    for (size_t i = 0; i < decls.size(); ++i)
      ASSERT_TRUE(writer->write(decls[i].name, data[i]).ok());
    ASSERT_TRUE(writer->finish().ok());
    fs::rename(edited, file);
  }
  void edit_config(const std::string& from, const std::string& to) const {
    std::string text = read_text_of(path() + "/config.json");
    const size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << text;
    text.replace(at, from.size(), to);
    std::ofstream(path() + "/config.json", std::ios::binary) << text;
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(PackedFolder, LoadsInItsOwnFormatAlone) {
  EXPECT_EQ(problem(options("q4")), "loaded");
  EXPECT_THAT(problem(options("q8")), HasSubstr("packed as q4"));
  EXPECT_THAT(problem(options("bf16")), HasSubstr("packed as q4"));
  LoadOptions cache = options("auto");
  cache.expert_cache = 1 << 20;
  EXPECT_THAT(problem(cache), HasSubstr("has no experts"));
}

TEST_F(PackedFolder, OtherVersionsFormatsAndBlocksAreRefused) {
  edit_config("\"layout_version\": 3", "\"layout_version\": 2");  // an older one
  EXPECT_THAT(problem(), HasSubstr("quantization_config.layout_version is 2, this program reads 3; "
                                   "quantize the original checkpoint again"));
  edit_config("\"layout_version\": 2", "\"layout_version\": 3");
  edit_config("\"group\": 32", "\"group\": \"32\"");
  EXPECT_THAT(problem(), HasSubstr("quantization_config.group"));
  edit_config("\"group\": \"32\"", "\"group\": 32");
  edit_config("\"format\": \"q4\"", "\"format\": \"q3\"");
  EXPECT_THAT(problem(), HasSubstr("quantization_config.format is \"q3\""));
  edit_config("\"format\": \"q3\"", "\"format\": \"q8\"");  // not what the tensors are
  EXPECT_THAT(problem(), HasSubstr("missing tensor"));
  edit_config("\"quant_method\": \"longhaul\"", "\"quant_method\": \"gptq\"");
  EXPECT_THAT(problem(), HasSubstr("quantization_config"));
}

TEST_F(PackedFolder, MissingTensorsAndUnclaimedOnesAreRefused) {
  rewrite([](auto& decls, auto& data) {
    decls.erase(decls.begin());
    data.erase(data.begin());
  });
  EXPECT_THAT(problem(), HasSubstr("missing tensor"));
  rewrite([](auto& decls, auto&) { decls.front().name = "model.something.q4.0-16x128"; });
  EXPECT_THAT(problem(), HasSubstr("unclaimed tensor 'model.something.q4.0-16x128'"));
}

TEST_F(PackedFolder, TensorsOfOtherSizesAreRefused) {
  rewrite([](auto& decls, auto& data) {
    decls.front().shape.back() += 64;
    data.front().resize(static_cast<size_t>(decls.front().shape[0] * decls.front().shape[1] *
                                            decls.front().shape[2]));
  });
  EXPECT_THAT(problem(), HasSubstr("expected U8"));
}

TEST_F(PackedFolder, TensorsOfOtherTypesAreRefused) {
  rewrite([](auto& decls, auto&) { decls.front().dtype = DType::kI8; });
  EXPECT_THAT(problem(), HasSubstr("is I8"));
}

TEST_F(PackedFolder, UnalignedTensorsAreRefused) {
  rewrite([](auto& decls, auto& data) {
    decls.insert(decls.begin(), {"model.vision_tower.odd", DType::kU8, {32}});
    data.insert(data.begin(), std::vector<std::byte>(32));
  });
  EXPECT_THAT(problem(), HasSubstr("does not begin at a multiple of 64 bytes"));
}

TEST_F(PackedFolder, IsNotQuantisedAgainAndNotOverwritten) {
  const auto again = quantize(path(), path() + "-again", {});
  ASSERT_FALSE(again.ok());
  EXPECT_THAT(again.error().text(), HasSubstr("give the original checkpoint"));
  const auto onto = quantize(golden_folder("gemma/e2b"), path(), {});
  ASSERT_FALSE(onto.ok());
  EXPECT_THAT(onto.error().text(), HasSubstr("is there already"));
  EXPECT_EQ(problem(), "loaded");
}

// Weights in the types of their checkpoint: FP8 and FP4 panels hold its codes and scales.
class ReleasedFolder : public PackedFolder {
 protected:
  void SetUp() override {
    const auto report = quantize(golden_folder("deepseek_v4/fp8_fp4"), path(),
                                 {.weights = WeightPrecision::kNative});
    ASSERT_TRUE(report.ok()) << report.error().text();
    text_ = to_text(*report);
  }
  // The first weight of this type.
  static size_t find(const std::vector<TensorDecl>& decls, const std::string& type) {
    const auto it = std::find_if(decls.begin(), decls.end(), [&](const TensorDecl& t) {
      return t.name.find(type) != std::string::npos;
    });
    EXPECT_NE(it, decls.end()) << type;
    return static_cast<size_t>(it - decls.begin());
  }
  std::string text_;
};

TEST_F(ReleasedFolder, HoldsEachWeightInItsOwnType) {
  EXPECT_EQ(problem(), "loaded");
  EXPECT_EQ(problem(options("released")), "loaded");
  EXPECT_THAT(problem(options("q8")), HasSubstr("packed as released"));
  EXPECT_THAT(text_, HasSubstr("F8_E4M3"));
  EXPECT_THAT(text_, HasSubstr(" F4 "));
  EXPECT_THAT(text_, Not(HasSubstr("rounded")));
  const auto source = open_safetensors(path() + "/model.safetensors");
  ASSERT_TRUE(source.ok());
  std::map<std::string, int> n;
  for (const TensorInfo& t : source->all()) {
    for (const char* type : {".f8_e4m3.", ".mxfp4.", ".bf16.", ".f32.", ".q8.", ".q4."})
      n[type] += t.name.find(type) != std::string::npos;
    EXPECT_FALSE(t.name.ends_with(".scale")) << "scales are in the panels";
  }
  for (const char* type : {".f8_e4m3.", ".mxfp4.", ".bf16.", ".f32."})
    EXPECT_GT(n[type], 0) << type;
  for (const char* type : {".q8.", ".q4."}) EXPECT_EQ(n[type], 0) << type;
}

TEST_F(ReleasedFolder, AWeightInATypeThatItCannotHaveIsRefused) {
  rewrite([](auto& decls, auto&) {  // a mixing matrix of hyper-connections is f32 in every format
    std::string& name = decls[find(decls, "hc_attn_fn")].name;
    name.replace(name.find(".f32."), 5, ".f8_e4m3.");
  });
  EXPECT_THAT(problem(), HasSubstr("missing tensor 'layers.0.hc_attn_fn.f32."));
  EXPECT_THAT(problem(), HasSubstr("unclaimed tensor 'layers.0.hc_attn_fn.f8_e4m3."));
}

TEST_F(ReleasedFolder, AWeightThatIsThereTwiceIsRefused) {
  rewrite([](auto& decls, auto& data) {
    const size_t i = find(decls, ".f8_e4m3.");
    decls.push_back(decls[i]);
    data.push_back(data[i]);
    decls.back().name.replace(decls.back().name.find(".f8_e4m3."), 9, ".mxfp4.");
  });
  EXPECT_THAT(problem(), HasSubstr("unclaimed tensor"));
}

TEST_F(ReleasedFolder, AWeightNamedOtherwiseThanItIsIsRefused) {
  rewrite([](auto& decls, auto&) {
    std::string& name = decls[find(decls, ".f8_e4m3.")].name;
    name.replace(name.find(".f8_e4m3."), 9, ".mxfp4.");
  });
  EXPECT_THAT(problem(), HasSubstr("expected U8"));
}

TEST_F(ReleasedFolder, AMissingWeightIsNamed) {
  rewrite([](auto& decls, auto& data) {
    const size_t i = find(decls, ".mxfp4.");
    decls.erase(decls.begin() + static_cast<int64_t>(i));
    data.erase(data.begin() + static_cast<int64_t>(i));
  });
  EXPECT_THAT(problem(), HasSubstr("missing tensor"));
  EXPECT_THAT(problem(), HasSubstr(".mxfp4."));
}

// A weight that is no number is found half way; nothing may be left.
TEST(QuantizeFails, LeavesNothing) {
  const TemporaryFolder folder;
  const std::string model = folder.path() + "/model", out = folder.path() + "/out";
  fs::copy(golden_folder("gemma/e2b"), model, fs::copy_options::recursive);
  uint64_t at = 0;
  {
    const auto source = open_safetensors(model + "/model.safetensors");
    ASSERT_TRUE(source.ok());
    for (const TensorInfo& t : source->all()) {
      if (t.name.ends_with("layers.1.mlp.down_proj.weight"))
        at = static_cast<uint64_t>(t.bytes.data() - t.file->bytes().data());
    }
  }
  ASSERT_GT(at, 0u);
  std::fstream file(model + "/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(at));
  file.write("\xff\xff\xff\xff", 4);
  file.close();
  const auto report = quantize(model, out, {.weights = WeightPrecision::kQ4});
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(report.error().text(), HasSubstr("down_proj"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

// Tables of E2B in sizes of whole blocks: the folder is smaller, loads what plan says, and gives
// nearly the logits of tables as they were.
TEST(QuantizeTables, RoundRowsAndSayWhatItDid) {
  const TemporaryFolder folder;
  const std::string model = folder.path() + "/model";
  ASSERT_TRUE(
      synthesize(golden_folder("gemma/e2b") + "/config.json", model,
                 {.config = {.overrides = {"hidden_size=64", "hidden_size_per_layer_input=32"}}})
          .ok());
  const auto exact = LoadedModel::load(model, options("bf16"));
  ASSERT_TRUE(exact.ok()) << exact.error().text();
  const std::vector<int32_t> prompt = {3, 1, 4, 1, 5, 9, 2, 6};
  const std::vector<float> expected = run_logits(*exact, prompt, 0);
  uint64_t before = exact->weights->mapped_bytes;
  // Random layers amplify rounding; rows read wrongly give 1 to 2.
  for (const auto& [word, bound] : {std::pair{"q8", 5e-3}, {"q4", 0.5}}) {
    const std::string out = folder.path() + "/" + word;
    const auto report =
        quantize(model, out, {.weights = WeightPrecision::kBF16, .tables = *parse_tables(word)});
    ASSERT_TRUE(report.ok()) << report.error().text();
    const char* type = word == std::string("q8") ? "Q8_0" : "IQ4_NL";
    const auto table =
        std::find_if(report->kinds.begin(), report->kinds.end(),
                     [&](const QuantizeReport::Row& row) { return row.format == type; });
    ASSERT_NE(table, report->kinds.end());
    EXPECT_GT(table->relative_rms_error, 0.003);
    const auto packed = LoadedModel::load(out, options("auto"));
    ASSERT_TRUE(packed.ok()) << packed.error().text();
    EXPECT_EQ(packed->weights->resident_bytes(), packed->plan.weight_bytes);
    EXPECT_LT(packed->weights->mapped_bytes, before);
    before = packed->weights->mapped_bytes;
    const std::vector<float> actual = run_logits(*packed, prompt, 0);
    double error = 0, squares = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      error += std::pow(double{actual[i]} - double{expected[i]}, 2);
      squares += std::pow(double{expected[i]}, 2);
    }
    EXPECT_LT(error / squares, bound) << word;
    EXPECT_GT(error, 0.0) << word;
  }
}

}  // namespace
}  // namespace longhaul::testing
