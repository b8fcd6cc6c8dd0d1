#include "testing/gguf_checkpoint.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>

#include "base/numbers.h"
#include "formats/config_reader.h"
#include "formats/gguf_testing.h"
#include "formats/safetensors_writer.h"
#include "formats/widen.h"
#include "tensor/float_at.h"
#include "testing/checkpoint.h"

namespace longhaul::testing {
namespace {

using Names = std::vector<std::pair<std::string, std::string>>;  // the folder's, the file's
using Values = std::vector<std::string>;

std::vector<float> floats_of(const HfTensor& t) {
  std::vector<float> floats(t.bytes.size() / bytes_per_element(t.dtype));
  for (size_t i = 0; i < floats.size(); ++i)
    floats[i] = float_at(t.bytes.data(), t.dtype, static_cast<int64_t>(i));
  return floats;
}

HfTensor tensor_of(const std::vector<float>& floats, DType dtype, std::vector<int64_t> shape) {
  HfTensor t{dtype, std::move(shape), {}};
  for (const float x : floats) t.bytes += dtype == DType::kF32 ? raw(x) : raw(to_bf16(x).bits);
  return t;
}

// Keys of a model, below its architecture's name.
class Keys {
 public:
  explicit Keys(std::string architecture) : prefix_(std::move(architecture) + ".") {
    values.push_back(gguf_text("general.architecture", prefix_.substr(0, prefix_.size() - 1)));
  }
  void integer(const char* key, int64_t value) {
    values.push_back(gguf_value(prefix_ + key, GgufValueType::kU32, static_cast<uint32_t>(value)));
  }
  void number(const char* key, double value) {
    values.push_back(gguf_value(prefix_ + key, GgufValueType::kF32, static_cast<float>(value)));
  }
  void text(const char* key, const char* value) {
    values.push_back(gguf_text(prefix_ + key, value));
  }
  void flags(const char* key, const std::vector<bool>& flags) {
    std::string bytes;
    for (const bool flag : flags) bytes += flag ? '\1' : '\0';
    values.push_back(raw_array(prefix_ + key, 7, flags.size(), bytes));
  }
  void integers(const char* key, const std::vector<int64_t>& integers) {
    std::string bytes;
    for (const int64_t n : integers) bytes += raw(static_cast<int32_t>(n));
    values.push_back(raw_array(prefix_ + key, 5, integers.size(), bytes));
  }

  Values values;

 private:
  std::string prefix_;
};

// Fields of a config, which tests know to be there.
struct Fields {
  const Json& json;

