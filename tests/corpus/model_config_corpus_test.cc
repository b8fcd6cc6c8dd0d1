// Every file of tests/corpus/model_config: what the malformed ones are refused with, and what the
// corner cases become. tools/make_config_corpus.py writes the files; one without a row here fails
// the test.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <regex>
#include <set>
#include <string>

#include "cost/describe.h"
#include "cost/parameters.h"
#include "cost/plan.h"
#include "cost/report.h"
#include "formats/config_reader.h"
#include "models/registry.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;

const fs::path& folder() {
  static const fs::path path = fs::path(LH_SOURCE_DIR) / "tests" / "corpus" / "model_config";
  return path;
}

Result<Architecture> read(const std::string& name) {
  const std::string path = (folder() / (name + ".json")).string();
  LH_TRY(const Json config, read_json_file(path, size_t{16} << 20));
  return read_architecture(config, path);
}

struct Row {
  const char* name;
  const char* fragment;
  ErrorCode code = ErrorCode::kCorruptFile;
};

constexpr auto kUnsupported = ErrorCode::kUnsupported;

constexpr Row kMalformed[] = {
    {"activation_silu", "hidden_activation: is 'silu', supported: 'gelu_pytorch_tanh'",
     kUnsupported},
    {"attention_bias", "attention_bias: biased projections are not supported, expected false",
     kUnsupported},
    {"attention_softcap",
     "attn_logit_softcapping: capped attention scores are not supported, expected null",
     kUnsupported},
    {"bidirectional_all",
     "use_bidirectional_attention: a model that sees the future cannot generate", kUnsupported},
    {"bidirectional_gemma3",
     "use_bidirectional_attention: a model that sees the future cannot generate", kUnsupported},
    {"deep", "JSON nested deeper than 64"},
    {"drafter",
     "model_type 'gemma4_assistant' is not supported; use a model of one of these: gemma4, "
     "gemma4_text, gemma4_unified, ",
     kUnsupported},
    {"duplicate_key", "key 'model_type' stands twice in one object"},
    {"duplicate_key_nested", "key 'head_dim' stands twice in one object"},
    {"empty", "not valid JSON at byte 1"},
    {"eps_infinite", "rms_norm_eps: is 1e999, expected a number from 0 to 1"},
    {"eps_negative", "rms_norm_eps: is -1e-06, expected a number from 0 to 1"},
    {"global_head_dim_odd", "head_dim: must be even, layer 1 has 15"},
    {"global_head_dim_string", "global_head_dim: is \"16\", expected an integer from 0 to 4096"},
    {"global_kv_heads_not_multiple",
     "num_attention_heads: must be a multiple of the key heads, layer 1 has 3"},
    {"head_dim_huge", "head_dim: is 1048576, expected an integer from 2 to 4096"},
    {"head_dim_odd", "head_dim: must be even, layer 0 has 7"},
    {"head_dim_zero", "head_dim: is 0, expected an integer from 2 to 4096"},
    {"heads_huge", "num_attention_heads: is 1048576, expected an integer from 1 to 1024"},
    {"heads_not_multiple",
     "num_attention_heads: must be a multiple of the key heads, layer 0 has 3"},
    {"heads_zero", "num_attention_heads: is 0, expected an integer from 1 to 1024"},
    {"hidden_size_beyond_64_bits",
     "hidden_size: is 1180591620717411303424, expected an integer from 1 to 131072"},
    {"hidden_size_float", "hidden_size: is 16.0, expected an integer from 1 to 131072"},
    {"hidden_size_huge", "hidden_size: is 1099511627776, expected an integer from 1 to 131072"},
    {"hidden_size_list", "hidden_size: is an array, expected an integer from 1 to 131072"},
    {"hidden_size_negative", "hidden_size: is -16, expected an integer from 1 to 131072"},
    {"hidden_size_string", "hidden_size: is \"16\", expected an integer from 1 to 131072"},
    {"hidden_size_zero", "hidden_size: is 0, expected an integer from 1 to 131072"},
    {"intermediate_size_zero", "intermediate_size: is 0, expected an integer from 1 to 1048576"},
    {"k_eq_v_string", "attention_k_eq_v: is \"yes\", expected true or false"},
    {"kv_heads_above_heads",
     "num_attention_heads: must be a multiple of the key heads, layer 0 has 8"},
    {"kv_heads_zero", "num_key_value_heads: is 0, expected an integer from 1 to 1024"},
    {"layer_types_long", "layer_types: has 5 elements, expected 4"},
    {"layer_types_number", "layer_types[1]: is 1, expected a string"},
    {"layer_types_short", "layer_types: has 2 elements, expected 4"},
    {"layer_types_string", "layer_types: is \"sliding_attention\", expected an array of strings"},
    {"layer_types_unknown",
     "layer_types[1]: is 'chunked_attention', supported: 'sliding_attention', 'full_attention'",
     kUnsupported},
    {"layers_huge", "num_hidden_layers: is 2147483648, expected an integer from 1 to 256"},
    {"layers_negative", "num_hidden_layers: is -4, expected an integer from 1 to 256"},
    {"layers_zero", "num_hidden_layers: is 0, expected an integer from 1 to 256"},
    {"many_unknown_fields", "field_0: not known to this family; it may change the model's results",
     kUnsupported},
    {"model_type_escape_codes",
     "model_type '\\x1b]0;x\\x07' is not supported; use a model of one of these: gemma4, "
     "gemma4_text, gemma4_unified, gemm",
     kUnsupported},
    {"model_type_missing", "no 'model_type'; give the config.json of a language model"},
    {"model_type_number", "no 'model_type'; give the config.json of a language model"},
    {"model_type_unknown",
     "model_type 'gemma5' is not supported; use a model of one of these: gemma4, gemma4_text, "
     "gemma4_unified, gemma4_uni",
     kUnsupported},
    {"moe_counts_null", "num_experts: is required where enable_moe_block is true"},
    {"moe_experts_huge", "num_experts: is 4294967296, expected an integer from 1 to 4096"},
    {"moe_experts_zero", "num_experts: is 0, expected an integer from 1 to 4096"},
    {"moe_top_k_above_experts", "top_k_experts: must be at most num_experts (4), found 5"},
    {"moe_without_counts", "num_experts: is required where enable_moe_block is true"},
    {"moe_without_width", "moe_intermediate_size: is required where enable_moe_block is true"},
    {"not_an_object", "no 'model_type'; give the config.json of a language model"},
    {"not_json", "not valid JSON at byte 2"},
    {"overrides_beyond", "per_layer_config.4: is no layer number below 4"},
    {"overrides_empty_key", "per_layer_config.: is no layer number below 4"},
    {"overrides_list", "per_layer_config: is an array, expected an object"},
    {"overrides_long_key",
     "per_layer_config.00000000000000000000000000000000000000001: is no layer number below 4"},
    {"overrides_name", "per_layer_config.first: is no layer number below 4"},
    {"overrides_negative", "per_layer_config.-1: is no layer number below 4"},
    {"overrides_number", "per_layer_config.1: is 8, expected an object"},
    {"overrides_odd", "head_dim: must be even, layer 1 has 9"},
    {"overrides_too_many", "per_layer_config: has 300 fields, expected at most 4"},
    {"overrides_twice", "per_layer_config.01: is layer 1 for the second time"},
    {"overrides_unknown_field",
     "per_layer_config.1.hidden_size: not known to this family; it may change the model's results",
     kUnsupported},
    {"ple_huge", "hidden_size_per_layer_input: is 1073741824, expected an integer from 0 to 16384"},
    {"ple_negative", "hidden_size_per_layer_input: is -1, expected an integer from 0 to 16384"},
    {"ple_no_rows", "vocab_size_per_layer_input: must be at least 1"},
    {"positions_zero", "max_position_embeddings: is 0, expected an integer from 1 to 4294967296"},
    {"quantization",
     "quantization_config: weights quantised by 'fp8' are not supported; use the checkpoint that "
     "they were made from",
     kUnsupported},
    {"quantised_nested",
     "text_config.quantization_config: weights quantised by 'gptq' are not supported",
     kUnsupported},
    {"quantised_mlx", "quantization: quantised weights are not supported", kUnsupported},
    {"no_causality", "is_causal: not known to this family", kUnsupported},
    {"encoder_decoder", "is_encoder_decoder: not known to this family", kUnsupported},
    {"copy_differs",
     "hidden_size: is 32, and 16 where it counts, in text_config; take it away with --set "
     "hidden_size=null",
     kUnsupported},
    {"unknown_field_key_escape_codes", "\\x1b]0;x\\x07: not known to this family", kUnsupported},
    {"window_null", "sliding_window: is null, and layer 0 is a sliding one; give its window"},
    {"rope_flat", "rope_parameters.factor: not known to this family", kUnsupported},
    {"rope_yarn_bounds",
     "original_max_position_embeddings: is 0, expected an integer from 1 to 4294967296"},
    {"rope_linear_without_factor",
     "rope_parameters.full_attention.factor: null or missing, expected a number from 1e-06 to "
     "1000000"},
    {"rope_dynamic_negative",
     "rope_parameters.full_attention.factor: is -1.0, expected a number from 1e-06 to 1000000"},
    {"rope_longrope_short",
     "rope_parameters.full_attention.long_factor: has 7 elements, expected 8"},
    {"rope_longrope_huge",
     "rope_parameters.full_attention.long_factor: has 5000 elements, expected 8"},
    {"rope_longrope_text",
     "rope_parameters.full_attention.long_factor[0]: is \"1\", expected a number from 1e-06 to "
     "1000000"},
    {"rope_llama3_crossed",
     "rope_parameters.full_attention.high_freq_factor: must be above low_freq_factor (4), found 1"},
    {"rope_truncate_number", "rope_parameters.truncate: is 1, expected true or false"},
    {"rope_scaling_true", "rope_scaling: is true, expected an object"},
    {"laguna_window_null", "sliding_window: must be positive, layer 1 is a sliding one"},
    {"v4_quantised", "quantization_config: weights quantised by 'gptq' are not supported",
     kUnsupported},
    {"v4_alias_differs",
     "intermediate_size: is another number than moe_intermediate_size (12), of which it is a "
     "second name"},
    {"laguna_unnormalised",
     "norm_topk_prob: the weights of the chosen experts are always made to add up to one, expected "
     "true",
     kUnsupported},
    {"rope_factor_zero",
     "rope_parameters.full_attention.factor: is 0.0, expected a number from 1e-06 to 1000000"},
    {"rope_list", "rope_parameters: is an array, expected an object"},
    {"rope_partial_above_one",
     "rope_parameters.full_attention.partial_rotary_factor: is 1.5, expected a number from 0 to 1"},
    {"rope_partial_default",
     "rope_parameters.full_attention.partial_rotary_factor: is supported for rope_type "
     "'proportional' alon",
     kUnsupported},
    {"rope_theta_zero",
     "rope_parameters.full_attention.rope_theta: is 0, expected a number from 1 to 1000000000000"},
    {"rope_type_number", "rope_parameters.full_attention.rope_type: is 1, expected a string"},
    {"rope_type_unknown",
     "rope_parameters.full_attention.rope_type: is 'mrope', supported: 'default', 'linear', "
     "'proportional', 'dynamic'",
     kUnsupported},
    {"rope_unknown_field",
     "rope_parameters.full_attention.attn_factor: not known to this family; it may change the "
     "model's result",
     kUnsupported},
    {"rope_unknown_layer_type",
     "rope_parameters.chunked_attention: not known to this family; it may change the model's "
     "results",
     kUnsupported},
    {"scalar", "no 'model_type'; give the config.json of a language model"},
    {"shared_all", "num_kv_shared_layers: is 4, expected an integer from 0 to 3"},
    {"shared_heads_differ",
     "num_kv_shared_layers: layer 3 and the layer whose keys it reads have different heads"},
    {"shared_more", "num_kv_shared_layers: is 9, expected an integer from 0 to 3"},
    {"shared_negative", "num_kv_shared_layers: is -1, expected an integer from 0 to 3"},
    {"shared_without_producer",
     "num_kv_shared_layers: layer 3 shares keys and values, and no layer before 3 of its type owns "
     "any"},
    {"shared_without_sliding_producer",
     "num_kv_shared_layers: layer 2 shares keys and values, and no layer before 2 of its type owns "
     "any"},
    {"softcap_string",
     "final_logit_softcapping: is \"30\", expected a number from 0.001 to 1000000000"},
    {"softcap_zero", "final_logit_softcapping: is 0.0, expected a number from 0.001 to 1000000000"},
    {"text_config_list", "text_config: is an array, expected an object"},
    {"text_config_other_family",
     "text_config.model_type: is 'gemma3_text', which does not belong in a gemma4 config"},
    {"text_config_string", "text_config: is \"flat\", expected an object"},
    {"truncated", "not valid JSON at byte 374"},
    {"unknown_field",
     "rope_scale_base: not known to this family; it may change the model's results", kUnsupported},
    {"unknown_field_beside_text_config",
     "residual_multiplier: not known to this family; it may change the model's results",
     kUnsupported},
    {"unknown_field_nested",
     "text_config.new_trick: not known to this family; it may change the model's results",
     kUnsupported},
    {"vocab_size_huge", "vocab_size: is 2147483648, expected an integer from 1 to 4194304"},
    {"vocab_size_negative", "vocab_size: is -1, expected an integer from 1 to 4194304"},
    {"window_negative", "sliding_window: is -1, expected an integer from 1 to 4294967296"},
    {"window_pattern_zero", "sliding_window_pattern: is 0, expected an integer from 1 to 1024"},
    {"window_zero", "sliding_window: is 0, expected an integer from 1 to 4294967296"},
    {"laguna_activation", "hidden_act: is 'gelu', supported: 'silu'", kUnsupported},
    {"laguna_bias", "qkv_bias: biased projections are not supported, expected false", kUnsupported},
    {"laguna_dense_layer", "mlp_only_layers[0]: is 3, expected an integer from 0 to 2"},
    {"laguna_experts_huge", "num_experts: is 1000000, expected an integer from 1 to 1024"},
    {"laguna_gating_false", "gating: attention without a gate is not supported", kUnsupported},
    {"laguna_gating_word", "gating: is 'per-token', supported: 'per-head', 'per-element'",
     kUnsupported},
    {"laguna_heads_not_multiple",
     "num_attention_heads_per_layer: must be multiples of num_key_value_heads (2), layer 1 has 5"},
    {"laguna_heads_short", "num_attention_heads_per_layer: has 2 elements, expected 3"},
    {"laguna_rope_odd", "partial_rotary_factor: must turn an even number of channels, at least 2"},
    {"laguna_rope_type",
     "rope_parameters.full_attention.short_factor: null or missing, expected an array of numbers"},
    {"laguna_score", "moe_router_score_func: is 'sqrtsoftplus', supported: 'sigmoid'",
     kUnsupported},
    {"laguna_sinks",
     "swa_attention_sink_enabled: attention sinks are not supported, expected false", kUnsupported},
    {"laguna_top_k", "num_experts_per_tok: must be at most num_experts (4), found 5"},
    {"laguna_unknown", "attention_temperature: not known to this family", kUnsupported},
    {"laguna_weight_on_input", "moe_apply_router_weight_on_input: is not supported, expected false",
     kUnsupported},
    {"laguna_window_zero", "sliding_window: must be positive, layer 1 is a sliding one"},
    {"zaya_bias", "attention_bias: biased projections are not supported, expected false",
     kUnsupported},
    {"zaya_head_bias", "lm_head_bias: a biased head is not supported, expected false",
     kUnsupported},
    {"zaya_heads", "num_attention_heads: must be a multiple of num_key_value_heads (2), found 3"},
    {"zaya_layer_type", "layer_types[1]: is 'mamba', supported: 'hybrid', 'hybrid_sliding'",
     kUnsupported},
    {"zaya_legacy_activation", "activation_func: is 'gelu', supported: 'swiglu'", kUnsupported},
    {"zaya_legacy_clamp", "clamp_temp: is 1, expected true or false"},
    {"zaya_legacy_experts_listed", "num_experts: is 3, zaya_layers says 16"},
    {"zaya_legacy_groups", "num_query_groups: is 4, num_key_value_heads says 2"},
    {"zaya_legacy_head_dims", "kv_channels: is 16, head_dim says 8"},
    {"zaya_legacy_rope_scaling",
     "rope_scaling: stretched positions are not supported, expected false", kUnsupported},
    {"zaya_legacy_window", "sliding_window: a window of all layers is not supported, expected null",
     kUnsupported},
    {"zaya_legacy_without_skipping", "zaya_use_mod: only true is supported", kUnsupported},
    {"zaya_november_empty",
     "json: zaya_layers: expected an array of 2 to 512 half-layers, an even number"},
    {"zaya_november_experts_differ",
     "json: zaya_layers[3]: blocks with different numbers of experts are not supported",
     kUnsupported},
    {"zaya_november_experts_elsewhere", "num_experts: is 4, zaya_layers says 3"},
    {"zaya_november_experts_first",
     "json: zaya_layers[0]: expected \"a\", attention and experts take turns"},
    {"zaya_november_experts_huge",
     "json: zaya_layers[1]: expected a number of experts from 1 to 1024, attention and experts "
     "take turns"},
    {"zaya_november_full_heads",
     "num_attention_heads: must be the number in cca_num_q_heads (4) or twice that, found 6"},
    {"zaya_november_groups_differ", "num_query_groups_list: is 4, num_key_value_heads says 2"},
    {"zaya_november_groups_object",
     "num_query_groups_list: is an object, expected an integer from 1 to 1024"},
    {"zaya_november_head_size",
     "num_attention_heads: must divide hidden_size (36) into heads of at least 4, found 8"},
    {"zaya_november_heads_differ",
     "cca_num_q_heads[2]: is 6, entry 0 is 4; blocks of different sizes are not supported",
     kUnsupported},
    {"zaya_november_heads_long", "cca_num_q_heads: has 6 elements, expected 4"},
    {"zaya_november_heads_misplaced",
     "cca_num_q_heads[1]: is 4, expected 0: the half-layer is of the other kind"},
    {"zaya_november_heads_negative",
     "cca_num_q_heads[0]: is -4, expected an integer from 0 to 4096"},
    {"zaya_november_heads_null", "cca_num_q_heads[0]: is null, expected an integer from 0 to 4096"},
    {"zaya_november_heads_short", "cca_num_q_heads: has 2 elements, expected 4"},
    {"zaya_november_heads_text",
     "cca_num_q_heads[0]: is \"4\", expected an integer from 0 to 4096"},
    {"zaya_november_heads_zero", "cca_num_q_heads[0]: is 0, expected at least 1"},
    {"zaya_november_letter",
     "json: zaya_layers[2]: expected \"a\", attention and experts take turns"},
    {"zaya_november_long",
     "json: zaya_layers: expected an array of 2 to 512 half-layers, an even number"},
    {"zaya_november_nested",
     "json: zaya_layers[1]: expected a number of experts from 1 to 1024, attention and experts "
     "take turns"},
    {"zaya_november_no_experts",
     "json: zaya_layers[1]: expected a number of experts from 1 to 1024, attention and experts "
     "take turns"},
    {"zaya_november_odd",
     "json: zaya_layers: expected an array of 2 to 512 half-layers, an even number"},
    {"zaya_november_rope_factor",
     "rope_parameters.factor: stretched positions are not supported, expected 1", kUnsupported},
    {"zaya_november_routers_differ",
     "zaya_mlp_expansion[3]: is 9, entry 1 is 8; blocks of different sizes are not supported",
     kUnsupported},
    {"zaya_november_string",
     "json: zaya_layers: expected an array of 2 to 512 half-layers, an even number"},
    {"zaya_november_theta_missing",
     "rope_theta: null or missing, expected a number from 1 to 1000000000000"},
    {"zaya_november_thetas_differ",
     "rope_parameters.rope_theta: is 10000, the one outside is 1000000"},
    {"zaya_november_two_attentions",
     "json: zaya_layers[1]: expected a number of experts from 1 to 1024, attention and experts "
     "take turns"},
    {"zaya_november_unknown", "smoe_layers: not known to this family", kUnsupported},
    {"zaya_november_width_one", "ffn_hidden_size_list[1]: is 1, expected at least 2"},
    {"zaya_november_widths_differ",
     "ffn_hidden_size_list[3]: is 32, entry 1 is 16; blocks of different sizes are not supported",
     kUnsupported},
    {"zaya_november_widths_elsewhere", "ffn_hidden_size_list: is 16, ffn_hidden_size says 32"},
    {"zaya_legacy_odd", "num_hidden_layers: counts half-layers here and must be even"},
    {"zaya_rope", "rope_parameters.hybrid.rope_type: is 'su', supported: 'default'", kUnsupported},
    {"zaya_sliding_without_window", "sliding_window: must be positive, layer 1 is a sliding one"},
    {"zaya_taps", "cca_time0: is 0, expected an integer from 1 to 16"},
    {"zaya_two_experts", "num_experts_per_tok: only 1 is supported", kUnsupported},
    {"zaya_unknown", "cca_time2: not known to this family", kUnsupported},
    {"laguna_rope_theta_one",
     "rope_parameters.full_attention.rope_type: is yarn, which needs a rope_theta above 1"},
    {"model_type_unknown_beside_text_config_list",
     "model_type 'deepseek_vl4' is not supported; use a model of one of these: gemma4, "
     "gemma4_text, gemma4_unified, gemm",
     kUnsupported},
    {"v41_flat",
     "model_type 'deepseek_v41_text' is not supported: DeepSeek V4.1 is another architecture than "
     "V4",
     kUnsupported},
    {"v41_inside_another",
     "model_type 'deepseek_v41_text' is not supported: DeepSeek V4.1 is another architecture than "
     "V4",
     kUnsupported},
    {"v41_nested",
     "model_type 'deepseek_v41' is not supported: DeepSeek V4.1 is another architecture than V4",
     kUnsupported},
    {"v4_activation", "hidden_act: is 'gelu', supported: 'silu'", kUnsupported},
    {"v4_bias", "attention_bias: biased projections are not supported, expected false",
     kUnsupported},
    {"v4_expert_width_huge",
     "moe_intermediate_size: is 1099511627776, expected an integer from 1 to 1048576"},
    {"v4_experts_in_all_layers",
     "n_routed_experts: makes 66560 experts in all layers, supported are 65536", kUnsupported},
    {"moe_experts_in_all_layers",
     "num_experts: makes 1048576 experts in all layers, supported are 65536", kUnsupported},
    {"zaya_experts_in_all_layers",
     "num_experts: makes 262144 experts in all layers, supported are 65536", kUnsupported},
    {"zaya_legacy_experts_in_all_layers",
     "num_experts: makes 262144 experts in all layers, supported are 65536", kUnsupported},
    {"laguna_experts_in_all_layers",
     "num_experts: makes 65792 experts in all layers, supported are 65536", kUnsupported},
    {"v4_experts_huge", "n_routed_experts: is 1048576, expected an integer from 1 to 1024"},
    {"v4_experts_string", "n_routed_experts: is \"6\", expected an integer from 1 to 1024"},
    {"v4_experts_zero", "n_routed_experts: is 0, expected an integer from 1 to 1024"},
    {"v4_groups_above_heads", "o_groups: must divide num_attention_heads (4), found 8"},
    {"v4_groups_do_not_divide", "o_groups: must divide num_attention_heads (4), found 3"},
    {"v4_groups_zero", "o_groups: is 0, expected an integer from 1 to 1024"},
    {"v4_hash_layers_huge", "num_hash_layers: is 257, expected an integer from 0 to 256"},
    {"v4_hash_layers_negative", "num_hash_layers: is -1, expected an integer from 0 to 256"},
    {"v4_hc_eps_negative", "hc_eps: is -1e-06, expected a number from 0 to 1"},
    {"v4_heads_huge", "num_attention_heads: is 1099511627776, expected an integer from 1 to 4096"},
    {"v4_hidden_huge", "hidden_size: is 1099511627776, expected an integer from 1 to 131072"},
    {"v4_index_heads_huge", "index_n_heads: is 1048576, expected an integer from 1 to 1024"},
    {"v4_inside_another",
     "model_type 'deepseek_vl4' is not supported; use a model of one of these: gemma4, "
     "gemma4_text, gemma4_unified, gemm",
     kUnsupported},
    {"v4_kv_heads", "num_key_value_heads: all heads share one row, expected 1", kUnsupported},
    {"v4_latent_zero", "q_lora_rank: is 0, expected an integer from 1 to 131072"},
    {"v4_layer_types_long", "layer_types: has 5 elements, expected 4"},
    {"v4_layer_types_short", "layer_types: has 3 elements, expected 4"},
    {"v4_layer_types_unknown",
     "layer_types[3]: is 'full_attention', supported: 'sliding_attention', "
     "'compressed_sparse_attention', ",
     kUnsupported},
    {"v4_layers_257", "num_hidden_layers: is 257, expected an integer from 1 to 256"},
    {"v4_layers_huge", "num_hidden_layers: is 1099511627776, expected an integer from 1 to 256"},
    {"v4_layers_unsaid",
     "layer_types: neither this nor compress_ratios says which layer compresses how; defaults "
     "differ betwe",
     kUnsupported},
    {"v4_layers_zero", "num_hidden_layers: is 0, expected an integer from 1 to 256"},
    {"v4_limit_infinite", "swiglu_limit: is 1e999, expected a number from 1e-06"},
    {"v4_limit_zero", "swiglu_limit: is 0.0, expected a number from 1e-06 to 1000000000"},
    {"v4_mlp_layer_types_dense", "mlp_layer_types[3]: is 'dense', supported: 'moe', 'hash_moe'",
     kUnsupported},
    {"v4_mlp_layer_types_short", "mlp_layer_types: has 3 elements, expected 4"},
    {"v4_no_shared_expert", "n_shared_experts: expected 1", kUnsupported},
    {"v4_positions_huge",
     "max_position_embeddings: is 1152921504606846976, expected an integer from 1 to 4294967296"},
    {"v4_rate_huge",
     "compress_rates.heavily_compressed_attention: is 131072, expected an integer from 1 to 65536"},
    {"v4_rate_legacy_huge",
     "compress_rate_csa: is 1099511627776, expected an integer from 1 to 65536"},
    {"v4_rate_unknown", "compress_rates.sliding_attention: not known to this family", kUnsupported},
    {"v4_rate_zero",
     "compress_rates.compressed_sparse_attention: is 0, expected an integer from 1 to 65536"},
    {"v4_rates_list", "compress_rates: is an array, expected an object"},
    {"v4_ratio_float", "compress_ratios[1]: is 4.0, expected an integer from 0 to 1048576"},
    {"v4_ratio_huge",
     "compress_ratios[1]: is 9223372036854775808, expected an integer from 0 to 1048576"},
    {"v4_ratio_negative", "compress_ratios[1]: is -4, expected an integer from 0 to 1048576"},
    {"v4_ratio_one", "compress_ratios: must be 0, 4 or 128, layer 2 has 1"},
    {"v4_ratio_unknown", "compress_ratios: must be 0, 4 or 128, layer 2 has 64"},
    {"v4_ratios_empty", "compress_ratios: has 0 elements, expected 4 to 68"},
    {"v4_ratios_long", "compress_ratios: has 100 elements, expected 4 to 68"},
    {"v4_ratios_number", "compress_ratios: is 4, expected an array of integers"},
    {"v4_ratios_short", "compress_ratios: has 3 elements, expected 4 to 68"},
    {"v4_rope_factor_zero", "rope_scaling.factor: is 0, expected a number from 1e-06 to 1000000"},
    {"v4_rope_list", "rope_scaling: is an array, expected an object"},
    {"v4_rope_nested_part",
     "rope_parameters.compress.partial_rotary_factor: must turn as many channels as the model's "
     "own (8), f"},
    {"v4_rope_nested_part_missing",
     "rope_parameters.compress.partial_rotary_factor: must turn as many channels as the model's "
     "own (8), f"},
    {"v4_rope_nested_unknown", "rope_parameters.compress.mscale_all: not known to this family",
     kUnsupported},
    {"v4_rope_odd",
     "partial_rotary_factor: must turn an even number of channels, 2 to index_head_dim (16), found "
     "7"},
    {"v4_rope_part_odd",
     "partial_rotary_factor: must turn an even number of channels, 2 to index_head_dim (16), found "
     "3"},
    {"v4_rope_theta_one",
     "rope_parameters.compress.rope_type: is yarn, which needs a rope_theta above 1"},
    {"v4_rope_theta_one_flat", "rope_scaling.rope_type: is yarn, which needs a rope_theta above 1"},
    {"v4_rope_type",
     "rope_scaling.type: is not supported with compressed entries, expected 'default', 'linear', "
     "'yarn' or",
     kUnsupported},
    {"v4_rope_unknown", "rope_scaling.mscale_all: not known to this family", kUnsupported},
    {"v4_rope_wider_than_head",
     "partial_rotary_factor: must turn an even number of channels, 2 to index_head_dim (16), found "
     "32"},
    {"v4_rope_wider_than_index",
     "partial_rotary_factor: must turn an even number of channels, 2 to index_head_dim (4), found "
     "8"},
    {"v4_rope_zero",
     "partial_rotary_factor: must turn an even number of channels, 2 to index_head_dim (16), found "
     "0"},
    {"v4_score", "scoring_func: is 'relu', supported: 'sqrtsoftplus', 'sigmoid', 'softmax'",
     kUnsupported},
    {"v4_sinkhorn_huge", "hc_sinkhorn_iters: is 1000000000, expected an integer from 1 to 1000"},
    {"v4_sinkhorn_zero", "hc_sinkhorn_iters: is 0, expected an integer from 1 to 1000"},
    {"v4_streams_float", "hc_mult: is 4.0, expected an integer from 2 to 8"},
    {"v4_streams_nine", "hc_mult: is 9, expected an integer from 2 to 8"},
    {"v4_streams_one", "hc_mult: is 1, expected an integer from 2 to 8"},
    {"v4_top_entries_huge",
     "index_topk: is 4611686018427387904, expected an integer from 1 to 1048576"},
    {"v4_top_entries_zero", "index_topk: is 0, expected an integer from 1 to 1048576"},
    {"v4_top_k_above_experts",
     "num_experts_per_tok: must be at most n_routed_experts (6), found 7"},
    {"v4_two_shared_experts", "n_shared_experts: expected 1", kUnsupported},
    {"v4_unknown", "index_share_layers: not known to this family", kUnsupported},
    {"v4_vocab_huge", "vocab_size: is 2147483648, expected an integer from 1 to 4194304"},
    {"v4_window_zero", "sliding_window: is 0, expected an integer from 1 to 4294967296"},
};

