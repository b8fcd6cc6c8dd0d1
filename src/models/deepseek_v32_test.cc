#include <gmock/gmock.h>

#include <algorithm>

#include "models/registry.h"

namespace longhaul {
namespace {

using testing::HasSubstr;

Result<Architecture> read(const std::string& extra) {
  const auto config = parse_json(
      R"({"model_type": "deepseek_v32", "vocab_size": 100, "hidden_size": 64,
          "intermediate_size": 96,
      "moe_intermediate_size": 32, "num_hidden_layers": 5, "num_attention_heads": 4,
      "n_routed_experts": 16, "num_experts_per_tok": 2,
      "kv_lora_rank": 32, "q_lora_rank": 48, "qk_rope_head_dim": 8, "v_head_dim": 16,
      "qk_nope_head_dim": 24, "index_n_heads": 2,
      "index_head_dim": 16, "first_k_dense_replace": 2)" +
          extra + "}",
      "config");
  EXPECT_TRUE(config.ok());
  return read_architecture(*config, "config");
}

std::string problem(const std::string& extra) {
  const auto arch = read(extra);
  return arch.ok() ? "read" : arch.error().text();
}

std::vector<int64_t> shape(const Architecture& arch, const std::string& name) {
  const auto found = std::find_if(arch.tensors.begin(), arch.tensors.end(),
                                  [&](const TensorSpec& t) { return t.name == name; });
  return found == arch.tensors.end() ? std::vector<int64_t>{} : found->shape;
}

using Shape = std::vector<int64_t>;

// Names and shapes as the reference implementation's module has them for this config.
TEST(DeepSeekV32, TensorsAreThoseOfTheReference) {
  const auto arch = read(R"(, "index_topk": 8)");
  ASSERT_TRUE(arch.ok()) << arch.error().text();
  const std::string attention = "layers.3.self_attn.";
  EXPECT_EQ(shape(*arch, attention + "q_a_proj.weight"), (Shape{48, 64}));
  EXPECT_EQ(shape(*arch, attention + "q_a_layernorm.weight"), (Shape{48}));
  EXPECT_EQ(shape(*arch, attention + "q_b_proj.weight"), (Shape{128, 48}));
  EXPECT_EQ(shape(*arch, attention + "kv_a_proj_with_mqa.weight"), (Shape{40, 64}));
  EXPECT_EQ(shape(*arch, attention + "kv_a_layernorm.weight"), (Shape{32}));
  EXPECT_EQ(shape(*arch, attention + "kv_b_proj.weight"), (Shape{160, 32}));
  EXPECT_EQ(shape(*arch, attention + "o_proj.weight"), (Shape{64, 64}));
  EXPECT_EQ(shape(*arch, attention + "indexer.wq_b.weight"), (Shape{32, 48}));
  EXPECT_EQ(shape(*arch, attention + "indexer.wk.weight"), (Shape{16, 64}));
  EXPECT_EQ(shape(*arch, attention + "indexer.k_norm.weight"), (Shape{16}));
  EXPECT_EQ(shape(*arch, attention + "indexer.k_norm.bias"), (Shape{16}));
  EXPECT_EQ(shape(*arch, attention + "indexer.weights_proj.weight"), (Shape{2, 64}));
  EXPECT_EQ(shape(*arch, "layers.1.mlp.gate_proj.weight"), (Shape{96, 64}));
  EXPECT_EQ(shape(*arch, "layers.2.mlp.gate.weight"), (Shape{16, 64}));
  EXPECT_EQ(shape(*arch, "layers.2.mlp.experts.15.down_proj.weight"), (Shape{64, 32}));
  EXPECT_EQ(shape(*arch, "layers.2.mlp.shared_experts.up_proj.weight"), (Shape{32, 64}));
  int64_t elements = 0;
  for (const TensorSpec& t : arch->tensors) elements += t.n_elements();
  // the reference's parameters, and the biases of three routers, which it keeps as buffers
  EXPECT_EQ(elements, 485744 + 3 * 16);
}

TEST(DeepSeekV32, KeepsALatentAndAnIndexKeyOfEveryToken) {
  const auto arch = read(R"(, "index_topk": 8)");
  ASSERT_TRUE(arch.ok());
  ASSERT_EQ(arch->states.size(), 10u);
  EXPECT_EQ(arch->states[0].head_dim, 40);
  EXPECT_EQ(arch->states[0].rows, RowKind::kShared);
  EXPECT_EQ(arch->states[1].head_dim, 16);
  EXPECT_EQ(arch->states[1].rows, RowKind::kKeys);
  for (const StateSpec& s : arch->states) EXPECT_TRUE(s.is_paged() && s.ratio == 1);
  const auto& s = *arch->blocks[0].mixer.as<LatentAttentionSpec>();
  EXPECT_EQ(s.attention.head_dim, 40);
  EXPECT_EQ(s.indexer.top_k, 8);
}

TEST(DeepSeekV32, FieldsOfThePublishedConfigAreKnown) {
  EXPECT_EQ(
      problem(
          R"(, "architectures": ["DeepseekV32ForCausalLM"], "aux_loss_alpha": 0.001, "ep_size": 1,
              "moe_layer_freq": 1, "n_group": 8,
      "topk_group": 4, "n_shared_experts": 1, "norm_topk_prob": true, "num_key_value_heads": 128,
      "num_nextn_predict_layers": 1,
      "quantization_config": {"fmt": "e4m3"}, "rope_scaling": {"type": "yarn", "factor": 40},
      "rope_theta": 10000, "scoring_func": "sigmoid",
      "seq_aux": true, "topk_method": "noaux_tc", "pretraining_tp": 1,
      "routed_scaling_factor": 2.5, "max_position_embeddings": 163840)"),
      "read");
  EXPECT_EQ(problem(
                R"(, "mlp_layer_types": ["dense", "sparse", "sparse", "sparse", "sparse"],
              "rope_parameters": {"rope_type": "yarn"})"),
            "read");
}

TEST(DeepSeekV32, RefusesWhatItDoesNotKnow) {
  EXPECT_THAT(problem(R"(, "no_such_field": 1)"),
              HasSubstr("no_such_field: not known to this family"));
  EXPECT_THAT(problem(R"(, "attention_bias": true)"), HasSubstr("attention_bias"));
  EXPECT_THAT(problem(R"(, "index_topk": 0)"), HasSubstr("is 0, expected an integer from 1"));
  EXPECT_THAT(problem(R"(, "mlp_layer_types": ["dense"])"),
              HasSubstr("mlp_layer_types: has 1 elements, expected 5"));
  EXPECT_THAT(problem(R"(, "n_shared_experts": 0)"),
              HasSubstr("n_shared_experts: is 0, expected an integer from 1"));
}

// A name is kept for each expert, without a file that has it.
TEST(DeepSeekV32, HasAsManyExpertsAsCanBeNamed) {
  Json config = (*find_preset("deepseek-v3.2"))->config;
  config.set("num_hidden_layers", 65);
  config.set("n_routed_experts", 1024);
  const auto arch = read_architecture(config, "config");
  ASSERT_FALSE(arch.ok());
  EXPECT_THAT(
      arch.error().text(),
      HasSubstr("n_routed_experts: makes 66560 experts in all layers, supported are 65536"));
}

TEST(DeepSeekV32, IsForThePlannerOnly) {
  const auto preset = find_preset("DeepSeek-V3.2");
  ASSERT_TRUE(preset.ok());
  const Json& config = (*preset)->config;
  const Status runnable = check_runnable(config, "here");
  ASSERT_FALSE(runnable.ok());
  EXPECT_EQ(runnable.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(runnable.error().text(),
              HasSubstr("here: models of type 'deepseek_v32' are described for the planner only"));
  EXPECT_FALSE(rewrite_config({config, "here"}, 2, "bfloat16").ok());
  for (const std::string& name : preset_names()) {
    if (name != "deepseek-v3.2") {
      EXPECT_TRUE(check_runnable((*find_preset(name))->config, name).ok()) << name;
    }
  }
}

}  // namespace
}  // namespace longhaul
