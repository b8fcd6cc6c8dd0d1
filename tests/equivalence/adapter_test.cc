// A model with an adapter merged while it is loaded gives the logits of the checkpoint into which
// the adapter was merged before, to the bit, on plain and on quantised weights; and is refused
// where something else than W + s B A is asked for.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "api/loaded_model.h"
#include "formats/formats_testing.h"
#include "formats/gguf_testing.h"
#include "longhaul/checkpoint.h"
#include "longhaul/planner.h"
#include "testing/checkpoint.h"
#include "testing/planned_logits.h"
#include "testing/quantised_checkpoint.h"

namespace longhaul::testing {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

std::vector<float> random_floats(size_t n, std::mt19937& random) {
  std::vector<float> floats(n);
  for (float& x : floats) x = 0.001f * static_cast<float>(static_cast<int>(random() % 201) - 100);
  return floats;
}

HfTensor tensor_of(const std::vector<float>& floats, std::vector<int64_t> shape) {
  HfTensor t{DType::kF32, std::move(shape), {}};
  for (const float x : floats) t.bytes += raw(x);
  return t;
}

class Adapter : public ::testing::Test {
 protected:
  static constexpr int64_t kRank = 3;

  // An adapter for the projections of q and o of all layers, and the checkpoint that it makes.
  void make(const HfCheckpoint& base, double scale) {
    std::mt19937 random(5);
    merged_ = base;
    for (const auto& [name, t] : base.tensors) {
      const bool is_target = name.ends_with("q_proj.weight") || name.ends_with("o_proj.weight");
      if (!is_target) continue;
      const int64_t rows = t.shape[0], cols = t.shape[1];
      const auto a = random_floats(static_cast<size_t>(kRank * cols), random);
      const auto b = random_floats(static_cast<size_t>(rows * kRank), random);
      const std::string module = "base_model.model." + name.substr(0, name.size() - 7);
      adapter_.tensors[module + ".lora_A.weight"] = tensor_of(a, {kRank, cols});
      adapter_.tensors[module + ".lora_B.weight"] = tensor_of(b, {rows, kRank});
      std::vector<float> w(static_cast<size_t>(rows * cols));
      std::memcpy(w.data(), t.bytes.data(), t.bytes.size());
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < cols; ++c) {
          double sum = 0;
          for (int64_t k = 0; k < kRank; ++k)
            sum += double{b[static_cast<size_t>(r * kRank + k)]} *
                   double{a[static_cast<size_t>(k * cols + c)]};
          float& at = w[static_cast<size_t>(r * cols + c)];
          at = static_cast<float>(double{at} + scale * sum);
        }
      }
      merged_.tensors[name] = tensor_of(w, t.shape);
    }
  }
  void set(const char* field, Json value) { config_.set(field, std::move(value)); }
  std::string write() const {
    const std::string folder = at("adapter");
    std::filesystem::create_directories(folder);
    adapter_.write(folder);
    std::filesystem::rename(folder + "/model.safetensors", folder + "/adapter_model.safetensors");
    std::filesystem::remove(folder + "/config.json");
    std::ofstream(folder + "/adapter_config.json") << config_.dump();
    return folder;
  }
  LoadOptions with_adapter(const std::string& weights) const {
    LoadOptions load = f32_state(weights);
    load.config.lora = write();
    return load;
  }
  std::vector<float> logits(const std::string& model, const LoadOptions& load) const {
    const auto loaded = LoadedModel::load(model, load);
    EXPECT_TRUE(loaded.ok()) << (loaded.ok() ? "" : loaded.error().text());
    return loaded.ok() ? run_logits(*loaded, prompt_, 0) : std::vector<float>();
  }
  std::string problem(const std::string& model) const {
    const auto loaded = LoadedModel::load(model, with_adapter("f32"));
    if (loaded.ok()) return "loaded";
    EXPECT_FALSE(loaded.error().remedy.empty()) << loaded.error().text();
    return loaded.error().text();
  }
  std::string at(const std::string& name) const { return folder_.path() + "/" + name; }

  TemporaryFolder folder_;
  Notices notices_;
  HfCheckpoint adapter_, merged_;
  Json config_ = Json::object({{"peft_type", "LORA"},
                               {"r", kRank},
                               {"lora_alpha", 6},
                               {"target_modules", Json(Json::Array{"q_proj", "o_proj"})},
                               {"bias", "none"},
                               {"use_dora", false},
                               {"fan_in_fan_out", false},
                               {"modules_to_save", nullptr},
                               {"lora_dropout", 0.1},
                               {"init_lora_weights", true},
                               {"task_type", "CAUSAL_LM"}});
  std::vector<int32_t> prompt_ = golden_cases("laguna/xs").front().prompt;
};

TEST_F(Adapter, GivesTheLogitsOfTheMergedCheckpoint) {
  const HfCheckpoint base = read_golden("laguna/xs");
  make(base, 2.0);
  base.write(at("base"));
  merged_.write(at("merged"));
  for (const char* weights : {"f32", "bf16", "q8"}) {
    const std::vector<float> expected = planned_logits(at("merged"), prompt_, f32_state(weights));
    ASSERT_FALSE(expected.empty());
    EXPECT_EQ(logits(at("base"), with_adapter(weights)), expected) << weights;
  }
  EXPECT_NE(logits(at("base"), f32_state("f32")), planned_logits(at("merged"), prompt_));
  EXPECT_THAT(notices_.lines, Contains(HasSubstr("merged into 8 weights; loading reads ")));
}