  const Json* find(const char* key) const {
    const Json* value = json.find(key);
    return value == nullptr || value->is_null() ? nullptr : value;
  }
  int64_t integer(const char* key) const {
    const Json* value = find(key);
    EXPECT_NE(value, nullptr) << key;
    return value == nullptr ? 0 : *value->as_int();
  }
  double number(const char* key) const {
    const Json* value = find(key);
    EXPECT_NE(value, nullptr) << key;
    return value == nullptr ? 0 : value->number();
  }
  std::vector<bool> are(const char* key, const char* text) const {
    std::vector<bool> flags;
    for (const Json& item : *find(key)->as_array()) flags.push_back(*item.as_string() == text);
    return flags;
  }
  std::vector<int64_t> integers(const char* key) const {
    std::vector<int64_t> all;
    for (const Json& item : *find(key)->as_array()) all.push_back(*item.as_int());
    return all;
  }
};

struct Converted {
  Keys keys;
  Names outside, layer;
  std::map<std::string, HfTensor> constants;
  bool adds_one_to_norms = false;
};

void common_keys(const Fields& f, Keys& k) {
  k.integer("block_count", f.integer("num_hidden_layers"));
  k.integer("context_length", f.integer("max_position_embeddings"));
  k.integer("embedding_length", f.integer("hidden_size"));
}

const Names kGemmaLayer = {{"input_layernorm.weight", "attn_norm.weight"},
                           {"self_attn.q_proj.weight", "attn_q.weight"},
                           {"self_attn.k_proj.weight", "attn_k.weight"},
                           {"self_attn.v_proj.weight", "attn_v.weight"},
                           {"self_attn.o_proj.weight", "attn_output.weight"},
                           {"self_attn.q_norm.weight", "attn_q_norm.weight"},
                           {"self_attn.k_norm.weight", "attn_k_norm.weight"},
                           {"post_attention_layernorm.weight", "post_attention_norm.weight"},
                           {"pre_feedforward_layernorm.weight", "ffn_norm.weight"},
                           {"post_feedforward_layernorm.weight", "post_ffw_norm.weight"},
                           {"mlp.gate_proj.weight", "ffn_gate.weight"},
                           {"mlp.up_proj.weight", "ffn_up.weight"},
                           {"mlp.down_proj.weight", "ffn_down.weight"},
                           {"layer_scalar", "layer_output_scale.weight"},
                           {"per_layer_input_gate.weight", "inp_gate.weight"},
                           {"per_layer_projection.weight", "proj.weight"},
                           {"post_per_layer_input_norm.weight", "post_norm.weight"},
                           {"router.proj.weight", "ffn_gate_inp.weight"},
                           {"router.scale", "ffn_gate_inp.scale"},
                           {"router.per_expert_scale", "ffn_down_exps.scale"},
                           {"experts.gate_up_proj", "ffn_gate_up_exps.weight"},
                           {"experts.down_proj", "ffn_down_exps.weight"},
                           {"pre_feedforward_layernorm_2.weight", "pre_ffw_norm_2.weight"},
                           {"post_feedforward_layernorm_1.weight", "post_ffw_norm_1.weight"},
                           {"post_feedforward_layernorm_2.weight", "post_ffw_norm_2.weight"}};

const Names kGemmaOutside = {{"embed_tokens.weight", "token_embd.weight"},
                             {"norm.weight", "output_norm.weight"},
                             {"lm_head.weight", "output.weight"},
                             {"embed_tokens_per_layer.weight", "per_layer_token_embd.weight"},
                             {"per_layer_model_projection.weight", "per_layer_model_proj.weight"},
                             {"per_layer_projection_norm.weight", "per_layer_proj_norm.weight"}};

Converted gemma3(const Fields& f) {
  Converted c{Keys("gemma3"), kGemmaOutside, kGemmaLayer, {}, true};
  Keys& k = c.keys;
  common_keys(f, k);
  k.integer("feed_forward_length", f.integer("intermediate_size"));
  k.integer("attention.head_count", f.integer("num_attention_heads"));
  k.integer("attention.head_count_kv", f.integer("num_key_value_heads"));
  k.integer("attention.key_length", f.integer("head_dim"));
  k.integer("attention.value_length", f.integer("head_dim"));
  k.number("attention.layer_norm_rms_epsilon", f.number("rms_norm_eps"));
  k.integer("attention.sliding_window", f.integer("sliding_window"));
  k.flags("attention.sliding_window_pattern", f.are("layer_types", "sliding_attention"));
  const Fields full{*f.find("rope_parameters")->find("full_attention")};
  k.number("rope.freq_base", full.number("rope_theta"));
  if (*full.find("rope_type")->as_string() == "linear") {
    k.text("rope.scaling.type", "linear");
    k.number("rope.scaling.factor", full.number("factor"));
  }
  return c;
}

// Heads' widths and the key heads of each layer, however the config says it.
struct Gemma4Layers {
  int64_t full_dim, sliding_dim;
  std::vector<int64_t> kv_heads;
};

Gemma4Layers gemma4_layers(const Fields& f, const std::vector<bool>& sliding) {
  const Json* overrides = f.find("per_layer_config");
  const auto of_layer = [&](size_t l, const char* field, const char* of_full) {
    for (const std::string& key : {fmt::format("{}", l), fmt::format("{:02}", l)}) {
      const Json* layer = overrides == nullptr ? nullptr : overrides->find(key);
      const Json* value = layer == nullptr ? nullptr : layer->find(field);
      if (value != nullptr) return *value->as_int();
    }
    const bool has_own = overrides == nullptr && !sliding[l] && f.find(of_full) != nullptr;
    return f.integer(has_own ? of_full : field);
  };
  Gemma4Layers layers{};
  for (size_t l = 0; l < sliding.size(); ++l) {
    (sliding[l] ? layers.sliding_dim : layers.full_dim) =
        of_layer(l, "head_dim", "global_head_dim");
    layers.kv_heads.push_back(of_layer(l, "num_key_value_heads", "num_global_key_value_heads"));
  }
  return layers;
}

HfTensor rope_freqs(int64_t head_dim, double part) {
  std::vector<float> divisors(static_cast<size_t>(head_dim / 2), 1e30f);
  std::fill_n(divisors.begin(), static_cast<int64_t>(part * static_cast<double>(head_dim)) / 2,
              1.0f);
  return tensor_of(divisors, DType::kF32, {head_dim / 2});
}

Converted gemma4(const Fields& f) {
  Converted c{Keys("gemma4"), kGemmaOutside, kGemmaLayer, {}};
  Keys& k = c.keys;
  common_keys(f, k);
  const std::vector<bool> sliding = f.are("layer_types", "sliding_attention");
  const Gemma4Layers layers = gemma4_layers(f, sliding);
  const auto shared = f.find("num_kv_shared_layers") ? f.integer("num_kv_shared_layers") : 0;
  const Json* wide = f.find("use_double_wide_mlp");
  std::vector<int64_t> widths(sliding.size(), f.integer("intermediate_size"));
  if (wide != nullptr && *wide->as_bool()) {
    for (auto l = static_cast<size_t>(shared); l > 0; --l) widths[widths.size() - l] *= 2;
  }
  k.integers("feed_forward_length", widths);
  k.integer("attention.head_count", f.integer("num_attention_heads"));
  k.integers("attention.head_count_kv", layers.kv_heads);
  k.number("attention.layer_norm_rms_epsilon", f.number("rms_norm_eps"));
  k.integer("attention.sliding_window", f.integer("sliding_window"));
  k.flags("attention.sliding_window_pattern", sliding);
  k.integer("attention.shared_kv_layers", shared);
  k.integer("embedding_length_per_layer_input",
            f.find("hidden_size_per_layer_input") ? f.integer("hidden_size_per_layer_input") : 0);
  k.number("final_logit_softcapping",
           f.find("final_logit_softcapping") ? f.number("final_logit_softcapping") : 0.0);
  const Json& ropes = *f.find("rope_parameters");
  for (const auto& [suffix, kind, dim] : {std::tuple{"", "full_attention", layers.full_dim},
                                          {"_swa", "sliding_attention", layers.sliding_dim}}) {
    for (const char* key :
         {"attention.key_length", "attention.value_length", "rope.dimension_count"})
      k.integer((std::string(key) + suffix).c_str(), dim);
    k.number((std::string("rope.freq_base") + suffix).c_str(),
             Fields{*ropes.find(kind)}.number("rope_theta"));
  }
  const Fields full{*ropes.find("full_attention")};
  c.constants["rope_freqs.weight"] =
      rope_freqs(layers.full_dim, full.number("partial_rotary_factor"));
  if (f.find("num_experts") != nullptr) {
    k.integer("expert_count", f.integer("num_experts"));
    k.integer("expert_used_count", f.integer("top_k_experts"));
    k.integer("expert_feed_forward_length", f.integer("moe_intermediate_size"));
  }
  return c;
}

const Names kLagunaLayer = {{"input_layernorm.weight", "attn_norm.weight"},
                            {"self_attn.q_proj.weight", "attn_q.weight"},
                            {"self_attn.k_proj.weight", "attn_k.weight"},
                            {"self_attn.v_proj.weight", "attn_v.weight"},
                            {"self_attn.o_proj.weight", "attn_output.weight"},
                            {"self_attn.q_norm.weight", "attn_q_norm.weight"},
                            {"self_attn.k_norm.weight", "attn_k_norm.weight"},
                            {"self_attn.g_proj.weight", "attn_gate.weight"},
                            {"post_attention_layernorm.weight", "ffn_norm.weight"},
                            {"mlp.gate_proj.weight", "ffn_gate.weight"},
                            {"mlp.up_proj.weight", "ffn_up.weight"},
                            {"mlp.down_proj.weight", "ffn_down.weight"},
                            {"mlp.gate.weight", "ffn_gate_inp.weight"},
                            {"mlp.experts.e_score_correction_bias", "exp_probs_b.bias"},
                            {"mlp.experts.gate_proj", "ffn_gate_exps.weight"},
                            {"mlp.experts.up_proj", "ffn_up_exps.weight"},
                            {"mlp.experts.down_proj", "ffn_down_exps.weight"},
                            {"mlp.shared_expert.gate_proj.weight", "ffn_gate_shexp.weight"},
                            {"mlp.shared_expert.up_proj.weight", "ffn_up_shexp.weight"},
                            {"mlp.shared_expert.down_proj.weight", "ffn_down_shexp.weight"}};

Converted laguna(const Fields& f) {
  Converted c{Keys("laguna"), kGemmaOutside, kLagunaLayer, {}};
  Keys& k = c.keys;
  common_keys(f, k);
  const std::vector<bool> dense = f.are("mlp_layer_types", "dense");
  int64_t leading = 0;
  while (leading < std::ssize(dense) && dense[static_cast<size_t>(leading)]) ++leading;
  k.integer("vocab_size", f.integer("vocab_size"));
  k.integer("feed_forward_length", f.integer("intermediate_size"));
  k.integers("attention.head_count", f.integers("num_attention_heads_per_layer"));
  k.integer("attention.head_count_kv", f.integer("num_key_value_heads"));
  k.integer("attention.key_length", f.integer("head_dim"));
  k.integer("attention.value_length", f.integer("head_dim"));
  k.number("attention.layer_norm_rms_epsilon", f.number("rms_norm_eps"));
  if (f.find("sliding_window") != nullptr) {
    k.integer("attention.sliding_window", f.integer("sliding_window"));
    k.flags("attention.sliding_window_pattern", f.are("layer_types", "sliding_attention"));
  }
  k.integer("leading_dense_block_count", leading);
  k.integer("expert_count", f.integer("num_experts"));
  k.integer("expert_used_count", f.integer("num_experts_per_tok"));
  k.integer("expert_feed_forward_length", f.integer("moe_intermediate_size"));
  k.integer("expert_shared_feed_forward_length", f.integer("shared_expert_intermediate_size"));
  k.number("expert_weights_scale", f.number("moe_routed_scaling_factor"));
  const auto head_dim = static_cast<double>(f.integer("head_dim"));
  const Json& ropes = *f.find("rope_parameters");
  const Fields full{*ropes.find("full_attention")}, slides{*ropes.find("sliding_attention")};
  k.integer("rope.dimension_count", std::llround(head_dim * full.number("partial_rotary_factor")));
  k.integer("rope.dimension_count_swa",
            std::llround(head_dim * slides.number("partial_rotary_factor")));
  k.number("rope.freq_base", full.number("rope_theta"));
  k.number("rope.freq_base_swa", slides.number("rope_theta"));
  if (*full.find("rope_type")->as_string() != "yarn") return c;
  k.text("rope.scaling.type", "yarn");
  k.number("rope.scaling.factor", full.number("factor"));
  k.integer("rope.scaling.original_context_length",
            full.integer("original_max_position_embeddings"));
  k.number("rope.scaling.attn_factor", full.number("attention_factor"));
  k.number("rope.scaling.yarn_ext_factor", 1);
  k.number("rope.scaling.yarn_beta_fast", full.number("beta_fast"));
  k.number("rope.scaling.yarn_beta_slow", full.number("beta_slow"));
  return c;
}

// As the reference saves them, and as they were released.
const Names kDeepSeekOutside = {{"embed_tokens.weight", "token_embd.weight"},
                                {"embed.weight", "token_embd.weight"},
                                {"hc_head.hc_fn", "output_hc_fn.weight"},
                                {"hc_head.hc_base", "output_hc_base.weight"},
                                {"hc_head.hc_scale", "output_hc_scale.weight"},
                                {"norm.weight", "output_norm.weight"},
                                {"head.weight", "output.weight"},
                                {"hc_head_fn", "output_hc_fn.weight"},
                                {"hc_head_base", "output_hc_base.weight"},
                                {"hc_head_scale", "output_hc_scale.weight"}};

const Names kDeepSeekLayer = {
    {"attn_norm.weight", "attn_norm.weight"},
    {"attn.wq_a.weight", "attn_q_a.weight"},
    {"attn.q_norm.weight", "attn_q_a_norm.weight"},
    {"attn.wq_b.weight", "attn_q_b.weight"},
    {"attn.wkv.weight", "attn_kv.weight"},
    {"attn.kv_norm.weight", "attn_kv_a_norm.weight"},
    {"attn.norm.weight", "attn_kv_a_norm.weight"},
    {"attn.attn_sink", "attn_sinks.weight"},
    {"attn.wo_a.weight", "attn_output_a.weight"},
    {"attn.wo_b.weight", "attn_output_b.weight"},
    {"attn.compressor.wkv.weight", "attn_compressor_kv.weight"},
    {"attn.compressor.wgate.weight", "attn_compressor_gate.weight"},
    {"attn.compressor.ape", "attn_compressor_ape.weight"},
    {"attn.compressor.norm.weight", "attn_compressor_norm.weight"},
    {"attn.indexer.wq_b.weight", "indexer.attn_q_b.weight"},
    {"attn.indexer.weights_proj.weight", "indexer.proj.weight"},
    {"attn.indexer.compressor.wkv.weight", "indexer_compressor_kv.weight"},
    {"attn.indexer.compressor.wgate.weight", "indexer_compressor_gate.weight"},
    {"attn.indexer.compressor.ape", "indexer_compressor_ape.weight"},
    {"attn.indexer.compressor.norm.weight", "indexer_compressor_norm.weight"},
    {"hc_attn_fn", "hc_attn_fn.weight"},
    {"hc_attn_base", "hc_attn_base.weight"},
    {"hc_attn_scale", "hc_attn_scale.weight"},
    {"hc_ffn_fn", "hc_ffn_fn.weight"},
    {"hc_ffn_base", "hc_ffn_base.weight"},
    {"hc_ffn_scale", "hc_ffn_scale.weight"},
    {"ffn_norm.weight", "ffn_norm.weight"},
    {"ffn.gate.weight", "ffn_gate_inp.weight"},
    {"ffn.gate.bias", "exp_probs_b.bias"},
    {"ffn.gate.tid2eid", "ffn_gate_tid2eid.weight"},
    {"ffn.experts.w1", "ffn_gate_exps.weight"},
    {"ffn.experts.w3", "ffn_up_exps.weight"},
    {"ffn.experts.w2", "ffn_down_exps.weight"},
    {"ffn.shared_experts.w1.weight", "ffn_gate_shexp.weight"},
    {"ffn.shared_experts.w3.weight", "ffn_up_shexp.weight"},
    {"ffn.shared_experts.w2.weight", "ffn_down_shexp.weight"}};

std::vector<int64_t> deepseek_ratios(const Fields& f) {
  const Fields rates{*f.find("compress_rates")};
  std::vector<int64_t> ratios;
  for (const Json& type : *f.find("layer_types")->as_array()) {
    const std::string& kind = *type.as_string();
    ratios.push_back(kind == "sliding_attention" ? 0 : rates.integer(kind.c_str()));
  }
  return ratios;
}

Converted deepseek(const Fields& f) {
  Converted c{Keys("deepseek4"), kDeepSeekOutside, kDeepSeekLayer, {}};
  Keys& k = c.keys;
  common_keys(f, k);
  for (const auto& [key, field] : {std::pair{"vocab_size", "vocab_size"},
                                   {"attention.head_count", "num_attention_heads"},
                                   {"attention.key_length", "head_dim"},
                                   {"attention.value_length", "head_dim"},
                                   {"attention.q_lora_rank", "q_lora_rank"},
                                   {"attention.output_lora_rank", "o_lora_rank"},
                                   {"attention.output_group_count", "o_groups"},
                                   {"attention.sliding_window", "sliding_window"},
                                   {"attention.indexer.head_count", "index_n_heads"},
                                   {"attention.indexer.key_length", "index_head_dim"},
                                   {"attention.indexer.top_k", "index_topk"},
                                   {"rope.dimension_count", "qk_rope_head_dim"},
                                   {"hyper_connection.count", "hc_mult"},
                                   {"hyper_connection.sinkhorn_iterations", "hc_sinkhorn_iters"},
                                   {"expert_count", "n_routed_experts"},
                                   {"expert_used_count", "num_experts_per_tok"},
                                   {"expert_feed_forward_length", "moe_intermediate_size"}})
    k.integer(key, f.integer(field));
  k.integer("attention.head_count_kv", 1);
  k.integer("expert_gating_func", 4);
  k.integers("attention.compress_ratios", deepseek_ratios(f));
  const std::vector<bool> hash = f.are("mlp_layer_types", "hash_moe");
  k.integer("hash_layer_count", std::count(hash.begin(), hash.end(), true));
  k.number("attention.layer_norm_rms_epsilon", f.number("rms_norm_eps"));
  k.number("hyper_connection.epsilon", f.number("hc_eps"));
  k.number("expert_weights_scale", f.number("routed_scaling_factor"));
  k.number("swiglu_clamp_exp", f.number("swiglu_limit"));
  k.number("rope.freq_base", f.number("rope_theta"));
  k.number("attention.compress_rope_freq_base", f.number("compress_rope_theta"));
  const Fields rope{*f.find("rope_parameters")->find("compress")};
  k.text("rope.scaling.type", "yarn");
  k.number("rope.scaling.factor", rope.number("factor"));
  k.integer("rope.scaling.original_context_length",
            rope.integer("original_max_position_embeddings"));
  k.number("rope.scaling.yarn_beta_fast", rope.number("beta_fast"));
  k.number("rope.scaling.yarn_beta_slow", rope.number("beta_slow"));
  return c;
}

const Names kZayaOutside = {{"embed_tokens.weight", "token_embd.weight"},
                            {"final_norm.weight", "output_norm.weight"},
                            {"res_scale.hidden_states_scale", "res_scale_hs_final.weight"},
                            {"res_scale.hidden_states_bias", "res_scale_hs_final.bias"},
                            {"res_scale.residual_scale", "res_scale_res_final.weight"},
                            {"res_scale.residual_bias", "res_scale_res_final.bias"}};

const Names kZayaLayer = {
    {"input_norm.weight", "attn_norm.weight"},
    {"self_attn.qkv.linear_q.weight", "attn_q.weight"},
    {"self_attn.qkv.linear_k.weight", "attn_k.weight"},
    {"self_attn.qkv.val_proj1.weight", "cca_val_proj1.weight"},
    {"self_attn.qkv.val_proj2.weight", "cca_val_proj2.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"self_attn.qkv.conv_qk.0.weight", "ssm_conv1d.weight"},
    {"self_attn.qkv.conv_qk.0.bias", "ssm_conv1d.bias"},
    {"self_attn.qkv.conv_qk.1.weight", "cca_conv_grp.weight"},
    {"self_attn.qkv.conv_qk.1.bias", "cca_conv_grp.bias"},
    {"self_attn.qkv.temp", "cca_k_scale.weight"},
    {"res_scale.hidden_states_scale", "res_scale_hs.weight"},
    {"res_scale.hidden_states_bias", "res_scale_hs.bias"},
    {"res_scale.residual_scale", "res_scale_res.weight"},
    {"res_scale.residual_bias", "res_scale_res.bias"},
    {"zaya_block.router.down_proj.weight", "ffn_gate_inp.weight"},
    {"zaya_block.router.down_proj.bias", "ffn_gate_inp.bias"},
    {"zaya_block.router.rmsnorm_eda.weight", "ffn_norm.weight"},
    {"zaya_block.router.router_mlp.0.weight", "ffn_gate.weight"},
    {"zaya_block.router.router_mlp.0.bias", "ffn_gate.bias"},
    {"zaya_block.router.router_mlp.2.weight", "zaya_router_mlp2.weight"},
    {"zaya_block.router.router_mlp.2.bias", "zaya_router_mlp2.bias"},
    {"zaya_block.router.router_mlp.4.weight", "zaya_router_mlp4.weight"},
    {"zaya_block.router.balancing_biases", "zaya_router_biases.weight"},
    {"zaya_block.router.router_states_scale", "zaya_router_eda.weight"},
    {"zaya_block.experts.local_experts.linear_fc1", "ffn_gate_up_exps.weight"},
    {"zaya_block.experts.local_experts.linear_fc2", "ffn_down_exps.weight"}};

Converted zaya(const Fields& f) {
  Converted c{Keys("zaya"), kZayaOutside, kZayaLayer, {}};
  Keys& k = c.keys;
  common_keys(f, k);
  k.integer("vocab_size", f.integer("vocab_size"));
  k.integer("feed_forward_length", f.integer("ffn_hidden_size") / 2);
  k.integer("attention.head_count", f.integer("num_attention_heads"));
  k.integer("attention.head_count_kv", f.integer("num_key_value_heads"));
  k.number("attention.layer_norm_rms_epsilon", f.number("norm_epsilon"));
  k.integer("rope.dimension_count", std::llround(f.number("partial_rotary_factor") *
                                                 static_cast<double>(f.integer("head_dim"))));
  k.number("rope.freq_base", f.number("rope_theta"));
  k.integer("expert_count", f.integer("num_experts"));
  k.integer("expert_used_count", 1);
  k.integer("expert_feed_forward_length", f.integer("zaya_mlp_expansion"));
  k.integer("ssm.conv_kernel", 2);
  return c;
}

Converted convert(const HfCheckpoint& checkpoint) {
  const Fields f{checkpoint.text_config()};
  const std::string& type = *f.find("model_type")->as_string();
  if (type.starts_with("gemma3")) return gemma3(f);
  if (type.starts_with("gemma4")) return gemma4(f);
  if (type == "laguna") return laguna(f);
  if (type == "zaya") return zaya(f);
  EXPECT_EQ(type, "deepseek_v4");
  return deepseek(f);
}

std::string without_prefix(const std::string& name) {
  for (const std::string prefix : {"model.language_model.", "model."}) {
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  }
  return name;
}

std::optional<std::string> look_up(const Names& names, const std::string& name) {
  for (const auto& [folder, file] : names) {
    if (folder == name) return file;
  }
  return std::nullopt;
}

// "layers.3.mlp.experts.5.w1.weight" is part 5 of "layers.3.mlp.experts.w1".
std::optional<int> take_expert(std::string& name) {
  constexpr std::string_view kExperts = "experts.";
  const size_t at = name.rfind(kExperts);
  if (at == name.npos || !std::isdigit(static_cast<unsigned char>(name[at + kExperts.size()])))
    return std::nullopt;
  const size_t number = at + kExperts.size(), dot = name.find('.', number);
  const int expert = std::stoi(name.substr(number, dot - number));
  name = name.substr(0, number) + name.substr(dot + 1);
  name.resize(name.size() - std::string_view(".weight").size());
  return expert;
}

std::string file_name(std::string name, const Converted& c) {
  if (const auto outside = look_up(c.outside, name)) return *outside;
  constexpr std::string_view kLayers = "layers.";
  if (name.starts_with(kLayers)) {
    const size_t dot = name.find('.', kLayers.size());
    if (const auto inner = look_up(c.layer, name.substr(dot + 1)))
      return "blk." + name.substr(kLayers.size(), dot - kLayers.size()) + "." + *inner;
  }
  ADD_FAILURE() << "no place for " << name;
  return name;
}

HfTensor as_stored(const std::string& name, const HfTensor& tensor, const Converted& c) {
  if (tensor.dtype == DType::kI64) {
    HfTensor narrow{DType::kI32, tensor.shape, {}};
    for (size_t at = 0; at < tensor.bytes.size(); at += 8)
      narrow.bytes += tensor.bytes.substr(at, 4);
    return narrow;
  }
  std::vector<float> floats = floats_of(tensor);
  const bool is_vector = tensor.shape.size() < 2;
  if (c.adds_one_to_norms && name.find("norm") != name.npos) {
    for (float& x : floats) x += 1.0f;
  }
  const bool is_wide = is_vector || tensor.dtype == DType::kF32;
  // Converters leave extents of 1 out of convolutions, and have no scalars.
  std::vector<int64_t> shape = tensor.shape;
  if (shape.size() == 3 && shape[1] == 1) shape.erase(shape.begin() + 1);
  if (shape.empty()) shape = {1};
  return tensor_of(floats, is_wide ? DType::kF32 : DType::kBF16, shape);
}

// Those go into a file of their own.
bool is_of_a_tower(const std::string& name) {
  for (const char* tower : {"embed_audio.", "embed_vision.", "vision_embedder."}) {
    if (name.starts_with(tower)) return true;
  }
  return false;
}

// By the names of the file; experts of their own are stacked in order of their numbers.
std::map<std::string, HfTensor> stored_tensors(const HfCheckpoint& checkpoint, const Converted& c) {
  std::map<std::string, HfTensor> stored = c.constants;
  std::map<std::string, std::map<int, HfTensor>> experts;
  for (const auto& [full, tensor] : checkpoint.tensors) {
    std::string name = without_prefix(full);
    if (is_of_a_tower(name)) continue;
    const auto expert = take_expert(name);
    const HfTensor t = as_stored(name, tensor, c);
    (expert ? experts[file_name(name, c)][*expert] : stored[file_name(name, c)]) = t;
  }
  for (const auto& [name, parts] : experts) {
    HfTensor& all = stored[name] = {parts.begin()->second.dtype, parts.begin()->second.shape, {}};
    all.shape.insert(all.shape.begin(), std::ssize(parts));
    for (const auto& [expert, part] : parts) all.bytes += part.bytes;
  }
  return stored;
}

GgufType type_of(DType dtype) {
  for (const GgufTypeInfo& info : gguf_types()) {
    if (dtype_of(info.type) == dtype) return info.type;
  }
  return GgufType::kI32;  // of I64
}

GgufTestTensor test_tensor(const std::string& name, const HfTensor& t) {
  const GgufType type = type_of(t.dtype);
  return {name, {t.shape.rbegin(), t.shape.rend()}, static_cast<uint32_t>(type), t.bytes};
}

Values split_values(int part, int n_parts, size_t n_tensors) {
  return {gguf_value("split.no", GgufValueType::kU16, static_cast<uint16_t>(part)),
          gguf_value("split.count", GgufValueType::kU16, static_cast<uint16_t>(n_parts)),
          gguf_value("split.tensors.count", GgufValueType::kI32, static_cast<int32_t>(n_tensors))};
}

std::string key_of(const std::string& value) {
  uint64_t length = 0;
  std::memcpy(&length, value.data(), sizeof length);
  return value.substr(0, sizeof length + length);
}

void replace_value(Values& values, const std::string& value) {
  std::erase_if(values, [&](const std::string& v) { return key_of(v) == key_of(value); });
  if (value != key_of(value)) values.push_back(value);
}

// A block of a size that weights have, and its values.
std::string random_block(DType type, std::mt19937& random, std::vector<float>& values) {
  const ElementBlock block = block_of(type);
  std::string bytes(static_cast<size_t>(block.bytes), '\0');
  values.resize(static_cast<size_t>(block.elements));
  for (;;) {
    for (char& byte : bytes) byte = static_cast<char>(random());
    const TensorInfo info{.dtype = type, .bytes = std::as_bytes(std::span(bytes))};
    widen_elements(info, 0, block.elements, values.data());
    float largest = 0.0f;
    for (const float w : values) largest = std::isfinite(w) ? std::max(largest, std::abs(w)) : 1e9f;
    if (largest > 0.02f && largest < 0.5f) return bytes;
  }
}

// A hundred or so blocks, and their values, of which tensors are made.
class BlockPool {
 public:
  explicit BlockPool(DType type) : type_(type) {
    std::mt19937 random(7);
    for (size_t i = 0; i < kBlocks; ++i) {
      std::vector<float> values;
      blocks_[i] = random_block(type, random, values);
      for (const float w : values) floats_[i] += raw(w);
    }
  }
  // Tensors of blocks, and of their values.
  std::pair<HfTensor, HfTensor> tensors(const HfTensor& like) {
    HfTensor blocks{type_, like.shape, {}}, floats{DType::kF32, like.shape, {}};
    int64_t n = 1;
    for (const int64_t extent : like.shape) n *= extent;
    for (int64_t i = 0; i < n; i += block_of(type_).elements) {
      blocks.bytes += blocks_[next_];
      floats.bytes += floats_[next_];
      next_ = (next_ + 1) % kBlocks;
    }
    return {blocks, floats};
  }

 private:
  static constexpr size_t kBlocks = 127;  // a prime: rows differ
  DType type_;
  std::array<std::string, kBlocks> blocks_, floats_;
  size_t next_ = 0;
};

}  // namespace

const Json& HfCheckpoint::text_config() const {
  const Json* text = config.find("text_config");
  return text == nullptr ? config : *text;
}

void HfCheckpoint::set(const char* field, Json value) {
  const_cast<Json&>(text_config()).set(field, std::move(value));
}

void HfCheckpoint::round_matrices_to_bf16() {
  for (auto& [name, tensor] : tensors) {
    if (tensor.dtype == DType::kI64) continue;
    const bool is_matrix = tensor.shape.size() >= 2;
    tensor = tensor_of(floats_of(tensor), is_matrix ? DType::kBF16 : DType::kF32, tensor.shape);
  }
}

void HfCheckpoint::write(const std::string& folder) const {
  std::filesystem::create_directories(folder);
  std::vector<TensorDecl> decls;
  for (const auto& [name, t] : tensors) decls.push_back({name, t.dtype, t.shape});
  auto writer = SafetensorsWriter::create(folder + "/model.safetensors", decls);
  ASSERT_TRUE(writer.ok()) << writer.error().text();
  for (const auto& [name, t] : tensors)
    ASSERT_TRUE(writer->write(name, std::as_bytes(std::span(t.bytes))).ok());
  ASSERT_TRUE(writer->finish().ok());
  std::ofstream(folder + "/config.json") << config.dump(2);
}

HfCheckpoint read_golden(const std::string& name) { return read_folder(golden_folder(name)); }

HfCheckpoint read_folder(const std::string& path) {
  HfCheckpoint checkpoint;
  const auto source = open_checkpoint(path);
  EXPECT_TRUE(source.ok()) << source.error().text();
  for (const TensorInfo& t : source->all())
    checkpoint.tensors[t.name] = {
        t.dtype, t.shape, {reinterpret_cast<const char*>(t.bytes.data()), t.bytes.size()}};
  auto json = read_json_file(path + "/config.json", size_t{1} << 20);
  EXPECT_TRUE(json.ok());
  checkpoint.config = std::move(*json);
  return checkpoint;
}

std::string write_gguf(const HfCheckpoint& checkpoint, const std::string& path, int n_parts,
                       const std::vector<std::string>& values) {
  const Converted converted = convert(checkpoint);
  const auto tensors = stored_tensors(checkpoint, converted);
  std::vector<GgufTestFile> parts(static_cast<size_t>(n_parts));
  size_t n = 0;
  for (const auto& [name, tensor] : tensors)
    parts[n++ * parts.size() / tensors.size()].tensors.push_back(test_tensor(name, tensor));
  parts.front().values = converted.keys.values;
  for (const std::string& value : values) replace_value(parts.front().values, value);
  std::string first;
  for (int i = 0; i < n_parts; ++i) {
    GgufTestFile& part = parts[static_cast<size_t>(i)];
    const std::string file =
        n_parts == 1 ? path : fmt::format("{}-{:05}-of-{:05}.gguf", path, i + 1, n_parts);
    if (i == 0) first = file;
    if (n_parts > 1) {
      const Values split = split_values(i, n_parts, tensors.size());
      part.values.insert(part.values.end(), split.begin(), split.end());
    }
    std::ofstream(file, std::ios::binary) << part.text();
  }
  return first;
}

BlockFiles write_blocks(const HfCheckpoint& checkpoint, const std::string& path, DType type) {
  const Converted converted = convert(checkpoint);
  GgufTestFile blocks, floats;
  blocks.values = floats.values = converted.keys.values;
  BlockPool pool(type);
  for (const auto& [name, tensor] : stored_tensors(checkpoint, converted)) {
    const bool has_blocks = tensor.shape.size() >= 2 && is_float(tensor.dtype) &&
                            tensor.shape.back() % block_of(type).elements == 0;
    const auto [own, twin] = has_blocks ? pool.tensors(tensor) : std::pair(tensor, tensor);
    blocks.tensors.push_back(test_tensor(name, own));
    floats.tensors.push_back(test_tensor(name, twin));
  }
  const BlockFiles files{path + ".gguf", path + "-f32.gguf"};
  std::ofstream(files.blocks, std::ios::binary) << blocks.text();
  std::ofstream(files.floats, std::ios::binary) << floats.text();
  return files;
}

}  // namespace longhaul::testing
