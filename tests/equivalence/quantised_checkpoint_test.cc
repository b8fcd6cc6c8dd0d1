// A checkpoint in any container of quantised safetensors gives the logits that the plain checkpoint
// of the same values gives, to the bit: in f32, packed, from a folder of packed weights, and with
// experts left in the files. What is damaged or not read is one error that says what to do.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "api/loaded_model.h"
#include "formats/formats_testing.h"
#include "formats/gguf_testing.h"
#include "longhaul/checkpoint.h"
#include "longhaul/doctor.h"
#include "testing/checkpoint.h"
#include "testing/planned_logits.h"
#include "testing/quantised_checkpoint.h"

namespace longhaul::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

constexpr Container kAll[] = {
    Container::kCtInt4,     Container::kCtInt4Zeros,   Container::kCtInt3,
    Container::kCtActOrder, Container::kCtInt8Output,  Container::kCtMixed,
    Container::kCtBytes,    Container::kCtFp8Tensor,   Container::kCtFp8Output,
    Container::kCtFp8Block, Container::kCtNvfp4,       Container::kCtMxfp4,
    Container::kGptq,       Container::kGptqV2,        Container::kGptqActOrder,
    Container::kAwq,        Container::kAutoRound,     Container::kMlx,
    Container::kMlx6,       Container::kMlxMxfp4,      Container::kMlxMxfp8,
    Container::kMlxNvfp4,   Container::kModelOptNvfp4, Container::kModelOptFp8,
    Container::kGemma};

class QuantisedCheckpointLogits : public ::testing::TestWithParam<std::string> {
 protected:
  std::vector<int32_t> prompt() const { return golden_cases(GetParam()).front().prompt; }
  std::string at(const std::string& name) const { return folder_.path() + "/" + name; }

  TemporaryFolder folder_;
  Notices notices_;
};

TEST_P(QuantisedCheckpointLogits, AreThoseOfTheSameValues) {
  const HfCheckpoint golden = read_golden(GetParam());
  int n_containers = 0;
  for (const Container container : kAll) {
    SCOPED_TRACE(name_of(container));
    const QuantisedCheckpoint made = quantise_checkpoint(golden, container);
    if (made.n_modules == 0) continue;
    ++n_containers;
    const std::string coded = at(name_of(container)), plain = coded + "_plain";
    made.coded.write(coded);
    made.plain.write(plain);
    const std::vector<float> expected = planned_logits(plain, prompt());
    ASSERT_FALSE(expected.empty());
    EXPECT_EQ(planned_logits(coded, prompt()), expected);
  }
  // Those of 16 and of 32 inputs a scale ask for matrices as wide.
  EXPECT_GE(n_containers, 20);
}

