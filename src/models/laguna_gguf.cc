// Keys and names as llama.cpp's converter for Laguna writes them (conversion/laguna.py).
#include "models/laguna_gguf.h"

#include <algorithm>
#include <cmath>

#include "base/notice.h"
#include "models/gguf_keys.h"
#include "models/gguf_names.h"

namespace longhaul {
namespace {

constexpr IntRange kPositions{1, int64_t{1} << 32}, kHeadDim{2, 1 << 12};
constexpr NumberRange kTheta{1.0, 1e12}, kFactor{1e-6, 1e6};

struct Heads {
  int64_t dim = 0, kv = 0;
  std::vector<int64_t> per_layer;
};

Heads read_heads(GgufKeys& keys, size_t n) {
  Heads heads;
  heads.per_layer = keys.per_layer("attention.head_count", n, {1, 1 << 12});
  heads.kv = keys.common("attention.head_count_kv", n, {1, 1 << 10});
  heads.dim = keys->integer("attention.key_length", kHeadDim);
  if (keys->integer("attention.value_length", kHeadDim, heads.dim) != heads.dim)
    keys->refuse("attention.value_length",
                 fmt::format("values as wide as keys are supported alone, expected {}", heads.dim));
  return heads;
}

// The part of a head that turns, of which a key says how many channels they are.
double turning_part(GgufKeys& keys, const char* key, int64_t head_dim) {
  const int64_t channels = keys->integer(key, {2, 1 << 12}, head_dim);
  if (channels > head_dim)
    keys->fail(key, fmt::format("is {}, a head has {} channels", channels, head_dim));
  return static_cast<double>(std::min(channels, head_dim)) / static_cast<double>(head_dim);
}

// Some files of 2026 repeat the factor where YaRN's share of extrapolation belongs; nobody means
// it.
void check_extrapolation(GgufKeys& keys, const std::string& where) {
  constexpr const char* kKey = "rope.scaling.yarn_ext_factor";
  const double factor = keys->number(kKey, {-1e6, 1e6}, 1.0);
  if (factor == 1.0) return;
  notice("{}: laguna.{} is {:g}, a known mistake of converters: read as 1", where, kKey, factor);
}

// By what cosines and sines are multiplied: all of it, or what is left to the factor that YaRN's
// own rule gives.
std::optional<double> attention_factor(GgufKeys& keys, double stretch) {
  const auto whole = keys->optional_number("rope.scaling.attn_factor", kFactor);
  const auto part = keys->optional_number("rope.scaling.yarn_attn_factor", kFactor);
  if (whole || !part) return whole;
  return *part * (0.1 * std::log(stretch) + 1.0);
}

Json full_rope(GgufKeys& keys, int64_t head_dim, const std::string& where) {
  Json rope = Json::object(
      {{"rope_theta", keys->number("rope.freq_base", kTheta, 500000.0)},
       {"partial_rotary_factor", turning_part(keys, "rope.dimension_count", head_dim)}});
  const bool is_yarn = keys->choice("rope.scaling.type", {"none", "yarn"}, 0) == 1;
  rope.set("rope_type", is_yarn ? "yarn" : "default");
  if (!is_yarn) return rope;
  rope.set("factor", keys->number("rope.scaling.factor", kFactor));
  rope.set("original_max_position_embeddings",
           keys->integer("rope.scaling.original_context_length", kPositions));
  for (const auto& [key, ours] : {std::pair{"rope.scaling.yarn_beta_fast", "beta_fast"},
                                  {"rope.scaling.yarn_beta_slow", "beta_slow"}}) {
    if (const auto value = keys->optional_number(key, kFactor)) rope.set(ours, *value);
  }
  if (const auto factor = attention_factor(keys, rope.find("factor")->number()))
    rope.set("attention_factor", *factor);
  check_extrapolation(keys, where);
  return rope;
}

Json sliding_rope(GgufKeys& keys, int64_t head_dim) {
  return Json::object(
      {{"rope_type", "default"},
       {"rope_theta", keys->number("rope.freq_base_swa", kTheta, 10000.0)},
       {"partial_rotary_factor", turning_part(keys, "rope.dimension_count_swa", head_dim)}});
}

void set_layers(GgufKeys& keys, size_t n, Json& config) {
  const bool has_window = keys->has("attention.sliding_window");
  config.set("sliding_window",
             has_window ? Json(keys->integer("attention.sliding_window", kPositions)) : Json());
  const std::vector<bool> sliding = keys.sliding_layers(n, 4, 0);
  const int64_t dense = keys->integer("leading_dense_block_count", {0, static_cast<int64_t>(n)}, 1);
  Json types{Json::Array{}}, mlp_types{Json::Array{}};
  for (size_t l = 0; l < n; ++l) {
    types.push_back(has_window && sliding[l] ? "sliding_attention" : "full_attention");
    mlp_types.push_back(static_cast<int64_t>(l) < dense ? "dense" : "sparse");
  }
  config.set("layer_types", types);
  config.set("mlp_layer_types", mlp_types);
}

void set_experts(GgufKeys& keys, Json& config) {
  constexpr int64_t kSigmoid = 2;
  if (keys->integer("expert_gating_func", {0, 100}, kSigmoid) != kSigmoid)
    keys->refuse("expert_gating_func", "only sigmoid scores are supported, expected 2");
  if (!keys.flag("expert_weights_norm", true))
    keys->refuse("expert_weights_norm", "is always done, expected true");
  if (keys->integer("expert_shared_count", {0, 1024}, 1) != 1)
    keys->refuse("expert_shared_count", "expected 1");
  const int64_t width = keys->integer("expert_feed_forward_length", {1, 1 << 20});
  config.set("num_experts", keys->integer("expert_count", {1, 1024}));
  config.set("num_experts_per_tok", keys->integer("expert_used_count", {1, 1024}));
  config.set("moe_intermediate_size", width);
  config.set("shared_expert_intermediate_size",
             keys->integer("expert_shared_feed_forward_length", {1, 1 << 20}, width));
  config.set("moe_routed_scaling_factor", keys->number("expert_weights_scale", {-1e6, 1e6}, 1.0));
}

Result<Json> config_of(const GgufSource& file, const std::string& where) {
  GgufKeys keys(file, "laguna", where);
  const auto n = static_cast<size_t>(keys->integer("block_count", {1, 256}));
  const Heads heads = read_heads(keys, n);
  Json config =
      Json::object({{"architectures", Json(Json::Array{Json("LagunaForCausalLM")})},
                    {"model_type", "laguna"},
                    {"dtype", "bfloat16"},
                    {"vocab_size", keys.vocab_size()},
                    {"hidden_size", keys->integer("embedding_length", {1, 1 << 17})},
                    {"intermediate_size", keys.common("feed_forward_length", n, {1, 1 << 20})},
                    {"num_hidden_layers", static_cast<int64_t>(n)},
                    {"num_attention_heads", heads.per_layer.front()},
                    {"num_attention_heads_per_layer",
                     Json(Json::Array(heads.per_layer.begin(), heads.per_layer.end()))},
                    {"num_key_value_heads", heads.kv},
                    {"head_dim", heads.dim},
                    {"gating", "per-head"},  // the tensor's own shape has the last word
                    {"max_position_embeddings", keys->integer("context_length", kPositions)},
                    {"rms_norm_eps", keys->number("attention.layer_norm_rms_epsilon", {0.0, 1.0})},
                    {"tie_word_embeddings", file.find("output.weight") == nullptr}});
  set_layers(keys, n, config);
  set_experts(keys, config);
  config.set("rope_parameters",
             Json::object({{"full_attention", full_rope(keys, heads.dim, where)},
                           {"sliding_attention", sliding_rope(keys, heads.dim)}}));
  LH_RETURN_IF_ERROR(keys.finish());
  return config;
}

constexpr GgufName kOutside[] = {
    {"token_embd.weight", "embed_tokens.weight"},
    {"output_norm.weight", "norm.weight"},
    {"output.weight", "/lm_head.weight"},
};

constexpr GgufName kLayer[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
    {"attn_gate.weight", "self_attn.g_proj.weight"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"ffn_gate_inp.weight", "mlp.gate.weight"},
    {"exp_probs_b.bias", "mlp.experts.e_score_correction_bias"},
    {"ffn_gate_exps.weight", "mlp.switch_mlp.gate_proj.weight"},
    {"ffn_up_exps.weight", "mlp.switch_mlp.up_proj.weight"},
    {"ffn_down_exps.weight", "mlp.switch_mlp.down_proj.weight"},
    {"ffn_gate_shexp.weight", "mlp.shared_expert.gate_proj.weight"},
    {"ffn_up_shexp.weight", "mlp.shared_expert.up_proj.weight"},
    {"ffn_down_shexp.weight", "mlp.shared_expert.down_proj.weight"},
};

std::optional<std::string> name_of(std::string_view name, const GgufSource&) {
  return GgufNames{"model.", kOutside, kLayer}.find(name);
}

// Of the released tokenizer.json.
constexpr const char* kLineEnds = R"((?:\r?\n)+(?!\r?\n))";
constexpr const char* kRuns = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|)"
                              R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

}  // namespace

GgufReading laguna_gguf() {
  return {.architecture = "laguna",
          .config = config_of,
          .tensor_name = name_of,
          .tokens = {.stops = {"</assistant>"},
                     .control = {"</assistant>"},
                     .pre = {"laguna"},
                     .splits = {{kLineEnds, "MergedWithNext"}, {kRuns, "Isolated"}}}};
}

}  // namespace longhaul