TEST(ModelConfigCorpus, RefusesEachMalformedConfigForItsOwnReason) {
  std::set<std::string> rest;
  for (const auto& entry : fs::directory_iterator(folder())) {
    if (!entry.path().filename().string().starts_with("good_"))
      rest.insert(entry.path().stem().string());
  }
  for (const Row& row : kMalformed) {
    rest.erase(row.name);
    const auto arch = read(row.name);
    ASSERT_FALSE(arch.ok()) << row.name << " was accepted";
    EXPECT_STREQ(to_string(arch.error().code), to_string(row.code))
        << row.name << ": " << arch.error().text();
    EXPECT_THAT(arch.error().text(), ::testing::HasSubstr(row.fragment));
    EXPECT_THAT(arch.error().text(), ::testing::HasSubstr(std::string(row.name) + ".json"))
        << "the message names the file";
    EXPECT_LT(arch.error().text().size(), 8000u) << row.name;
    EXPECT_FALSE(arch.error().remedy.empty()) << row.name << ": " << arch.error().text();
  }
  EXPECT_THAT(rest, ::testing::IsEmpty()) << "files without a row";
}

// One letter a layer: S and F own their keys, s and f read those of another layer.
struct Shape {
  std::string schedule;
  std::vector<int64_t> sources;  // the layer whose keys each layer reads
  std::vector<const AttentionSpec*> attention;
};

