#!/usr/bin/env python3
"""Writes tests/corpus/model_config: config.json files that a family must refuse, and corner cases that it must accept (good_*).

Standard library only, no randomness: running it again changes nothing. What each file must give stands in
tests/corpus/model_config_corpus_test.cc; the files seed the fuzz target of the same name.
"""
import json
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests" / "corpus" / "model_config"
S, F = "sliding_attention", "full_attention"

# A small Gemma 4 text model in the flat spelling; None as an override takes the key away, NULL writes null.
BASE = {"model_type": "gemma4_text", "vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "global_head_dim": 16, "sliding_window": 6,
        "layer_types": [S, F, S, F], "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0}
MOE = {"enable_moe_block": True, "num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 8}
NULL = object()


def config(base: dict = BASE, **changes) -> str:
    merged = {**base, **changes}
    return json.dumps({k: None if v is NULL else v for k, v in merged.items() if v is not None})


def nested(text: dict, **top) -> str:
    text = {**text, "model_type": top.get("inner", "gemma4_text")}
    return json.dumps({"model_type": "gemma4", **nulls(top), "text_config": nulls(text)})


def nulls(fields: dict) -> dict:
    return {k: None if v is NULL else v for k, v in fields.items()}


def rope(**full) -> dict:
    return {F: full, S: {"rope_type": "default", "rope_theta": 1e4}}


MALFORMED = {
    # what the file is
    "empty": "", "not_json": "{'model_type'}", "not_an_object": "[]", "scalar": "4", "truncated": config()[:-9],
    "deep": '{"model_type": ' + "[" * 100 + "]" * 100 + "}", "duplicate_key": '{"model_type": "gemma4_text", "model_type": "gemma4_text"}',
    "duplicate_key_nested": '{"model_type": "gemma4", "text_config": {"head_dim": 8, "head_dim": 16}}',
    "model_type_missing": config(model_type=None), "model_type_number": config(model_type=4), "model_type_unknown": config(model_type="gemma5"),
    "model_type_escape_codes": config(model_type="\x1b]0;x\x07"), "drafter": config(model_type="gemma4_assistant"),
    "text_config_list": '{"model_type": "gemma4", "text_config": []}', "text_config_string": '{"model_type": "gemma4", "text_config": "flat"}',
    "text_config_other_family": '{"model_type": "gemma4", "text_config": {"model_type": "gemma3_text"}}',
    "unknown_field": config(rope_scale_base=3), "unknown_field_nested": json.dumps({"model_type": "gemma4", "text_config": {**BASE, "new_trick": True}}),
    "unknown_field_beside_text_config": json.dumps({"model_type": "gemma4", "residual_multiplier": 16, "text_config": BASE}),
    "quantization": config(quantization_config={"quant_method": "fp8"}),
    "many_unknown_fields": config(**{f"field_{i}": i for i in range(100)}),
    # sizes
    "hidden_size_zero": config(hidden_size=0), "hidden_size_negative": config(hidden_size=-16), "hidden_size_huge": config(hidden_size=2**40),
    "hidden_size_beyond_64_bits": config(hidden_size=2**70), "hidden_size_float": config(hidden_size=16.0), "hidden_size_string": config(hidden_size="16"),
    "hidden_size_list": config(hidden_size=[16]), "vocab_size_negative": config(vocab_size=-1), "vocab_size_huge": config(vocab_size=2**31),
    "intermediate_size_zero": config(intermediate_size=0), "layers_zero": config(num_hidden_layers=0, layer_types=[]),
    "layers_huge": config(num_hidden_layers=2**31, layer_types=None), "layers_negative": config(num_hidden_layers=-4, layer_types=None),
    "positions_zero": config(max_position_embeddings=0), "eps_negative": config(rms_norm_eps=-1e-6),
    "eps_infinite": config().replace('"vocab_size"', '"rms_norm_eps": 1e999, "vocab_size"'), "window_zero": config(sliding_window=0),
    "window_negative": config(sliding_window=-1), "softcap_zero": config(final_logit_softcapping=0.0), "softcap_string": config(final_logit_softcapping="30"),
    # heads
    "heads_zero": config(num_attention_heads=0), "kv_heads_zero": config(num_key_value_heads=0), "heads_huge": config(num_attention_heads=2**20),
    "heads_not_multiple": config(num_key_value_heads=3), "kv_heads_above_heads": config(num_key_value_heads=8), "head_dim_odd": config(head_dim=7),
    "head_dim_zero": config(head_dim=0), "head_dim_huge": config(head_dim=2**20), "global_head_dim_odd": config(global_head_dim=15),
    "global_head_dim_string": config(global_head_dim="16"),
    "global_kv_heads_not_multiple": config(attention_k_eq_v=True, num_global_key_value_heads=3), "k_eq_v_string": config(attention_k_eq_v="yes"),
    # layers
    "layer_types_short": config(layer_types=[S, F]), "layer_types_long": config(layer_types=[S, F, S, S, F]), "layer_types_unknown": config(layer_types=[S, "chunked_attention", S, F]),
    "layer_types_number": config(layer_types=[S, 1, S, F]), "layer_types_string": config(layer_types=S), "window_pattern_zero": config(layer_types=None, sliding_window_pattern=0),
    "overrides_list": config(per_layer_config=[]), "overrides_name": config(per_layer_config={"first": {"head_dim": 8}}),
    "overrides_beyond": config(per_layer_config={"4": {"head_dim": 8}}), "overrides_negative": config(per_layer_config={"-1": {"head_dim": 8}}),
    "overrides_empty_key": config(per_layer_config={"": {"head_dim": 8}}), "overrides_long_key": config(per_layer_config={"0" * 40 + "1": {"head_dim": 8}}),
    "overrides_number": config(per_layer_config={"1": 8}), "overrides_odd": config(per_layer_config={"1": {"head_dim": 9}}),
    "overrides_unknown_field": config(per_layer_config={"1": {"head_dim": 8, "hidden_size": 5}}), "overrides_twice": config(per_layer_config={"1": {"head_dim": 8}, "01": {"head_dim": 16}}),
    "overrides_too_many": config(per_layer_config={str(i): {} for i in range(300)}),
    # sharing
    "shared_all": config(num_kv_shared_layers=4), "shared_more": config(num_kv_shared_layers=9), "shared_negative": config(num_kv_shared_layers=-1),
    "shared_without_producer": config(layer_types=[S, S, S, F], num_kv_shared_layers=1), "shared_without_sliding_producer": config(layer_types=[F, F, S, F], num_kv_shared_layers=2),
    "shared_heads_differ": config(num_kv_shared_layers=1, per_layer_config={"1": {"head_dim": 16}, "3": {"head_dim": 32}}),
    # rope
    "rope_type_unknown": config(rope_parameters=rope(rope_type="mrope", factor=8.0)), "rope_yarn_bounds": config(rope_parameters=rope(rope_type="yarn", factor=8.0, original_max_position_embeddings=0)),
    "rope_linear_without_factor": config(rope_parameters=rope(rope_type="linear")), "rope_dynamic_negative": config(rope_parameters=rope(rope_type="dynamic", factor=-1.0)),
    "rope_longrope_short": config(rope_parameters=rope(rope_type="longrope", short_factor=[1.0] * 8, long_factor=[1.0] * 7)),
    "rope_longrope_huge": config(rope_parameters=rope(rope_type="longrope", short_factor=[1.0] * 8, long_factor=[1.0] * 5000)),
    "rope_longrope_text": config(rope_parameters=rope(rope_type="longrope", short_factor=[1.0] * 8, long_factor=["1"] * 8)),
    "rope_llama3_crossed": config(rope_parameters=rope(rope_type="llama3", factor=8.0, low_freq_factor=4.0, high_freq_factor=1.0)),
    "rope_truncate_number": config(rope_parameters={**rope(rope_type="yarn", factor=2.0), "truncate": 1}), "rope_scaling_true": config(rope_scaling=True), "rope_type_number": config(rope_parameters=rope(rope_type=1)),
    "rope_list": config(rope_parameters=[]), "rope_theta_zero": config(rope_parameters=rope(rope_type="default", rope_theta=0)),
    "rope_factor_zero": config(rope_parameters=rope(rope_type="linear", factor=0.0)), "rope_partial_above_one": config(rope_parameters=rope(rope_type="proportional", partial_rotary_factor=1.5)),
    "rope_partial_default": config(rope_parameters=rope(rope_type="default", partial_rotary_factor=0.5)),
    "rope_unknown_field": config(rope_parameters=rope(rope_type="yarn", factor=2.0, attn_factor=0.9)), "rope_flat": config(rope_parameters={"rope_type": "linear", "factor": 8.0}),
    "window_null": config(sliding_window=NULL), "copy_differs": nested(BASE, hidden_size=32), "quantised_nested": nested({**BASE, "quantization_config": {"quant_method": "gptq"}}),
    "quantised_mlx": config(quantization={"group_size": 64, "bits": 4}), "no_causality": config(is_causal=False), "encoder_decoder": config(is_encoder_decoder=True),
    "unknown_field_key_escape_codes": config(**{"\x1b]0;x\x07": 1}), "rope_unknown_layer_type": config(rope_parameters={"chunked_attention": {"rope_type": "default"}}),
    # what we do not compute
    "bidirectional_all": config(use_bidirectional_attention="all"), "bidirectional_gemma3": json.dumps({"model_type": "gemma3_text", "use_bidirectional_attention": True}),
    "attention_bias": config(attention_bias=True), "activation_silu": config(hidden_activation="silu"), "attention_softcap": config(attn_logit_softcapping=50.0),
    # experts and per-layer embeddings
    "moe_without_counts": config(enable_moe_block=True), "moe_without_width": config(**{**MOE, "moe_intermediate_size": None}),
    "moe_counts_null": config(**{**MOE, "num_experts": NULL, "top_k_experts": NULL}), "moe_top_k_above_experts": config(**{**MOE, "top_k_experts": 5}),
    "moe_experts_zero": config(**{**MOE, "num_experts": 0}), "moe_experts_huge": config(**{**MOE, "num_experts": 2**32}),
    "ple_negative": config(hidden_size_per_layer_input=-1), "ple_huge": config(hidden_size_per_layer_input=2**30),
    "ple_no_rows": config(hidden_size_per_layer_input=8, vocab_size_per_layer_input=0),
}


def gemma4(layers: int, period: int, **sizes) -> dict:
    types = [F if (i + 1) % period == 0 else S for i in range(layers)]
    return {"model_type": "gemma4_text", "num_hidden_layers": layers, "layer_types": types, "head_dim": 256, "global_head_dim": 512, "num_global_key_value_heads": None,
            "vocab_size": 262144, "final_logit_softcapping": 30.0, "rope_parameters": {S: {"rope_type": "default", "rope_theta": 1e4},
            F: {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.25}}, "num_experts": None, "top_k_experts": None, **sizes}


E2B = gemma4(35, 5, hidden_size=1536, intermediate_size=6144, num_attention_heads=8, num_key_value_heads=1, num_kv_shared_layers=20, use_double_wide_mlp=True,
             hidden_size_per_layer_input=256, sliding_window=512)
E4B = gemma4(42, 6, hidden_size=2560, intermediate_size=10240, num_attention_heads=8, num_key_value_heads=2, num_kv_shared_layers=18, use_double_wide_mlp=False,
             hidden_size_per_layer_input=256, sliding_window=512)
LARGE = {"hidden_size": 5376, "intermediate_size": 21504, "num_hidden_layers": 62, "num_attention_heads": 32, "num_key_value_heads": 16, "head_dim": 128}


def gemma3(**text) -> str:
    scaled = {"rope_scaling": {"factor": 8.0, "rope_type": "linear"}}
    return json.dumps({"model_type": "gemma3", "image_token_index": 262144, "vision_config": {"hidden_size": 1152},
                       "text_config": {"model_type": "gemma3_text", "sliding_window": 1024, **scaled, **text}})


# What tools leave behind, and copies of text fields beside text_config.
LEFTOVERS = {"unsloth_fixed": True, "unsloth_version": "2026.9.1", "_attn_implementation_autoset": True, "transformers.js_config": {"dtype": "q4"}, "quantization_config": NULL,
             "cache_implementation": "hybrid", "pruned_heads": {}, "rope_scaling": NULL, "use_bfloat16": False, "classifier_dropout": 0.1, "tokenizer_class": "GemmaTokenizer",
             "pad_token": "<pad>", "sep_token_id": NULL, "cross_attention_hidden_size": NULL, "tie_encoder_decoder": False, "tf_legacy_loss": False, "typical_p": 1.0, "top_k": 50,
             "merge_method": "slerp", "mlp_bias": False, "num_mtp_layers": 1, "attn_logit_softcapping": NULL}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "mscale": 1.0, "mscale_all_dim": 0.5}

GOOD = {
    "leftovers": config(**LEFTOVERS), "leftovers_nested": nested({**BASE, **LEFTOVERS}, **LEFTOVERS, vocab_size=64, hidden_size=16, head_dim=8.0, layer_types=[S, F, S, F]),
    "experts_zero": config(enable_moe_block=False, num_experts=0, top_k_experts=0, moe_intermediate_size=0, use_bidirectional_attention=False),
    "window_null_all_full": config(layer_types=[F] * 4, sliding_window=NULL), "rope_yarn": config(rope_parameters=rope(**YARN)), "rope_type_stray": config(rope_parameters={**rope(**YARN), "rope_type": "default", "truncate": False}),
    "rope_yarn_beyond": config(max_position_embeddings=32, rope_parameters=rope(**YARN)), "rope_dynamic": config(rope_parameters=rope(rope_type="dynamic", factor=2.0)),
    "rope_llama3": config(rope_parameters=rope(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64)),
    "rope_longrope": config(rope_parameters=rope(rope_type="longrope", short_factor=[1.0] * 8, long_factor=[2.0] * 8, original_max_position_embeddings=64)),
    "rope_scaling_false": config(rope_scaling=False), "gemma3_type": json.dumps({"model_type": "gemma3_text", "rope_scaling": {"type": "linear", "factor": 8.0}}),
    "gemma3_scaling_over_parameters": json.dumps({"model_type": "gemma3_text", "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "rope_parameters": {F: {"rope_type": "default", "rope_theta": 2e6}}}),
    "e2b": nested(E2B, architectures=["Gemma4ForConditionalGeneration"], vision_config={}, audio_config=None), "e4b": nested(E4B),
    "unified_12b": json.dumps({"model_type": "gemma4_unified", "text_config": {**gemma4(48, 6, hidden_size=3840, intermediate_size=15360, num_attention_heads=16,
        num_key_value_heads=8, attention_k_eq_v=True, use_bidirectional_attention="vision"), "model_type": "gemma4_unified_text", "num_global_key_value_heads": 1}}),
    "a4b_26b": nested({**gemma4(30, 6, hidden_size=2816, intermediate_size=2112, num_attention_heads=16, num_key_value_heads=8, attention_k_eq_v=True, enable_moe_block=True,
        moe_intermediate_size=704, sliding_window=1024, hidden_size_per_layer_input=0), "num_global_key_value_heads": 2, "num_experts": 128, "top_k_experts": 8}),
    "flat": config(), "layer_types_missing": config(layer_types=None, num_hidden_layers=13), "last_layer_sliding": config(layer_types=[S, F, S, S]),
    "window_pattern": config(layer_types=None, sliding_window_pattern=2), "odd_sharing": config(layer_types=[S, F, S, S, F, S, F], num_hidden_layers=7, num_kv_shared_layers=3),
    "shared_null": config(num_kv_shared_layers=NULL), "shared_missing": config(num_kv_shared_layers=None), "double_wide_unshared": config(use_double_wide_mlp=True),
    "ple_null": config(hidden_size_per_layer_input=NULL), "ple_missing": config(hidden_size_per_layer_input=None), "ple_missing_unified": config(model_type="gemma4_unified_text", hidden_size_per_layer_input=None),
    "global_head_dim_null": config(global_head_dim=NULL), "global_head_dim_zero": config(global_head_dim=0), "global_head_dim_missing": config(global_head_dim=None),
    "global_head_dim_equal": config(global_head_dim=8), "global_kv_heads_without_k_eq_v": config(num_global_key_value_heads=1),
    "global_kv_heads": config(num_global_key_value_heads=1, attention_k_eq_v=True), "overrides": config(global_head_dim=None, per_layer_config={"01": {"head_dim": 32, "num_key_value_heads": 1}, "3": {"head_dim": 16}}),
    "experts_null": config(enable_moe_block=False, num_experts=NULL, top_k_experts=NULL, moe_intermediate_size=NULL),
    "legacy_expert_names": config(use_second_mlp_block=True, num_experts=4, top_k_experts=2, expert_intermediate_size=8), "one_layer": config(num_hidden_layers=1, layer_types=[S]),
    "window_one": config(sliding_window=1), "untied": config(tie_word_embeddings=False), "partial_rotary": config(global_head_dim=32, rope_parameters=rope(rope_type="proportional", partial_rotary_factor=0.3)),
    "gemma3_270m": json.dumps({"model_type": "gemma3_text", "hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 18, "num_attention_heads": 4, "num_key_value_heads": 1,
                               "head_dim": 256, "sliding_window": 512, "max_position_embeddings": 32768, "vocab_size": 262144, "_sliding_window_pattern": 6, "rope_local_base_freq": 10000.0,
                               "rope_theta": 1000000.0, "query_pre_attn_scalar": 256, "use_bidirectional_attention": False}),
    "gemma3_1b": json.dumps({"model_type": "gemma3_text", "hidden_size": 1152, "intermediate_size": 6912, "num_hidden_layers": 26, "num_attention_heads": 4, "num_key_value_heads": 1,
                             "sliding_window": 512, "sliding_window_pattern": 6, "max_position_embeddings": 32768, "vocab_size": 262144, "rope_scaling": None, "attn_logit_softcapping": None}),
    "gemma3_4b": gemma3(hidden_size=2560, intermediate_size=10240, num_hidden_layers=34), "gemma3_12b": gemma3(hidden_size=3840, intermediate_size=15360, num_hidden_layers=48,
        num_attention_heads=16, num_key_value_heads=8), "gemma3_27b": gemma3(**LARGE, query_pre_attn_scalar=168),
    "gemma3_new_rope": json.dumps({"model_type": "gemma3_text", "rope_parameters": {F: {"rope_type": "linear", "factor": 8.0}, S: {"rope_type": "default", "rope_theta": 5e3}}}),
    # the largest of everything: no sum over it may leave 64 bits, and no list of it take long
    "largest_dense": json.dumps({"model_type": "gemma4_text", "vocab_size": 2**22, "hidden_size": 2**17, "intermediate_size": 2**20, "num_hidden_layers": 256, "num_attention_heads": 1024,
        "num_key_value_heads": 1024, "head_dim": 4096, "global_head_dim": 4096, "sliding_window": 2**32, "max_position_embeddings": 2**32, "hidden_size_per_layer_input": 2**14,
        "vocab_size_per_layer_input": 2**22, "num_kv_shared_layers": 128, "use_double_wide_mlp": True}),
    "largest_moe": json.dumps({"model_type": "gemma4_text", "vocab_size": 2**22, "hidden_size": 2**17, "intermediate_size": 2**20, "num_hidden_layers": 256, "num_attention_heads": 1024,
        "num_key_value_heads": 1024, "head_dim": 4096, "global_head_dim": 4096, "hidden_size_per_layer_input": 2**14, "enable_moe_block": True, "num_experts": 256, "top_k_experts": 256,
        "moe_intermediate_size": 2**20}),
}

LAGUNA = {"model_type": "laguna", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
          "sliding_window": 8, "layer_types": [F, S, S], "num_attention_heads_per_layer": [4, 6, 8], "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8,
          "shared_expert_intermediate_size": 8}
ZAYA = {"model_type": "zaya", "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "num_experts": 3,
        "moe_intermediate_size": 8, "router_hidden_size": 8}


LEGACY_ZAYA = {**{k: v for k, v in ZAYA.items() if k not in ("moe_intermediate_size", "router_hidden_size")}, "cca": True, "num_hidden_layers": 4, "ffn_hidden_size": 16,
               "zaya_mlp_expansion": 8}
# The same in the schema of November 2025: an entry a half-layer, 8 heads of the full width 32 where the latent has 4.
NOVEMBER_ZAYA = {**{k: v for k, v in LEGACY_ZAYA.items() if k not in ("num_experts", "ffn_hidden_size", "head_dim")}, "num_hidden_layers": 120, "num_attention_heads": 8,
                 "zaya_layers": ["a", 3, "a", 3], "cca_num_q_heads": [4, 0, 4, 0], "num_query_groups_list": [2, 0, 2, 0], "ffn_hidden_size_list": [0, 16, 0, 16],
                 "zaya_mlp_expansion": [0, 8, 0, 8], "rope_theta": 1e6}


def other(base: dict, **changes) -> str:
    """A config of another family with some fields changed, or left out where None."""
    return json.dumps(nulls({k: v for k, v in {**base, **changes}.items() if v is not None}))


MALFORMED |= {
    "laguna_activation": other(LAGUNA, hidden_act="gelu"), "laguna_bias": other(LAGUNA, qkv_bias=True), "laguna_sinks": other(LAGUNA, swa_attention_sink_enabled=True),
    "laguna_gating_false": other(LAGUNA, gating=False), "laguna_gating_word": other(LAGUNA, gating="per-token"), "laguna_heads_not_multiple": other(LAGUNA, num_attention_heads_per_layer=[4, 5, 8]),
    "laguna_heads_short": other(LAGUNA, num_attention_heads_per_layer=[4, 6]), "laguna_window_zero": other(LAGUNA, sliding_window=0), "laguna_top_k": other(LAGUNA, num_experts_per_tok=5),
    "laguna_weight_on_input": other(LAGUNA, moe_apply_router_weight_on_input=True), "laguna_score": other(LAGUNA, moe_router_score_func="sqrtsoftplus"),
    "laguna_rope_type": other(LAGUNA, rope_parameters={F: {"rope_type": "longrope"}}), "laguna_unnormalised": other(LAGUNA, norm_topk_prob=False), "laguna_window_null": other(LAGUNA, sliding_window=NULL), "laguna_rope_odd": other(LAGUNA, rope_parameters={F: {"rope_type": "default", "partial_rotary_factor": 0.4}}),
    "laguna_experts_huge": other(LAGUNA, num_experts=10**6), "laguna_unknown": other(LAGUNA, attention_temperature=2.0), "laguna_dense_layer": other(LAGUNA, mlp_only_layers=[3]),
    "zaya_two_experts": other(ZAYA, num_experts_per_tok=2), "zaya_heads": other(ZAYA, num_attention_heads=3), "zaya_sliding_without_window": other(ZAYA, layer_types=["hybrid", "hybrid_sliding"]),
    "zaya_layer_type": other(ZAYA, layer_types=["hybrid", "mamba"]), "zaya_taps": other(ZAYA, cca_time0=0), "zaya_bias": other(ZAYA, attention_bias=True), "zaya_head_bias": other(ZAYA, lm_head_bias=True),
    "zaya_legacy_odd": other(LEGACY_ZAYA, num_hidden_layers=3), "zaya_legacy_clamp": other(LEGACY_ZAYA, clamp_temp=1),
    "zaya_legacy_without_skipping": other(LEGACY_ZAYA, zaya_use_mod=False), "zaya_legacy_activation": other(LEGACY_ZAYA, activation_func="gelu"),
    "zaya_legacy_rope_scaling": other(LEGACY_ZAYA, rope_scaling={"type": "linear", "factor": 4.0}), "zaya_legacy_groups": other(LEGACY_ZAYA, num_query_groups=4),
    "zaya_legacy_head_dims": other(LEGACY_ZAYA, kv_channels=16), "zaya_legacy_window": other(LEGACY_ZAYA, sliding_window=64),
    "zaya_legacy_experts_listed": other(LEGACY_ZAYA, zaya_layers=["a", 16, "a", 16]),
    "zaya_november_empty": other(NOVEMBER_ZAYA, zaya_layers=[]), "zaya_november_odd": other(NOVEMBER_ZAYA, zaya_layers=["a", 3, "a"]),
    "zaya_november_string": other(NOVEMBER_ZAYA, zaya_layers="a3a3"), "zaya_november_long": other(NOVEMBER_ZAYA, zaya_layers=["a", 3] * 257),
    "zaya_november_two_attentions": other(NOVEMBER_ZAYA, zaya_layers=["a", "a", 3, 3]), "zaya_november_experts_first": other(NOVEMBER_ZAYA, zaya_layers=[3, "a", 3, "a"]),
    "zaya_november_letter": other(NOVEMBER_ZAYA, zaya_layers=["a", 3, "m", 3]), "zaya_november_nested": other(NOVEMBER_ZAYA, zaya_layers=["a", [3], "a", 3]),
    "zaya_november_no_experts": other(NOVEMBER_ZAYA, zaya_layers=["a", 0, "a", 3]), "zaya_november_experts_huge": other(NOVEMBER_ZAYA, zaya_layers=["a", 2**40, "a", 3]),
    "zaya_november_experts_differ": other(NOVEMBER_ZAYA, zaya_layers=["a", 3, "a", 4]), "zaya_november_experts_elsewhere": other(NOVEMBER_ZAYA, num_experts=4),
    "zaya_november_heads_short": other(NOVEMBER_ZAYA, cca_num_q_heads=[4, 0]), "zaya_november_heads_long": other(NOVEMBER_ZAYA, cca_num_q_heads=[4, 0] * 3),
    "zaya_november_heads_differ": other(NOVEMBER_ZAYA, cca_num_q_heads=[4, 0, 6, 0]), "zaya_november_heads_misplaced": other(NOVEMBER_ZAYA, cca_num_q_heads=[4, 4, 4, 0]),
    "zaya_november_heads_zero": other(NOVEMBER_ZAYA, cca_num_q_heads=[0, 0, 4, 0]), "zaya_november_heads_negative": other(NOVEMBER_ZAYA, cca_num_q_heads=[-4, 0, 4, 0]),
    "zaya_november_heads_text": other(NOVEMBER_ZAYA, cca_num_q_heads=["4", 0, 4, 0]), "zaya_november_heads_null": other(NOVEMBER_ZAYA, cca_num_q_heads=[None, 0, 4, 0]),
    "zaya_november_full_heads": other(NOVEMBER_ZAYA, num_attention_heads=6), "zaya_november_head_size": other(NOVEMBER_ZAYA, hidden_size=36),
    "zaya_november_groups_differ": other(NOVEMBER_ZAYA, num_query_groups_list=[4, 0, 4, 0]), "zaya_november_groups_object": other(NOVEMBER_ZAYA, num_query_groups_list={"0": 2}),
    "zaya_november_widths_differ": other(NOVEMBER_ZAYA, ffn_hidden_size_list=[0, 16, 0, 32]), "zaya_november_width_one": other(NOVEMBER_ZAYA, ffn_hidden_size_list=[0, 1, 0, 1]),
    "zaya_november_widths_elsewhere": other(NOVEMBER_ZAYA, ffn_hidden_size=32), "zaya_november_routers_differ": other(NOVEMBER_ZAYA, zaya_mlp_expansion=[0, 8, 0, 9]),
    "zaya_november_theta_missing": other(NOVEMBER_ZAYA, rope_theta=None),
    "zaya_november_thetas_differ": other(NOVEMBER_ZAYA, rope_parameters={"rope_theta": 1e4, "rope_type": "linear", "factor": 1.0}),
    "zaya_november_rope_factor": other(NOVEMBER_ZAYA, rope_parameters={"rope_type": "linear", "factor": 2.0}), "zaya_november_unknown": other(NOVEMBER_ZAYA, smoe_layers=[0]),
    "zaya_unknown": other(ZAYA, cca_time2=2), "zaya_rope": other(ZAYA, rope_parameters={"hybrid": {"rope_type": "su"}}),
}
GOOD |= {"laguna": other(LAGUNA), "laguna_per_element": other(LAGUNA, gating="per-element"), "zaya": other(ZAYA),
         "zaya_legacy": other(LEGACY_ZAYA), "zaya_legacy_clamp": other(LEGACY_ZAYA, clamp_temp=True), "zaya_november": other(NOVEMBER_ZAYA),
         "zaya_november_numbers": other(NOVEMBER_ZAYA, zaya_mlp_expansion=8, ffn_hidden_size_list=None, ffn_hidden_size=16, num_attention_heads=4, head_dim=4, kv_channels=4, num_experts=3),
         "zaya_november_rope": other(NOVEMBER_ZAYA, rope_theta=None, layernorm_epsilon=1e-4, rope_parameters={"rope_theta": 2e6, "rope_type": "linear", "factor": 1.0})}


# DeepSeek V4 in the release's spelling; MODERN as the reference saves it, LEGACY with the keys of earlier references.
V4 = {"model_type": "deepseek_v4", "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 16, "qk_rope_head_dim": 8,
      "q_lora_rank": 24, "o_groups": 2, "o_lora_rank": 12, "sliding_window": 8, "index_n_heads": 8, "index_head_dim": 16, "index_topk": 3, "compress_ratios": [0, 4, 128, 4, 0], "num_hash_layers": 1,
      "n_routed_experts": 6, "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 12, "scoring_func": "sqrtsoftplus", "topk_method": "noaux_tc", "norm_topk_prob": True,
      "routed_scaling_factor": 1.5, "swiglu_limit": 10.0, "hc_mult": 4, "hc_sinkhorn_iters": 20, "hc_eps": 1e-6, "rms_norm_eps": 1e-6, "rope_theta": 1e4, "compress_rope_theta": 1.6e5,
      "rope_scaling": {"type": "yarn", "factor": 16, "original_max_position_embeddings": 65536, "beta_fast": 32, "beta_slow": 1}, "max_position_embeddings": 1048576,
      "num_nextn_predict_layers": 1, "tie_word_embeddings": False, "attention_bias": False, "hidden_act": "silu", "bos_token_id": 0, "eos_token_id": 1, "expert_dtype": "fp4",
      "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "scale_fmt": "ue8m0", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}}
CSA, HCA = "compressed_sparse_attention", "heavily_compressed_attention"
V4_MAIN = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
V4_COMPRESS = {"rope_type": "yarn", "rope_theta": 1.6e5, "partial_rotary_factor": 0.5, "factor": 16.0, "original_max_position_embeddings": 65536, "beta_fast": 32.0, "beta_slow": 1.0, "attention_factor": 1.0}
MODERN_V4 = {**{k: v for k, v in V4.items() if k not in ("compress_ratios", "num_hash_layers", "qk_rope_head_dim", "rope_scaling", "topk_method", "expert_dtype", "quantization_config")},
             "layer_types": [S, CSA, HCA, CSA], "compress_rates": {CSA: 4, HCA: 128}, "mlp_layer_types": ["hash_moe", "moe", "moe", "moe"], "partial_rotary_factor": 0.5,
             "rope_parameters": {"main": V4_MAIN, "compress": V4_COMPRESS}, "mlp_bias": False, "router_jitter_noise": 0.0, "output_router_logits": False, "pad_token_id": None}
LEGACY_V4 = {**{k: v for k, v in MODERN_V4.items() if k not in ("compress_rates", "mlp_layer_types", "partial_rotary_factor", "rope_parameters")},
             "compress_rate_csa": 4, "compress_rate_hca": 128, "num_hash_layers": 1, "qk_rope_head_dim": 8, "rope_scaling": V4["rope_scaling"]}
V41 = {"model_type": "deepseek_v41_text", "hidden_size": 5120, "num_hidden_layers": 40, "kv_source_layer_ids": [2, 8, 14, 20], "engram_layer_ids": [1, 14]}


def v4_rope(**compress) -> str:
    return other(MODERN_V4, rope_parameters={"main": V4_MAIN, "compress": {k: v for k, v in {**V4_COMPRESS, **compress}.items() if v is not None}})


MALFORMED |= {
    # which layer compresses how
    "v4_ratio_unknown": other(V4, compress_ratios=[0, 4, 64, 4]), "v4_ratio_one": other(V4, compress_ratios=[0, 4, 1, 4]), "v4_ratio_negative": other(V4, compress_ratios=[0, -4, 128, 4]),
    "v4_ratio_float": other(V4, compress_ratios=[0, 4.0, 128, 4]), "v4_ratio_huge": other(V4, compress_ratios=[0, 2**63, 128, 4]), "v4_ratios_short": other(V4, compress_ratios=[0, 4, 128]),
    "v4_ratios_empty": other(V4, compress_ratios=[]), "v4_ratios_long": other(V4, compress_ratios=[0] * 100), "v4_ratios_number": other(V4, compress_ratios=4),
    "v4_layers_unsaid": other(V4, compress_ratios=None), "v4_layer_types_short": other(MODERN_V4, layer_types=[S, CSA, HCA]), "v4_layer_types_long": other(MODERN_V4, layer_types=[S, CSA, HCA, CSA, S]),
    "v4_layer_types_unknown": other(MODERN_V4, layer_types=[S, CSA, HCA, F]), "v4_rate_zero": other(MODERN_V4, compress_rates={CSA: 0, HCA: 128}),
    "v4_rate_huge": other(MODERN_V4, compress_rates={CSA: 4, HCA: 2**17}), "v4_rate_unknown": other(MODERN_V4, compress_rates={CSA: 4, HCA: 128, S: 1}),
    "v4_rate_legacy_huge": other(LEGACY_V4, compress_rate_csa=2**40), "v4_rates_list": other(MODERN_V4, compress_rates=[4, 128]),
    "v4_mlp_layer_types_short": other(MODERN_V4, mlp_layer_types=["hash_moe", "moe", "moe"]), "v4_mlp_layer_types_dense": other(MODERN_V4, mlp_layer_types=["hash_moe", "moe", "moe", "dense"]),
    "v4_hash_layers_negative": other(V4, num_hash_layers=-1), "v4_hash_layers_huge": other(V4, num_hash_layers=257),
    "v4_layers_zero": other(V4, num_hidden_layers=0), "v4_layers_huge": other(V4, num_hidden_layers=2**40, compress_ratios=[0]), "v4_layers_257": other(V4, num_hidden_layers=257, compress_ratios=[0] * 257),
    # sizes
    "v4_streams_one": other(V4, hc_mult=1), "v4_streams_nine": other(V4, hc_mult=9), "v4_streams_float": other(V4, hc_mult=4.0), "v4_sinkhorn_zero": other(V4, hc_sinkhorn_iters=0),
    "v4_sinkhorn_huge": other(V4, hc_sinkhorn_iters=10**9), "v4_hc_eps_negative": other(V4, hc_eps=-1e-6), "v4_vocab_huge": other(V4, vocab_size=2**31), "v4_hidden_huge": other(V4, hidden_size=2**40),
    "v4_experts_huge": other(V4, n_routed_experts=2**20), "v4_experts_zero": other(V4, n_routed_experts=0), "v4_experts_string": other(V4, n_routed_experts="6"),
    "v4_experts_in_all_layers": other(V4, num_hidden_layers=65, compress_ratios=[0] * 65, n_routed_experts=1024),
    "moe_experts_in_all_layers": json.dumps({**json.loads(GOOD["largest_moe"]), "num_experts": 4096, "top_k_experts": 4096}),
    "zaya_experts_in_all_layers": other(ZAYA, num_hidden_layers=256, num_experts=1024), "zaya_legacy_experts_in_all_layers": other(LEGACY_ZAYA, num_hidden_layers=512, num_experts=1024),
    "laguna_experts_in_all_layers": other(LAGUNA, num_hidden_layers=256, layer_types=[F] * 256, num_attention_heads_per_layer=[4] * 256, num_experts=257),
    "v4_top_k_above_experts": other(V4, num_experts_per_tok=7), "v4_expert_width_huge": other(V4, moe_intermediate_size=2**40), "v4_no_shared_expert": other(V4, n_shared_experts=0),
    "v4_two_shared_experts": other(V4, n_shared_experts=2), "v4_kv_heads": other(V4, num_key_value_heads=2), "v4_heads_huge": other(V4, num_attention_heads=2**40),
    "v4_groups_do_not_divide": other(V4, o_groups=3), "v4_groups_zero": other(V4, o_groups=0), "v4_groups_above_heads": other(V4, o_groups=8), "v4_latent_zero": other(V4, q_lora_rank=0),
    "v4_window_zero": other(V4, sliding_window=0), "v4_top_entries_zero": other(V4, index_topk=0), "v4_top_entries_huge": other(V4, index_topk=2**62), "v4_index_heads_huge": other(V4, index_n_heads=2**20),
    "v4_positions_huge": other(V4, max_position_embeddings=2**60), "v4_limit_zero": other(V4, swiglu_limit=0.0), "v4_limit_infinite": other(V4).replace('"swiglu_limit": 10.0', '"swiglu_limit": 1e999'),
    "v4_bias": other(V4, attention_bias=True), "v4_score": other(V4, scoring_func="relu"), "v4_activation": other(V4, hidden_act="gelu"), "v4_unknown": other(V4, index_share_layers=[1]),
    # angles
    "v4_rope_odd": other(V4, qk_rope_head_dim=7), "v4_rope_wider_than_head": other(V4, qk_rope_head_dim=32), "v4_rope_wider_than_index": other(V4, index_head_dim=4), "v4_rope_zero": other(MODERN_V4, partial_rotary_factor=0.0),
    "v4_rope_part_odd": other(MODERN_V4, partial_rotary_factor=0.2), "v4_rope_type": other(V4, rope_scaling={"type": "dynamic", "factor": 2.0}), "v4_rope_factor_zero": other(V4, rope_scaling={"type": "yarn", "factor": 0}),
    "v4_quantised": other(V4, quantization_config={"quant_method": "gptq", "bits": 4}), "v4_alias_differs": other(V4, intermediate_size=99), "v4_rope_unknown": other(V4, rope_scaling={"type": "yarn", "factor": 16, "mscale_all": 1.0}), "v4_rope_list": other(V4, rope_scaling=[16]), "v4_rope_nested_unknown": v4_rope(mscale_all=1.0),
    "v4_rope_nested_part": v4_rope(partial_rotary_factor=0.25), "v4_rope_nested_part_missing": v4_rope(partial_rotary_factor=None),
    # every pair turns alike, and the ramp's ends would be 0 / 0
    "v4_rope_theta_one": v4_rope(rope_theta=1.0, original_max_position_embeddings=1, beta_fast=0.15915494309189535), "v4_rope_theta_one_flat": other(V4, compress_rope_theta=1.0),
    "laguna_rope_theta_one": other(LAGUNA, rope_parameters={F: {"rope_type": "yarn", "rope_theta": 1.0, "factor": 4.0, "original_max_position_embeddings": 1, "beta_fast": 0.15915494309189535}}),
    # another architecture of the same family name
    "v41_flat": json.dumps(V41), "v41_nested": json.dumps({"model_type": "deepseek_v41", "text_config": V41, "vision_config": {"hidden_size": 1152}}),
    "v41_inside_another": json.dumps({"model_type": "deepseek_vl4", "text_config": V41}), "v4_inside_another": json.dumps({"model_type": "deepseek_vl4", "text_config": V4}),
    "model_type_unknown_beside_text_config_list": '{"model_type": "deepseek_vl4", "text_config": [{"model_type": "deepseek_v41"}]}',
}
GOOD |= {
    "v4": other(V4), "v4_modern": other(MODERN_V4), "v4_legacy": other(LEGACY_V4), "v4_ratios_exact": other(V4, compress_ratios=[0, 4, 128, 4]),
    "v4_ratios_of_draft_layers": other(V4, compress_ratios=[0, 4, 128, 4, 0, 7, 9], dspark_block_size=5, dspark_noise_token_id=63, dspark_target_layer_ids=[1, 2, 3], dspark_markov_rank=8),
    "v4_both_lists": other(V4, layer_types=[HCA, HCA, CSA, HCA]), "v4_hash_layers_beyond": other(V4, num_hash_layers=200), "v4_no_hash_layers": other(V4, num_hash_layers=0),
    "v4_hash_layers_default": other(V4, num_hash_layers=None), "v4_rates": other(MODERN_V4, compress_rates={CSA: 2, HCA: 16}), "v4_rates_legacy": other(LEGACY_V4, compress_rate_csa=2, compress_rate_hca=16),
    "v4_aliases": other(V4, intermediate_size=V4["moe_intermediate_size"], num_local_experts=V4["n_routed_experts"]), "v4_mscale": other(V4, rope_scaling={"type": "yarn", "factor": 16, "original_max_position_embeddings": 65536, "mscale": 1.0, "mscale_all_dim": 1.0}),
    "v4_linear": other(V4, rope_scaling={"type": "linear", "factor": 2.0}), "v4_scaling_over_parameters": other(MODERN_V4, rope_scaling={"type": "linear", "factor": 2.0}), "v4_scaling_empty": other(MODERN_V4, rope_scaling={}),
    "v4_attention_factor_null": other(V4, rope_scaling={"type": "yarn", "factor": 16, "original_max_position_embeddings": 65536, "attention_factor": None}),
    "v4_rope_eighth": other(V4, qk_rope_head_dim=None), "v4_no_scaling": other(V4, rope_scaling=None), "v4_attention_factor_left_out": v4_rope(attention_factor=None), "v4_tied": other(V4, tie_word_embeddings=True),
    "v4_two_streams": other(V4, hc_mult=2), "v4_eight_streams": other(V4, hc_mult=8), "v4_all_ratios_one": other(MODERN_V4, compress_rates={CSA: 1, HCA: 1}), "v4_one_layer": other(V4, num_hidden_layers=1),
    # the largest of everything: no sum over it may leave 64 bits, and no list of it take long
    "v4_largest": other(V4, vocab_size=2**22, hidden_size=2**17, num_hidden_layers=256, compress_ratios=[4] * 256, num_attention_heads=2**12, head_dim=2**12, qk_rope_head_dim=2**12, q_lora_rank=2**17,
        o_groups=2**10, o_lora_rank=2**17, sliding_window=2**32, index_n_heads=2**10, index_head_dim=2**12, index_topk=2**20, num_hash_layers=256, n_routed_experts=256, num_experts_per_tok=256,
        moe_intermediate_size=2**20, hc_mult=8, hc_sinkhorn_iters=1000, max_position_embeddings=2**32),
    "v4_most_experts": other(V4, num_hidden_layers=64, compress_ratios=[0] * 64, n_routed_experts=1024, num_experts_per_tok=1024, moe_intermediate_size=2**20, hidden_size=2**17),
    "v4_largest_rates": other(MODERN_V4, num_hidden_layers=8, layer_types=[CSA, HCA] * 4, mlp_layer_types=["moe"] * 8, compress_rates={CSA: 2**16, HCA: 2**16}, head_dim=2**12, index_head_dim=2**12,
        rope_parameters=None, num_attention_heads=2**12),
}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in {**MALFORMED, **{f"good_{name}": text for name, text in GOOD.items()}}.items():
        (FOLDER / f"{name}.json").write_text(text, encoding="utf-8", newline="")


if __name__ == "__main__":
    main()
