// Keys and names of the draft that was written for llama.cpp, which numbers half-layers as the
// older checkpoints do: even ones hold attention, odd ones experts. Files of other programs have
// other names, and are refused by what is missing.
#include "models/zaya_gguf.h"

#include "models/gguf_keys.h"
#include "models/gguf_names.h"

namespace longhaul {
namespace {

constexpr IntRange kHeads{1, 1 << 12}, kHeadDim{4, 1 << 12};

Result<Json> config_of(const GgufSource& file, const std::string& where) {
  GgufKeys keys(file, "zaya", where);
  const auto n = static_cast<size_t>(keys->integer("block_count", {2, 512}));
  if (n % 2 != 0) keys->fail("block_count", "counts half-layers and must be even");
  const int64_t heads = keys.common("attention.head_count", n, kHeads),
                kv_heads = keys.common("attention.head_count_kv", n, {1, 1 << 10});
  // The draft has no key for it.
  const int64_t by_shape = keys.extent("blk.0.attn_k.weight", 0) / kv_heads;
  const bool is_told = by_shape >= kHeadDim.min && by_shape <= kHeadDim.max;
  const int64_t head_dim = keys->integer("attention.key_length", kHeadDim,
                                         is_told ? std::optional(by_shape) : std::nullopt);
  keys->optional_integer("attention.value_length");
  const int64_t turned = keys->integer("rope.dimension_count", {2, 1 << 12}, head_dim / 2);
  const int64_t taps = keys->integer("ssm.conv_kernel", {1, 16}, 2);
  if (keys->integer("expert_used_count", {1, 1024}, 1) != 1)
    keys->refuse("expert_used_count", "expected 1");
  Json config = Json::object(
      {{"architectures", Json(Json::Array{Json("ZayaForCausalLM")})},
       {"model_type", "zaya"},
       {"dtype", "bfloat16"},
       {"cca", true},
       {"vocab_size", keys.vocab_size()},
       {"hidden_size", keys->integer("embedding_length", {1, 1 << 17})},
       {"num_hidden_layers", static_cast<int64_t>(n)},
       {"num_attention_heads", heads},
       {"num_key_value_heads", kv_heads},
       {"head_dim", head_dim},
       {"cca_time0", taps},
       {"cca_time1", taps},
       {"ffn_hidden_size", 2 * keys.common("feed_forward_length", n, {1, 1 << 20})},
       {"num_experts", keys->integer("expert_count", {1, 1024})},
       // the draft keeps the router's width here
       {"zaya_mlp_expansion", keys->integer("expert_feed_forward_length", {1, 1 << 16})},
       {"norm_epsilon", keys->number("attention.layer_norm_rms_epsilon", {0.0, 1.0})},
       {"rope_theta", keys->number("rope.freq_base", {1.0, 1e12})},
       {"partial_rotary_factor", static_cast<double>(turned) / static_cast<double>(head_dim)},
       {"max_position_embeddings", keys->integer("context_length", {1, int64_t{1} << 32})},
       {"tie_word_embeddings", file.find("output.weight") == nullptr}});
  if (turned > head_dim)
    keys->fail("rope.dimension_count",
               fmt::format("is {}, a head has {} channels", turned, head_dim));
  LH_RETURN_IF_ERROR(keys.finish());
  return config;
}

constexpr GgufName kOutside[] = {
    {"token_embd.weight", "embed_tokens.weight"},
    {"output_norm.weight", "final_norm.weight"},
    {"output.weight", "/lm_head.weight"},
    {"res_scale_hs_final.weight", "res_scale.hidden_states_scale"},
    {"res_scale_hs_final.bias", "res_scale.hidden_states_bias"},
    {"res_scale_res_final.weight", "res_scale.residual_scale"},
    {"res_scale_res_final.bias", "res_scale.residual_bias"},
};

constexpr GgufName kLayer[] = {
    {"attn_norm.weight", "input_norm.weight"},
    {"attn_q.weight", "self_attn.qkv.linear_q.weight"},
    {"attn_k.weight", "self_attn.qkv.linear_k.weight"},
    {"cca_val_proj1.weight", "self_attn.qkv.val_proj1.weight"},
    {"cca_val_proj2.weight", "self_attn.qkv.val_proj2.weight"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"ssm_conv1d.weight", "self_attn.qkv.conv_qk.0.weight"},
    {"ssm_conv1d.bias", "self_attn.qkv.conv_qk.0.bias"},
    {"cca_conv_grp.weight", "self_attn.qkv.conv_qk.1.weight"},
    {"cca_conv_grp.bias", "self_attn.qkv.conv_qk.1.bias"},
    {"cca_k_scale.weight", "self_attn.qkv.temp"},
    {"res_scale_hs.weight", "res_scale.hidden_states_scale"},
    {"res_scale_hs.bias", "res_scale.hidden_states_bias"},
    {"res_scale_res.weight", "res_scale.residual_scale"},
    {"res_scale_res.bias", "res_scale.residual_bias"},
    {"ffn_gate_inp.weight", "zaya_block.router.down_proj.weight"},
    {"ffn_gate_inp.bias", "zaya_block.router.down_proj.bias"},
    {"ffn_norm.weight", "zaya_block.router.rmsnorm_eda.weight"},
    {"ffn_gate.weight", "zaya_block.router.router_mlp.0.weight"},
    {"ffn_gate.bias", "zaya_block.router.router_mlp.0.bias"},
    {"zaya_router_mlp2.weight", "zaya_block.router.router_mlp.2.weight"},
    {"zaya_router_mlp2.bias", "zaya_block.router.router_mlp.2.bias"},
    {"zaya_router_mlp4.weight", "zaya_block.router.router_mlp.4.weight"},
    {"zaya_router_biases.weight", "zaya_block.router.balancing_biases"},
    {"zaya_router_eda.weight", "zaya_block.router.router_states_scale"},
    {"ffn_gate_up_exps.weight", "zaya_block.experts.gate_up_proj"},
    {"ffn_down_exps.weight", "zaya_block.experts.down_proj"},
};

std::optional<std::string> name_of(std::string_view name, const GgufSource&) {
  return GgufNames{"model.", kOutside, kLayer}.find(name);
}

}  // namespace

GgufReading zaya_gguf() {
  return {.architecture = "zaya",
          .config = config_of,
          .tensor_name = name_of,
          .tokens = {.merged_model = "gemma4"}};
}

}  // namespace longhaul
