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
    return json.dumps({"model_type": "gemma4", **top, "text_config": {**text, "model_type": top.get("inner", "gemma4_text")}})


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
    "unknown_field_beside_text_config": json.dumps({"model_type": "gemma4", "hidden_size": 16, "text_config": BASE}),
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
    "rope_type_unknown": config(rope_parameters=rope(rope_type="yarn", factor=8.0)), "rope_type_number": config(rope_parameters=rope(rope_type=1)),
    "rope_list": config(rope_parameters=[]), "rope_theta_zero": config(rope_parameters=rope(rope_type="default", rope_theta=0)),
    "rope_factor_zero": config(rope_parameters=rope(rope_type="linear", factor=0.0)), "rope_partial_above_one": config(rope_parameters=rope(rope_type="proportional", partial_rotary_factor=1.5)),
    "rope_partial_default": config(rope_parameters=rope(rope_type="default", partial_rotary_factor=0.5)),
    "rope_unknown_field": config(rope_parameters=rope(rope_type="default", beta_fast=32)), "rope_unknown_layer_type": config(rope_parameters={"chunked_attention": {}}),
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


GOOD = {
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
    # the largest of everything: no sum over it may leave 64 bits
    "largest_dense": json.dumps({"model_type": "gemma4_text", "vocab_size": 2**22, "hidden_size": 2**17, "intermediate_size": 2**20, "num_hidden_layers": 256, "num_attention_heads": 1024,
        "num_key_value_heads": 1024, "head_dim": 4096, "global_head_dim": 4096, "sliding_window": 2**32, "max_position_embeddings": 2**32, "hidden_size_per_layer_input": 2**14,
        "vocab_size_per_layer_input": 2**22, "num_kv_shared_layers": 128, "use_double_wide_mlp": True}),
    "largest_moe": json.dumps({"model_type": "gemma4_text", "vocab_size": 2**22, "hidden_size": 2**17, "intermediate_size": 2**20, "num_hidden_layers": 256, "num_attention_heads": 1024,
        "num_key_value_heads": 1024, "head_dim": 4096, "global_head_dim": 4096, "hidden_size_per_layer_input": 2**14, "enable_moe_block": True, "num_experts": 4096, "top_k_experts": 4096,
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
    return json.dumps({k: v for k, v in {**base, **changes}.items() if v is not None})


MALFORMED |= {
    "laguna_activation": other(LAGUNA, hidden_act="gelu"), "laguna_bias": other(LAGUNA, qkv_bias=True), "laguna_sinks": other(LAGUNA, swa_attention_sink_enabled=True),
    "laguna_gating_false": other(LAGUNA, gating=False), "laguna_gating_word": other(LAGUNA, gating="per-token"), "laguna_heads_not_multiple": other(LAGUNA, num_attention_heads_per_layer=[4, 5, 8]),
    "laguna_heads_short": other(LAGUNA, num_attention_heads_per_layer=[4, 6]), "laguna_window_zero": other(LAGUNA, sliding_window=0), "laguna_top_k": other(LAGUNA, num_experts_per_tok=5),
    "laguna_weight_on_input": other(LAGUNA, moe_apply_router_weight_on_input=True), "laguna_score": other(LAGUNA, moe_router_score_func="sqrtsoftplus"),
    "laguna_rope_type": other(LAGUNA, rope_parameters={F: {"rope_type": "longrope"}}), "laguna_rope_odd": other(LAGUNA, rope_parameters={F: {"rope_type": "default", "partial_rotary_factor": 0.4}}),
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
    "zaya_unknown": other(ZAYA, cca_time2=2), "zaya_rope": other(ZAYA, rope_parameters={"hybrid": {"rope_type": "yarn"}}),
}
GOOD |= {"laguna": other(LAGUNA), "laguna_per_element": other(LAGUNA, gating="per-element"), "zaya": other(ZAYA),
         "zaya_legacy": other(LEGACY_ZAYA), "zaya_legacy_clamp": other(LEGACY_ZAYA, clamp_temp=True), "zaya_november": other(NOVEMBER_ZAYA),
         "zaya_november_numbers": other(NOVEMBER_ZAYA, zaya_mlp_expansion=8, ffn_hidden_size_list=None, ffn_hidden_size=16, num_attention_heads=4, head_dim=4, kv_channels=4, num_experts=3),
         "zaya_november_rope": other(NOVEMBER_ZAYA, rope_theta=None, layernorm_epsilon=1e-4, rope_parameters={"rope_theta": 2e6, "rope_type": "linear", "factor": 1.0})}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in {**MALFORMED, **{f"good_{name}": text for name, text in GOOD.items()}}.items():
        (FOLDER / f"{name}.json").write_text(text, encoding="utf-8", newline="")


if __name__ == "__main__":
    main()