Shape shape_of(const Architecture& arch) {
  Shape shape;
  for (const Block& block : arch.blocks) {
    const auto* s = attention_of(block.mixer);
    if (s == nullptr) continue;
    const char letter = s->window == kUnbounded ? 'F' : 'S';
    shape.schedule += s->writes_state() ? letter : static_cast<char>(letter - 'A' + 'a');
    shape.sources.push_back(arch.state(s->state).layer);
    shape.attention.push_back(s);
  }
  return shape;
}

bool declares(const Architecture& arch, const std::string& tensor) {
  return std::any_of(arch.tensors.begin(), arch.tensors.end(),
                     [&](const TensorSpec& t) { return t.name == tensor; });
}

std::vector<int64_t> mlp_widths(const Architecture& arch) {
  std::vector<int64_t> widths;
  for (const Block& block : arch.blocks) {
    if (const auto* mlp = block.mixer.as<GatedMlpSpec>()) widths.push_back(mlp->width);
  }
  return widths;
}

Architecture good(const std::string& name) {
  auto arch = read("good_" + name);
  EXPECT_TRUE(arch.ok()) << arch.error().text();
  return arch.ok() ? std::move(*arch) : Architecture{};
}

TEST(ModelConfigCorpus, AcceptsEveryGoodConfig) {
  for (const auto& entry : fs::directory_iterator(folder())) {
    const std::string name = entry.path().stem().string();
    if (!name.starts_with("good_")) continue;
    const auto arch = read(name);
    EXPECT_TRUE(arch.ok()) << arch.error().text();
  }
}