TEST_P(QuantisedCheckpointLogits, ArePackedAndReadFromAFolderOfPackedWeights) {
  const HfCheckpoint golden = read_golden(GetParam());
  for (const Container container : {Container::kCtMixed, Container::kGptq, Container::kMlx}) {
    SCOPED_TRACE(name_of(container));
    const QuantisedCheckpoint made = quantise_checkpoint(golden, container);
    const std::string coded = at(name_of(container)), plain = coded + "_plain";
    made.coded.write(coded);
    made.plain.write(plain);
    for (const auto& [option, precision] :
         {std::pair{"bf16", WeightPrecision::kBF16}, {"q8", WeightPrecision::kQ8}}) {
      const std::vector<float> expected = planned_logits(plain, prompt(), f32_state(option));
      EXPECT_EQ(planned_logits(coded, prompt(), f32_state(option)), expected) << option;
      const std::string packed = coded + "_" + option;
      const auto report = quantize(coded, packed, {.weights = precision});
      ASSERT_TRUE(report.ok()) << report.error().text();
      EXPECT_EQ(planned_logits(packed, prompt(), f32_state("auto")), expected) << option;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, QuantisedCheckpointLogits,
                         ::testing::Values("gemma/gemma3", "gemma/e2b", "gemma/26b", "laguna/xs",
                                           "zaya/full_legacy", "zaya/full", "deepseek_v4/flash"),
                         test_name);

TEST(QuantisedExperts, AreReadAsTokensChooseThem) {
  for (const char* name : {"gemma/26b", "laguna/xs"}) {
    const std::vector<int32_t> prompt = golden_cases(name).front().prompt;
    for (const Container container : {Container::kCtInt4, Container::kCtFp8Block}) {
      SCOPED_TRACE(std::string(name) + " " + name_of(container));
      const TemporaryFolder folder;
      const Notices silent;
      quantise_checkpoint(read_golden(name), container).coded.write(folder.path());
      LoadOptions cached = f32_state("bf16");
      cached.expert_cache = uint64_t{64} << 10;
      const std::vector<float> all = planned_logits(folder.path(), prompt, f32_state("bf16"));
      ASSERT_FALSE(all.empty());
      EXPECT_EQ(planned_logits(folder.path(), prompt, cached), all);
    }
  }
}

// --- what is told --------------------------------------------------------------------------------

class QuantisedFolder : public ::testing::Test {
 protected:
  static constexpr const char* kProj = "model.layers.0.self_attn.q_proj";

  QuantisedFolder() { become(Container::kCtInt4); }
  void become(Container container) {
    checkpoint_ = quantise_checkpoint(read_golden("laguna/xs"), container).coded;
  }
  HfTensor& tensor(const std::string& part) { return checkpoint_.tensors.at(kProj + part); }
  void drop(const std::string& part) { checkpoint_.tensors.erase(kProj + part); }
  // A field of the description, by a path through objects.
  void set(std::vector<std::string> path, Json value) {
    Json* at = &checkpoint_.config;
    for (size_t i = 0; i < path.size(); ++i) {
      const bool is_last = i + 1 == path.size();
      if (is_last) at->set(path[i], std::move(value));
      for (Json::Member& member : *at->as_object()) {
        if (member.first == path[i]) at = &member.second;
      }
    }
  }
  void set_weights(const char* field, Json value) {
    set({"quantization_config", "config_groups", "group_0", "weights", field}, std::move(value));
  }
  std::string problem(const std::string& weights = "f32") {
    const TemporaryFolder folder;
    checkpoint_.write(folder.path());
    const auto loaded = LoadedModel::load(folder.path(), f32_state(weights));
    if (loaded.ok()) return "loaded";
    EXPECT_FALSE(loaded.error().remedy.empty()) << loaded.error().text();
    return loaded.error().text();
  }

  HfCheckpoint checkpoint_;
  Notices notices_;
};

TEST_F(QuantisedFolder, SaysWhatIsRoundedToWhat) {
  EXPECT_EQ(problem("auto"), "loaded");
  EXPECT_THAT(notices_.lines,
              Contains(HasSubstr("its weights are 4-bit integers of compressed-tensors; they are "
                                 "unpacked and rounded to BF16, and --weights f32 alone keeps "
                                 "their values")));
  notices_.lines.clear();
  EXPECT_EQ(problem("f32"), "loaded");
  EXPECT_TRUE(notices_.lines.empty());
}

TEST_F(QuantisedFolder, IsCountedByWhatItsCodesStandFor) {
  const TemporaryFolder folder;
  checkpoint_.write(folder.path());
  const auto d = diagnose(folder.path(), {.measure = false});
  ASSERT_TRUE(d.ok()) << d.error().text();
  EXPECT_EQ(d->verdict, Verdict::kRuns);
  const auto row = std::find_if(d->tensors.begin(), d->tensors.end(), [](const TensorRow& t) {
    return t.name == std::string(kProj) + ".weight";
  });
  ASSERT_NE(row, d->tensors.end());
  EXPECT_EQ(row->format, "4-bit integers");
  EXPECT_EQ(row->elements, 32u * 24u);  // 4 heads of 8, 24 inputs
  uint64_t stored = 0, told = 0;
  for (const auto& [name, tensor] : checkpoint_.tensors) stored += tensor.bytes.size();
  for (const TensorRow& t : d->tensors) told += t.bytes;
  EXPECT_EQ(told, stored);
}

TEST_F(QuantisedFolder, LeavesScalesOfInputsAndOfTheCacheOut) {
  become(Container::kCtFp8Output);
  checkpoint_.tensors[std::string(kProj) + ".input_scale"] = {DType::kF32, {1}, raw(1.0f)};
  checkpoint_.tensors["model.layers.0.self_attn.k_scale"] = {DType::kF32, {1}, raw(1.0f)};
  EXPECT_EQ(problem(), "loaded");
  EXPECT_THAT(notices_.lines, Contains(HasSubstr("rounds inputs of matrices as well")));
  EXPECT_THAT(notices_.lines, Contains(HasSubstr("2 tensors are left out: scales of inputs")));
}

TEST_F(QuantisedFolder, ReadsModelOptsFileBesideTheConfig) {
  become(Container::kModelOptNvfp4);
  set({"quantization_config"}, nullptr);
  const TemporaryFolder folder;
  checkpoint_.write(folder.path());
  Json file =
      Json::object({{"quantization", Json::object({{"quant_algo", "NVFP4"}, {"group_size", 16}})},
                    {"producer", Json::object({{"name", "modelopt"}})}});
  std::ofstream(folder.path() + "/hf_quant_config.json") << file.dump();
  EXPECT_TRUE(LoadedModel::load(folder.path(), f32_state("f32")).ok());
  EXPECT_TRUE(std::filesystem::remove(folder.path() + "/hf_quant_config.json"));
  EXPECT_FALSE(LoadedModel::load(folder.path(), f32_state("f32")).ok());
}

TEST_F(QuantisedFolder, TakesANoteWithoutMethodForPlainWeights) {
  const HfCheckpoint plain = read_golden("laguna/xs");
  checkpoint_.tensors = plain.tensors;
  set({"quantization_config"}, Json::object({{"weights", "q4_0"}}));
  EXPECT_EQ(problem(), "loaded");
  EXPECT_THAT(notices_.lines, Contains(HasSubstr("names no quant_method")));
  checkpoint_.tensors[std::string(kProj) + ".weight_scale"] = {DType::kF32, {1}, raw(1.0f)};
  EXPECT_THAT(problem(), HasSubstr("unclaimed tensor 'model.layers.0.self_attn.q_proj.weight_sca"));
}

// --- what is refused -----------------------------------------------------------------------------

TEST_F(QuantisedFolder, RefusesMethodsAndLayoutsByName) {
  for (const char* method : {"bitsandbytes", "torchao", "quark", "exl3", "hqq", "fp8"}) {
    set({"quantization_config", "quant_method"}, method);
    EXPECT_THAT(problem(), HasSubstr(method));
  }
  set({"quantization_config", "quant_method"}, "compressed-tensors");
  for (const char* format : {"marlin-24", "sparse-24-bitmask", "mxfp6-pack-quantized"}) {
    set({"quantization_config", "format"}, format);
    EXPECT_THAT(problem(), HasSubstr(std::string("quantization_config.format: is '") + format));
  }
  become(Container::kGptq);
  set({"quantization_config", "checkpoint_format"}, "marlin");
  EXPECT_THAT(problem(), HasSubstr("checkpoint_format: is 'marlin'"));
  become(Container::kAwq);
  set({"quantization_config", "version"}, "gemv");
  EXPECT_THAT(problem(), HasSubstr("version: is 'gemv', supported: 'gemm'"));
  become(Container::kModelOptNvfp4);
  set({"quantization_config", "quant_algo"}, "W4A16_AWQ");
  EXPECT_THAT(problem(), HasSubstr("quant_algo: is 'W4A16_AWQ'"));
  become(Container::kAutoRound);
  set({"quantization_config", "packing_format"}, "auto_round:fp8");
  EXPECT_THAT(problem(), HasSubstr("packing_format: is 'auto_round:fp8'"));
}

TEST_F(QuantisedFolder, RefusesFieldsThatAreNotKnown) {
  set({"quantization_config", "new_trick"}, true);
  EXPECT_THAT(problem(), HasSubstr("--set quantization_config.new_trick=null"));
  become(Container::kCtInt4);
  set_weights("codebook", "e8");
  EXPECT_THAT(problem(), HasSubstr("quantization_config.config_groups.group_0.weights.codebook"));
  become(Container::kCtInt4);
  set({"quantization_config", "transform_config"},
      Json::object({{"config_groups", Json::object({{"u", 1}})}}));
  EXPECT_THAT(problem(), HasSubstr("transform_config: is not read"));
  become(Container::kMlx);
  set({"quantization", "mode"}, "trellis");
  EXPECT_THAT(problem(), HasSubstr("mode: is 'trellis', supported: 'affine'"));
}

TEST_F(QuantisedFolder, RefusesExpressionsThatAreNone) {
  set({"quantization_config", "ignore"}, Json(Json::Array{"re:(unclosed"}));
  EXPECT_THAT(problem(), HasSubstr("does not compile"));
}

TEST_F(QuantisedFolder, NamesThePartThatIsMissing) {
  drop(".weight_scale");
  EXPECT_THAT(problem(), HasSubstr("no tensor 'model.layers.0.self_attn.q_proj.weight_scale' "
                                   "beside 'model.layers.0.self_attn.q_proj.weight_packed'"));
  become(Container::kCtInt4Zeros);
  drop(".weight_zero_point");
  EXPECT_THAT(problem(), HasSubstr("no tensor 'model.layers.0.self_attn.q_proj.weight_zero_point"));
  become(Container::kCtNvfp4);
  const std::string o_proj = "model.layers.0.self_attn.o_proj.weight_global_scale";
  ASSERT_EQ(checkpoint_.tensors.erase(o_proj), 1u);
  EXPECT_THAT(problem(), HasSubstr("no tensor '" + o_proj));
  become(Container::kGptq);
  drop(".qzeros");
  EXPECT_THAT(problem(), HasSubstr("no tensor 'model.layers.0.self_attn.q_proj.qzeros'"));
  become(Container::kMlx);
  drop(".biases");
  EXPECT_THAT(problem(), HasSubstr("no tensor 'model.layers.0.self_attn.q_proj.biases'"));
  become(Container::kCtInt4);
  drop(".weight_packed");
  EXPECT_THAT(problem(), HasSubstr("missing tensor 'model.layers.0.self_attn.q_proj.weight'"));
  become(Container::kCtFp8Output);
  drop(".weight_scale");
  EXPECT_THAT(problem(), HasSubstr("is F8_E4M3 and has no scales"));
}

TEST_F(QuantisedFolder, ChecksTheShapeOfEveryPart) {
  tensor(".weight_scale").shape = {3, 32};
  EXPECT_THAT(problem(), HasSubstr("q_proj.weight_scale' is BF16 [3, 32], expected F32 or F16 or "
                                   "BF16 [32, 3]"));
  become(Container::kCtInt4);
  tensor(".weight_packed") = {DType::kI32, {3, 32}, tensor(".weight_packed").bytes};
  EXPECT_NE(problem(), "loaded");
  become(Container::kCtInt4);
  tensor(".weight_packed").dtype = DType::kF32;
  EXPECT_THAT(problem(), HasSubstr("q_proj.weight_packed' is F32 [32, 3], expected I32 [32, 3]"));
  become(Container::kGptq);
  tensor(".scales").dtype = DType::kI16;
  EXPECT_THAT(problem(), HasSubstr("q_proj.scales' is I16"));
  become(Container::kMlx);
  tensor(".weight") = {DType::kU32, {96}, tensor(".weight").bytes};
  EXPECT_THAT(problem(), HasSubstr("is no matrix of codes"));
}

TEST_F(QuantisedFolder, RefusesGroupsThatDoNotDivide) {
  set_weights("group_size", 7);
  EXPECT_THAT(problem(), HasSubstr("has 24 inputs, which are no multiple of the group of 7"));
  become(Container::kCtInt4);
  set_weights("group_size", 0);
  EXPECT_THAT(problem(), HasSubstr("group_size: missing, expected the inputs that share a scale"));
  become(Container::kMlx);
  set({"quantization", "group_size"}, int64_t{1} << 40);
  EXPECT_THAT(problem(), HasSubstr("quantization.group_size"));
}

TEST_F(QuantisedFolder, RefusesIndicesAndShapesOutOfRange) {
  become(Container::kCtActOrder);
  for (const int32_t group : {3, -2, 1 << 30}) {
    std::memcpy(tensor(".weight_g_idx").bytes.data() + 4 * 5, &group, sizeof group);
    EXPECT_THAT(problem(),
                HasSubstr("sends input 5 to group " + std::to_string(group) + ", expected 0 to 2"));
  }
  become(Container::kCtInt4);
  for (const int64_t n : {int64_t{0}, int64_t{25}, int64_t{-24}, INT64_MAX, int64_t{1} << 61}) {
    std::memcpy(tensor(".weight_shape").bytes.data() + 8, &n, sizeof n);
    EXPECT_THAT(problem(), HasSubstr("states [32, " + std::to_string(n) + "]"));
  }
}

TEST_F(QuantisedFolder, RefusesBitsThatTheShapesContradict) {
  set_weights("num_bits", 8);
  EXPECT_NE(problem(), "loaded");
  become(Container::kGptq);
  set({"quantization_config", "bits"}, 8);
  EXPECT_NE(problem(), "loaded");
  become(Container::kMlx);
  set({"quantization", "bits"}, 2);
  EXPECT_NE(problem(), "loaded");
  become(Container::kGptq);
  set({"quantization_config", "bits"}, 3);
  EXPECT_THAT(problem(), HasSubstr("bits: 2, 4 and 8 are read"));
}

TEST_F(QuantisedFolder, RefusesCodesInAModuleThatIsLeftOut) {
  set({"quantization_config", "ignore"}, Json(Json::Array{"re:.*q_proj"}));
  EXPECT_THAT(problem(), HasSubstr("holds codes, and the config leaves it unquantised"));
}

TEST_F(QuantisedFolder, RefusesZerosThatReadersOfGptqTakeForTwoThings) {
  become(Container::kGptq);
  tensor(".qzeros").bytes.replace(0, 4, raw(uint32_t{0xffffffff}));
  EXPECT_THAT(problem(), HasSubstr("get the checkpoint in gptq_v2"));
  set({"quantization_config", "checkpoint_format"}, "gptq_v2");
  EXPECT_EQ(problem(), "loaded");
}

TEST_F(QuantisedFolder, RefusesWhatIsDecodedToNoNumber) {
  tensor(".weight_scale").bytes.replace(0, 2, raw(uint16_t{0x7f80}));
  EXPECT_THAT(problem(), HasSubstr("q_proj.weight': row 0, column 0 is decoded to"));
  become(Container::kCtFp8Output);
  tensor(".weight").bytes[25] = 0x7f;
  EXPECT_THAT(problem(), HasSubstr("row 1, column 1 is decoded to nan"));
}

TEST_F(QuantisedFolder, FindsTheOneGroupThatFitsWhereNoneIsNamed) {
  become(Container::kCtMixed);
  for (const char* group : {"group_0", "group_1"})
    set({"quantization_config", "config_groups", group, "targets"},
        Json(Json::Array{"SomeOtherClass"}));
  // 24 inputs in 3 words are of 4 bits, in 6 of 8: and weight_shape says which.
  EXPECT_EQ(problem(), "loaded");
  drop(".weight_scale");
  EXPECT_THAT(problem(), HasSubstr("is named by no group of the config, and none of them fits it"));
}

}  // namespace
}  // namespace longhaul::testing