TEST_F(Adapter, IsMergedIntoWeightsInCodes) {
  const QuantisedCheckpoint base = quantise_checkpoint(read_golden("laguna/xs"), Container::kMlx);
  make(base.plain, 2.0);
  base.coded.write(at("coded"));
  merged_.write(at("merged"));
  EXPECT_EQ(logits(at("coded"), with_adapter("f32")), planned_logits(at("merged"), prompt_));
}

TEST_F(Adapter, IsPackedByQuantizeAndPriced) {
  const HfCheckpoint base = read_golden("laguna/xs");
  make(base, 2.0);
  base.write(at("base"));
  const LoadOptions load = with_adapter("q8");
  const auto report =
      quantize(at("base"), at("packed"), {.weights = WeightPrecision::kQ8, .config = load.config});
  ASSERT_TRUE(report.ok()) << report.error().text();
  const std::vector<float> expected = logits(at("base"), load);
  EXPECT_EQ(planned_logits(at("packed"), prompt_, f32_state("auto")), expected);
  EXPECT_THAT(problem(at("packed")), HasSubstr("quantize the original checkpoint with --lora"));
  const auto without = plan(at("base"), {.context = 384}),
             with = plan(at("base"), {.context = 384, .config = load.config});
  ASSERT_TRUE(without.ok() && with.ok());
  EXPECT_EQ(with->weight_bytes, without->weight_bytes);
}

TEST_F(Adapter, ScalesByRankAndPattern) {
  const HfCheckpoint base = read_golden("laguna/xs");
  base.write(at("base"));
  set("use_rslora", true);
  make(base, 6.0 / std::sqrt(3.0));
  merged_.write(at("merged"));
  EXPECT_EQ(logits(at("base"), with_adapter("f32")), planned_logits(at("merged"), prompt_));
  // The numbers of the pattern count where a name ends so.
  set("use_rslora", false);
  set("lora_alpha", 600);
  set("r", 64);
  set("rank_pattern", Json::object({{"q_proj", 3}, {".*self_attn.o_proj", 3}, {"proj", 7}}));
  set("alpha_pattern", Json::object({{"self_attn\\.[qo]_proj", 6}}));
  make(base, 2.0);
  merged_.write(at("merged2"));
  EXPECT_EQ(logits(at("base"), with_adapter("f32")), planned_logits(at("merged2"), prompt_));
}

TEST_F(Adapter, IsRefusedWhereItAsksForMore) {
  const HfCheckpoint base = read_golden("laguna/xs");
  make(base, 2.0);
  base.write(at("base"));
  const Json plain = config_;
  const auto refused = [&](const char* field, Json value) {
    config_ = plain;
    set(field, std::move(value));
    return problem(at("base"));
  };
  EXPECT_THAT(refused("use_dora", true), HasSubstr("use_dora: is not merged here"));
  EXPECT_THAT(refused("fan_in_fan_out", true), HasSubstr("fan_in_fan_out: is not merged here"));
  EXPECT_THAT(refused("modules_to_save", Json(Json::Array{"lm_head"})),
              HasSubstr("modules_to_save: is not merged here"));
  EXPECT_THAT(refused("bias", "all"), HasSubstr("bias: is 'all', supported: 'none'"));
  EXPECT_THAT(refused("init_lora_weights", "pissa"), HasSubstr("init_lora_weights: is 'pissa'"));
  EXPECT_THAT(refused("peft_type", "LOHA"), HasSubstr("peft_type: is 'LOHA'"));
  EXPECT_THAT(refused("new_trick", 1), HasSubstr("new_trick"));
  EXPECT_THAT(refused("r", 4), HasSubstr("expected a product of rank 4"));
  EXPECT_THAT(refused("r", 0), HasSubstr("r: is 0"));
}

TEST_F(Adapter, ChecksItsTensors) {
  const HfCheckpoint base = read_golden("laguna/xs");
  make(base, 2.0);
  base.write(at("base"));
  const auto whole = adapter_.tensors;
  const std::string module = "base_model.model.model.layers.0.self_attn.q_proj";
  adapter_.tensors.erase(module + ".lora_B.weight");
  EXPECT_THAT(problem(at("base")), HasSubstr("has one of lora_A and lora_B alone"));
  adapter_.tensors = whole;
  adapter_.tensors[module + ".lora_magnitude_vector"] = tensor_of({1.0f}, {1});
  EXPECT_THAT(problem(at("base")), HasSubstr("is none of a matrix's lora_A.weight"));
  adapter_.tensors = whole;
  for (const char* part : {".lora_A.weight", ".lora_B.weight"}) {
    auto node = adapter_.tensors.extract(module + part);
    node.key() = std::string("base_model.model.model.layers.9.self_attn.q_proj") + part;
    adapter_.tensors.insert(std::move(node));
  }
  EXPECT_THAT(problem(at("base")),
              HasSubstr("the model has no weight of 'model.layers.9.self_attn.q_proj'"));
  std::filesystem::remove_all(at("adapter"));
  LoadOptions load = f32_state("f32");
  load.config.lora = at("adapter");
  const auto loaded = LoadedModel::load(at("base"), load);
  ASSERT_FALSE(loaded.ok());
  EXPECT_THAT(loaded.error().text(), HasSubstr("adapter/adapter_config.json"));
}

}  // namespace
}  // namespace longhaul::testing