// Published parameter counts without the keys and values that sharing layers never read, and
// without layer scalars.
TEST(ModelConfigCorpus, PublishedSizesHaveTheirPublishedParameters) {
  const std::pair<const char*, uint64_t> kCounts[] = {{"e2b", 4'647'449'891 - 18'880'512 - 35},
                                                      {"e4b", 7'518'069'034 - 55'055'616 - 42},
                                                      {"unified_12b", 11'907'350'320 - 48},
                                                      {"a4b_26b", 25'233'141'790 - 30},
                                                      {"gemma3_270m", 268'098'176},
                                                      {"gemma3_1b", 999'885'952},
                                                      {"gemma3_4b", 3'880'263'168},
                                                      {"gemma3_12b", 11'766'034'176},
                                                      {"gemma3_27b", 27'009'346'304}};
  for (const auto& [name, count] : kCounts)
    EXPECT_EQ(total_parameters(parameter_pieces(good(name))), count) << name;
}

TEST(ModelConfigCorpus, SharingLayersReadTheLastOwnerOfTheirKind) {
  const auto check = [](const char* name, size_t first_shared, int64_t sliding, int64_t full) {
    const Architecture arch = good(name);
    const Shape shape = shape_of(arch);
    for (size_t l = 0; l < shape.sources.size(); ++l) {
      const bool is_full = shape.attention[l]->window == kUnbounded;
      EXPECT_EQ(shape.sources[l], l < first_shared ? static_cast<int64_t>(l)
                                  : is_full        ? full
                                                   : sliding)
          << name << ", layer " << l;
      EXPECT_EQ(shape.attention[l]->writes_state(), l < first_shared) << name << ", layer " << l;
    }
  };
  check("e2b", 15, 13, 14);
  check("e4b", 24, 22, 23);
  check("unified_12b", 48, 0, 0);
  const Architecture odd = good("odd_sharing");
  EXPECT_EQ(shape_of(odd).schedule, "SFSSfsf");
  EXPECT_EQ(shape_of(odd).sources, (std::vector<int64_t>{0, 1, 2, 3, 1, 3, 1}));
  for (const char* name : {"shared_null", "shared_missing"})
    EXPECT_EQ(shape_of(good(name)).schedule, "SFSF") << name;
}

TEST(ModelConfigCorpus, LayerTypesFollowTheReferencesRules) {
  const std::pair<const char*, const char*> kSchedules[] = {
      {"flat", "SFSF"},
      {"layer_types_missing", "SSSSSFSSSSSFF"},
      {"last_layer_sliding", "SFSF"},
      {"window_pattern", "SFSF"},
      {"one_layer", "F"},
      {"gemma3_1b", "SSSSSFSSSSSFSSSSSFSSSSSFSS"}};  // Gemma 3 leaves the last layer as it is
  for (const auto& [name, schedule] : kSchedules)
    EXPECT_EQ(shape_of(good(name)).schedule, schedule) << name;
}

TEST(ModelConfigCorpus, HeadsOfFullLayers) {
  struct Heads {
    const char* name;
    int64_t head_dim, n_kv_heads;
    bool has_v_proj;
  };
  for (const Heads& h :
       {Heads{"flat", 16, 2, true}, Heads{"global_head_dim_null", 8, 2, true},
        Heads{"global_head_dim_zero", 8, 2, true}, Heads{"global_head_dim_missing", 512, 2, true},
        Heads{"global_head_dim_equal", 8, 2, true},
        Heads{"global_kv_heads_without_k_eq_v", 16, 2, true},
        Heads{"global_kv_heads", 16, 1, false}, Heads{"overrides", 32, 1, true}}) {
    const Architecture arch = good(h.name);
    const AttentionSpec& full = *shape_of(arch).attention[1];
    EXPECT_EQ(full.head_dim, h.head_dim) << h.name;
    EXPECT_EQ(full.n_kv_heads, h.n_kv_heads) << h.name;
    EXPECT_EQ(full.v_proj != kNone, h.has_v_proj) << h.name;
    const AttentionSpec& sliding = *shape_of(arch).attention[0];
    EXPECT_TRUE(sliding.head_dim == 8 && sliding.n_kv_heads == 2 && sliding.v_proj != kNone)
        << h.name;
  }
  const Architecture overrides = good("overrides");
  EXPECT_EQ(shape_of(overrides).attention[3]->head_dim, 16);
  EXPECT_EQ(shape_of(overrides).attention[3]->n_kv_heads, 2);
}

TEST(ModelConfigCorpus, PerLayerEmbeddingsWhereTheConfigOrItsClassSaysSo) {
  EXPECT_TRUE(declares(good("ple_missing"), "embed_tokens_per_layer.weight"))
      << "the class default is 256";
  for (const char* name : {"flat", "ple_null", "ple_missing_unified"})
    EXPECT_FALSE(declares(good(name), "embed_tokens_per_layer.weight")) << name;
}

TEST(ModelConfigCorpus, OnlySharingLayersAreDoubleWide) {
  EXPECT_EQ(mlp_widths(good("double_wide_unshared")), std::vector<int64_t>(4, 24));
  const std::vector<int64_t> widths = mlp_widths(good("e2b"));
  ASSERT_EQ(widths.size(), 35u);
  for (size_t l = 0; l < widths.size(); ++l) EXPECT_EQ(widths[l], l < 15 ? 6144 : 12288) << l;
}

TEST(ModelConfigCorpus, ExpertsWhereTheyAreSwitchedOn) {
  EXPECT_FALSE(declares(good("experts_null"), "layers.0.router.scale"));
  const Architecture legacy = good("legacy_expert_names");
  const auto* parallel = legacy.blocks[1].mixer.as<ParallelSpec>();
  ASSERT_NE(parallel, nullptr);
  const auto& moe = *parallel->branches.back().mixer.as<MoeSpec>();
  EXPECT_TRUE(moe.n_experts == 4 && moe.top_k == 2 && moe.width == 8);
}

TEST(ModelConfigCorpus, RotationOfEachGeneration) {
  const Architecture partial = good("partial_rotary");
  EXPECT_EQ(shape_of(partial).attention[1]->rope.live_pairs, 4);  // int(0.3 * 32 // 2)
  EXPECT_EQ(shape_of(partial).attention[1]->rope.n_pairs, 16);
  const Architecture e2b = good("e2b");
  EXPECT_EQ(shape_of(e2b).attention[4]->rope, (RopeSpec{256, 64, 512, 1e6, 1.0}));
  EXPECT_EQ(shape_of(e2b).attention[0]->rope, (RopeSpec{128, 128, 256, 1e4, 1.0}));
  const Architecture g3 = good("gemma3_4b");
  EXPECT_EQ(shape_of(g3).attention[5]->rope, (RopeSpec{128, 128, 256, 1e6, 8.0}));
  EXPECT_EQ(shape_of(g3).attention[0]->rope, (RopeSpec{128, 128, 256, 1e4, 1.0}));
  const Architecture new_spelling = good("gemma3_new_rope");
  EXPECT_EQ(shape_of(new_spelling).attention[5]->rope, (RopeSpec{128, 128, 256, 1e6, 8.0}));
  EXPECT_EQ(shape_of(new_spelling).attention[0]->rope, (RopeSpec{128, 128, 256, 5e3, 1.0}));
}

TEST(ModelConfigCorpus, RotationOfEveryType) {
  const auto full = [](const char* name) {
    const Architecture arch = good(name);
    return shape_of(arch).attention[1]->rope;
  };
  const RopeSpec yarn = full("rope_yarn");
  EXPECT_TRUE(std::holds_alternative<RopeRamp>(yarn.stretch));
  EXPECT_FLOAT_EQ(yarn.attention_factor,
                  static_cast<float>((0.1 * std::log(4.0) + 1) / (0.05 * std::log(4.0) + 1)));
  const RopeSpec exact = full("rope_type_stray");
  EXPECT_NE(std::get<RopeRamp>(exact.stretch), std::get<RopeRamp>(yarn.stretch))
      << "truncate stands beside the objects";
  EXPECT_EQ(full("rope_llama3").stretch, (RopeStretch{RopeBands{1, 4, 64}}));
  EXPECT_EQ(full("rope_dynamic").stretch, RopeStretch{RopeGrowth{131072}});
  EXPECT_EQ(std::get<RopeDivisors>(full("rope_longrope").stretch).limit, 64);
  EXPECT_EQ(good("rope_yarn_beyond").max_positions, 128) << "as far as the stretched angles reach";
  EXPECT_EQ(good("rope_yarn").max_positions, 131072);
  for (const char* name : {"gemma3_type", "gemma3_scaling_over_parameters"}) {
    const Architecture arch = good(name);
    EXPECT_EQ(shape_of(arch).attention[5]->rope.factor, 8.0) << name;
    EXPECT_EQ(shape_of(arch).attention[0]->rope.factor, 1.0) << name;
  }
  const Architecture over = good("gemma3_scaling_over_parameters");
  EXPECT_EQ(shape_of(over).attention[5]->rope.theta, 2e6);
}

// What tools leave behind changes nothing that is planned.
TEST(ModelConfigCorpus, LeftoversChangeNothing) {
  const auto planned = [](const char* name) {
    return plan_json(*make_plan(good(name), {.context = 1000, .memory = uint64_t{1} << 30})).dump();
  };
  for (const char* name : {"leftovers", "leftovers_nested", "rope_scaling_false", "experts_zero"})
    EXPECT_EQ(planned(name), planned("flat")) << name;
}

TEST(ModelConfigCorpus, Gemma3KeepsItsOwnNormsScalesAndHeads) {
  const Architecture arch = good("gemma3_27b");
  EXPECT_FLOAT_EQ(shape_of(arch).attention[0]->scale, 1.0f / std::sqrt(168.0f));
  EXPECT_FALSE(shape_of(arch).attention[0]->v_norm.has_value());
  EXPECT_FALSE(declares(arch, "layers.0.layer_scalar"));
  EXPECT_EQ(arch.weight(arch.head.norm.weight).offset, 1.0f);
  EXPECT_FALSE(arch.head.softcap.has_value());
  const Architecture small = good("gemma3_1b");
  EXPECT_FLOAT_EQ(shape_of(small).attention[0]->scale, 1.0f / 16.0f);
  EXPECT_EQ(shape_of(small).attention[0]->window, 512);
}

TEST(ModelConfigCorpus, Zaya1ListsWithAnEntryAHalfLayerGiveTheLatentsNumbers) {
  for (const char* name : {"zaya_november", "zaya_november_numbers"}) {
    const Architecture arch = good(name);
    ASSERT_EQ(arch.blocks.size(), 4u) << name;
    const auto& cca = *arch.blocks[2].mixer.as<CcaSpec>();
    EXPECT_EQ(cca.attention.n_heads, 4) << name;
    EXPECT_EQ(cca.attention.n_kv_heads, 2) << name;
    EXPECT_EQ(cca.attention.head_dim, 4) << name;
    EXPECT_EQ(cca.attention.rope.theta, 1e6) << name;
    const auto& moe = *arch.blocks[3].mixer.as<MoeSpec>();
    EXPECT_TRUE(moe.n_experts == 3 && moe.width == 8) << name;
    const auto& router = std::get<MlpRouterSpec>(moe.router);
    EXPECT_TRUE(router.width == 8 && router.norm.eps == 1e-6f) << name;
    EXPECT_EQ(arch.blocks[3].pre_norm->eps, 1e-5f) << name;
    EXPECT_TRUE(declares(arch, "layers.3.zaya_block.experts.local_experts.2.linear_fc1.weight"))
        << name;
  }
  const Architecture rope = good("zaya_november_rope");
  EXPECT_EQ(shape_of(rope).attention[1]->rope.theta, 2e6);
  EXPECT_EQ(std::get<MlpRouterSpec>(rope.blocks[1].mixer.as<MoeSpec>()->router).norm.eps, 1e-4f);
}

// What the layouts mean differs where a token skips the experts; what they cost does not.
TEST(ModelConfigCorpus, Zaya1LayoutsDifferInSkippedTokensAndInNothingPlanned) {
  const Architecture native = good("zaya"), legacy = good("zaya_legacy"),
                     clamped = good("zaya_legacy_clamp");
  EXPECT_EQ(native.blocks[1].mixer.as<MoeSpec>()->skipped, Skipped::kNothing);
  EXPECT_EQ(legacy.blocks[1].mixer.as<MoeSpec>()->skipped, Skipped::kItself);
  EXPECT_FALSE(legacy.blocks[0].mixer.as<CcaSpec>()->log_temperature);
  const auto& temperature = clamped.blocks[0].mixer.as<CcaSpec>()->log_temperature;
  ASSERT_TRUE(temperature);
  EXPECT_TRUE(temperature->low == 1e-7f && temperature->high == 2.0f);
  const auto planned = [](const Architecture& arch) {
    const std::string json =
        plan_json(*make_plan(arch, {.context = 1000, .memory = uint64_t{1} << 30})).dump();
    return std::regex_replace(json, std::regex(", or itself"),
                              "");  // the one word of it in the description
  };
  EXPECT_EQ(planned(legacy), planned(native));
  EXPECT_EQ(planned(clamped), planned(native));
}

const CompressedAttentionSpec& compressed(const Architecture& arch, size_t layer) {
  return *arch.blocks[2 * layer].mixer.as<CompressedAttentionSpec>();
}

// Layers whose experts are named by token ids.
std::string hash_layers(const Architecture& arch) {
  std::string layers;
  for (size_t b = 1; b < arch.blocks.size(); b += 2) {
    const auto& moe =
        *arch.blocks[b].mixer.as<ParallelSpec>()->branches.front().mixer.as<MoeSpec>();
    layers += std::get<LinearRouterSpec>(moe.router).token_experts != kNone ? '#' : '.';
  }
  return layers;
}

TEST(ModelConfigCorpus, DeepseekV4IsOneModelInEverySpelling) {
  const auto planned = [](const Architecture& arch) {
    return plan_json(*make_plan(arch, {.context = 1000, .memory = uint64_t{1} << 30})).dump();
  };
  const Architecture release = good("v4");
  EXPECT_EQ(layer_schedule(release), "SCHC");
  EXPECT_EQ(hash_layers(release), "#...");
  for (const char* name :
       {"v4_modern", "v4_legacy", "v4_ratios_exact", "v4_ratios_of_draft_layers"}) {
    const Architecture arch = good(name);
    EXPECT_EQ(planned(arch), planned(release)) << name;
    EXPECT_EQ(hash_layers(arch), hash_layers(release)) << name;
    for (size_t layer = 0; layer < 4; ++layer)
      EXPECT_EQ(compressed(arch, layer).attention.rope, compressed(release, layer).attention.rope)
          << name << " layer " << layer;
  }
}

TEST(ModelConfigCorpus, DeepseekV4LayersAndRates) {
  EXPECT_EQ(layer_schedule(good("v4_both_lists")), "HHCH") << "names go before numbers";
  EXPECT_EQ(layer_schedule(good("v4_one_layer")), "S");
  EXPECT_EQ(hash_layers(good("v4_hash_layers_beyond")), "####");
  EXPECT_EQ(hash_layers(good("v4_no_hash_layers")), "....");
  EXPECT_EQ(hash_layers(good("v4_hash_layers_default")), "###.");
  for (const char* name : {"v4_rates", "v4_rates_legacy"}) {
    const Architecture arch = good(name);
    EXPECT_FALSE(compressed(arch, 0).compressor.has_value()) << name;
    EXPECT_EQ(compressed(arch, 1).compressor->ratio, 2) << name;
    EXPECT_EQ(compressed(arch, 1).indexer->keys.ratio, 2) << name;
    EXPECT_EQ(compressed(arch, 2).compressor->ratio, 16) << name;
    EXPECT_FALSE(compressed(arch, 2).indexer.has_value()) << name;
  }
  EXPECT_EQ(good("v4_two_streams").n_streams, 2);
  EXPECT_EQ(good("v4_eight_streams").n_streams, 8);
  EXPECT_TRUE(declares(good("v4"), "head.weight"));
  EXPECT_FALSE(declares(good("v4_tied"), "head.weight"));
}

TEST(ModelConfigCorpus, DeepseekV4AnglesOfWindowsAndOfEntries) {
  const RopeSpec main{
      .n_pairs = 4, .live_pairs = 4, .denominator = 8, .theta = 1e4, .neighbours_at_end = true};
  RopeSpec entries{.n_pairs = 4,
                   .live_pairs = 4,
                   .denominator = 8,
                   .theta = 1.6e5,
                   .factor = 16.0,
                   .stretch = RopeRamp{1, 4},
                   .neighbours_at_end = true};
  const Architecture arch = good("v4");
  EXPECT_EQ(compressed(arch, 0).attention.rope, main);
  EXPECT_EQ(compressed(arch, 1).attention.rope, entries);
  EXPECT_EQ(compressed(arch, 2).attention.rope, entries);
  entries.attention_factor = static_cast<float>(0.1 * std::log(16.0) + 1.0);
  EXPECT_EQ(compressed(good("v4_attention_factor_left_out"), 1).attention.rope, entries)
      << "left out of nested fields it follows from the factor";
  EXPECT_EQ(compressed(good("v4_attention_factor_null"), 1).attention.rope.attention_factor,
            entries.attention_factor)
      << "null beside flat fields too";
  EXPECT_EQ(compressed(good("v4_mscale"), 1).attention.rope.attention_factor, 1.0f)
      << "flat fields multiply nothing";
  const RopeSpec plain{
      .n_pairs = 4, .live_pairs = 4, .denominator = 8, .theta = 1.6e5, .neighbours_at_end = true};
  RopeSpec linear = plain;
  linear.factor = 2.0;
  for (const char* name : {"v4_linear", "v4_scaling_over_parameters"}) {
    EXPECT_EQ(compressed(good(name), 1).attention.rope, linear) << name;
    EXPECT_EQ(compressed(good(name), 0).attention.rope, main) << name;
  }
  EXPECT_EQ(compressed(good("v4_scaling_empty"), 1).attention.rope,
            compressed(arch, 1).attention.rope);
  EXPECT_EQ(compressed(good("v4_no_scaling"), 1).attention.rope, plain);
  EXPECT_EQ(compressed(good("v4_rope_eighth"), 0).attention.rope.n_pairs, 1)
      << "an eighth of 16 channels";
}

// Lists that the reference writes as null are as good as left out, also where the config is written
// anew with fewer layers.
TEST(ModelConfigCorpus, DeepseekV4ConfigsAreCutToTheirFirstLayers) {
  const std::string path = (folder() / "good_v4.json").string();
  auto config = read_json_file(path, size_t{1} << 20);
  ASSERT_TRUE(config.ok());
  for (const char* list : {"layer_types", "mlp_layer_types"}) config->set(list, Json());
  for (int64_t n : {0, 1, 3, 9}) {
    const auto cut = rewrite_config({*config, path}, n, "float32");
    ASSERT_TRUE(cut.ok()) << cut.error().text();
    const auto arch = read_architecture(*cut, path);
    ASSERT_TRUE(arch.ok()) << arch.error().text();
    EXPECT_EQ(layer_schedule(*arch),
              std::string("SCHC").substr(0, n == 0 ? 4 : static_cast<size_t>(n)));
  }
}

TEST(ModelConfigCorpus, WindowsAndHeads) {
  EXPECT_EQ(shape_of(good("window_one")).attention[0]->window, 1);
  EXPECT_TRUE(declares(good("laguna"), "layers.1.mlp.experts.3.down_proj.weight"));
  EXPECT_TRUE(declares(good("zaya"), "layers.1.mlp.experts.gate_up_proj"));
  EXPECT_TRUE(declares(good("zaya_legacy"),
                       "layers.3.zaya_block.experts.local_experts.2.linear_fc1.weight"));
  EXPECT_EQ(good("laguna_per_element").blocks[0].mixer.as<AttentionSpec>()->gate->per_element,
            true);
  EXPECT_TRUE(declares(good("untied"), "lm_head.weight"));
  EXPECT_FALSE(declares(good("flat"), "lm_head.weight"));
}

}  // namespace
}  // namespace longhaul
