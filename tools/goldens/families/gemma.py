"""Gemma 4 text (all size classes) and Gemma 3 text.

Layer patterns are strings, one letter a layer: s sliding, f full. A bar in a comment marks where KV sharing begins.
"""

import dataclasses
import functools
import math
from typing import Any

import numpy as np
import torch
import transformers as hf
from transformers import PreTrainedModel

from ..variants import Variant
from ..weights import generator

SLIDING, FULL = "sliding_attention", "full_attention"


@dataclasses.dataclass(frozen=True)
class Size:
    """The numbers that differ between a tiny golden and a larger parity model."""

    hidden: int = 32
    mlp: int = 24
    heads: int = 4
    head_dim: int = 8
    global_head_dim: int = 16
    ple: int = 8
    experts: int = 6
    expert_mlp: int = 6
    window: int = 8
    vocab: int = 72


TINY = Size()


def layer_types(pattern: str) -> list[str]:
    """"ssf" -> the config's list."""
    return [{"s": SLIDING, "f": FULL}[letter] for letter in pattern]


# Weights


def gemma4_rule(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
    """Norm weights multiply directly, scores are not scaled by 1/sqrt(d), the logits come from a tied embedding."""
    leaf = name.removesuffix(".weight").rsplit(".", 1)[-1]
    if leaf == "layer_scalar":
        return rng.uniform(0.5, 1.4, shape)
    if leaf in ("q_norm", "k_norm"):  # keeps scores at a standard deviation of about 1 for every head dim
        return rng.uniform(0.6, 1.5, shape) * shape[0] ** -0.25
    if leaf.startswith("post_") and leaf[-1] not in "12":  # branches less than half as large as what they are added to:
        return rng.uniform(0.2, 0.6, shape)  # larger ones make deep stacks chaotic, and rounding visible
    if leaf == "norm":  # final norm: stretches the logits to a standard deviation of 4 or so
        return rng.uniform(3.0, 8.0, shape)
    if leaf == "per_expert_scale":
        return rng.uniform(0.3, 2.0, shape)
    if name.endswith("router.proj.weight"):  # its input was divided by sqrt(h) already
        return rng.standard_normal(shape) * 1.5
    if leaf == "per_layer_input_gate":  # its input is not normed: a deep negative GELU would be all rounding error
        return rng.standard_normal(shape) * 0.4 / math.sqrt(shape[1])
    if leaf == "embed_tokens":
        return rng.standard_normal(shape) * 0.8 / math.sqrt(shape[1])
    if leaf == "embed_tokens_per_layer":
        return rng.standard_normal(shape) * 0.4
    return None


def gemma3_rule(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
    """Norm weights are offsets from 1."""
    if name.endswith("norm.weight") and len(shape) == 1:
        if name.endswith("model.norm.weight"):
            return rng.uniform(2.0, 7.0, shape)
        if ".post_" in name:
            return rng.uniform(-0.8, -0.2, shape)
        return rng.uniform(-0.5, 0.6, shape)
    if name.endswith("embed_tokens.weight"):
        return rng.standard_normal(shape) * 0.8 / math.sqrt(shape[1])
    return None


# Configs


def gemma4_text(size: Size, pattern: str, **more: Any) -> hf.Gemma4TextConfig:
    """A Gemma 4 text config without PLE, sharing, K=V or experts unless `more` asks for them."""
    settings = dict(
        vocab_size=size.vocab,
        vocab_size_per_layer_input=size.vocab,
        hidden_size=size.hidden,
        intermediate_size=size.mlp,
        num_hidden_layers=len(pattern),
        layer_types=layer_types(pattern),
        num_attention_heads=size.heads,
        num_key_value_heads=2,
        head_dim=size.head_dim,
        global_head_dim=size.global_head_dim,
        hidden_size_per_layer_input=0,
        sliding_window=size.window,
        final_logit_softcapping=30.0,
        max_position_embeddings=4096,
    )
    return hf.Gemma4TextConfig(**(settings | more))


def unified_text(size: Size, pattern: str, **more: Any) -> hf.Gemma4UnifiedTextConfig:
    """The text config of the unified (12B) class, which has no PLE and no experts."""
    settings = gemma4_text(size, pattern).to_dict()
    keys = set(hf.Gemma4UnifiedTextConfig().to_dict()) - {"model_type", "per_layer_config", "use_bidirectional_attention"}
    settings = {k: v for k, v in settings.items() if k in keys} | {"global_head_dim": size.global_head_dim}
    return hf.Gemma4UnifiedTextConfig(**(settings | more))


def gemma3_text(size: Size, pattern: str, **more: Any) -> hf.Gemma3TextConfig:
    """A Gemma 3 text config; hidden_size must be a multiple of the number of heads."""
    settings = dict(
        vocab_size=size.vocab,
        hidden_size=size.hidden,
        intermediate_size=size.mlp,
        num_hidden_layers=len(pattern),
        layer_types=layer_types(pattern),
        num_attention_heads=size.heads,
        num_key_value_heads=1,
        head_dim=size.head_dim,
        query_pre_attn_scalar=size.head_dim,
        sliding_window=size.window,
        max_position_embeddings=4096,
    )
    return hf.Gemma3TextConfig(**(settings | more))


def towers(unified: bool, hidden: int) -> dict[str, Any]:
    """Minimal vision and audio configs, so that a checkpoint has tensors which a text reader must skip."""
    if unified:
        return dict(
            vision_config=hf.Gemma4UnifiedConfig.sub_configs["vision_config"](
                patch_size=2, pooling_kernel_size=1, mm_embed_dim=8, mm_posemb_size=4, output_proj_dims=8
            ),
            audio_config=hf.Gemma4UnifiedConfig.sub_configs["audio_config"](audio_embed_dim=8),
        )
    return dict(
        vision_config=hf.Gemma4VisionConfig(
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            head_dim=8,
            patch_size=2,
            position_embedding_size=4,
        ),
        audio_config=hf.Gemma4AudioConfig(
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            subsampling_conv_channels=[2, 2],
            conv_kernel_size=3,
            output_proj_dims=8,
        ),
    )


# Models


def causal(config) -> PreTrainedModel:
    """The text-only class of a text config: prefix `model.`."""
    kind = {"gemma4_text": hf.Gemma4ForCausalLM, "gemma3_text": hf.Gemma3ForCausalLM}[config.model_type]
    return kind(config)


def nested(text, with_towers: bool = False) -> PreTrainedModel:
    """The multimodal wrapper, text under text_config and `model.language_model.`."""
    if text.model_type == "gemma3_text":
        vision = hf.SiglipVisionConfig(
            hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=4, patch_size=2
        )
        config = hf.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
        return hf.Gemma3ForConditionalGeneration(config)
    unified = text.model_type == "gemma4_unified_text"
    more = towers(unified, text.hidden_size) if with_towers else {}
    if unified:
        return hf.Gemma4UnifiedForConditionalGeneration(hf.Gemma4UnifiedConfig(text_config=text, **more))
    return hf.Gemma4ForConditionalGeneration(hf.Gemma4Config(text_config=text, **more))


# Deviations from what transformers writes


def text_part(config: dict[str, Any]) -> dict[str, Any]:
    """The dict that holds the text values, inside `config` or `config` itself."""
    return config.get("text_config", config)


def released_spelling(config: dict[str, Any]) -> dict[str, Any]:
    """Per-layer values as the released files spell them: global_head_dim and num_global_key_value_heads."""
    text = text_part(config)
    per_layer = text.pop("per_layer_config")
    full = [layer for layer, kind in enumerate(text["layer_types"]) if kind == FULL]
    override = {int(k): v for k, v in per_layer.items()}.get(full[0], {})
    text["global_head_dim"] = override.get("head_dim", text["head_dim"])
    text["num_global_key_value_heads"] = override.get("num_key_value_heads") if text["attention_k_eq_v"] else None
    config["transformers_version"] = "5.5.0"
    return config


def last_layer_sliding(config: dict[str, Any]) -> dict[str, Any]:
    """Lists the last layer as sliding; the reference makes it full on loading."""
    config = released_spelling(config)
    text_part(config)["layer_types"][-1] = SLIDING
    return config


def defaults_left_out(config: dict[str, Any]) -> dict[str, Any]:
    """Removes keys whose absence means the default."""
    text = text_part(config)
    for key in ("layer_types", "rope_parameters", "use_bidirectional_attention", "num_kv_shared_layers",
                "use_double_wide_mlp", "enable_moe_block", "attention_bias", "rms_norm_eps", "num_experts"):
        text.pop(key, None)
    return config


def gemma3_legacy(config: dict[str, Any]) -> dict[str, Any]:
    """The spelling of the first Gemma 3 files: rope_theta, rope_local_base_freq, rope_scaling, sliding_window_pattern."""
    rope = config.pop("rope_parameters")
    full = rope[FULL]
    config["rope_theta"] = full["rope_theta"]
    config["rope_local_base_freq"] = rope[SLIDING]["rope_theta"]
    config["rope_scaling"] = {"factor": full["factor"], "rope_type": "linear"}
    first_full = config.pop("layer_types").index(FULL)
    config.pop("_sliding_window_pattern", None)
    config["sliding_window_pattern"] = first_full + 1
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.50.0"
    return config


def shared_layer_kv(model: PreTrainedModel, seed: int) -> dict[str, torch.Tensor]:
    """k_proj, v_proj and k_norm of the layers that share: the released files carry them, nothing reads them."""
    prefix = "model.language_model" if hasattr(model.model, "language_model") else "model"
    stack = getattr(model.model, "language_model", model.model)
    extra = {}
    for i, layer in enumerate(stack.layers):
        attention = layer.self_attn
        if not attention.is_kv_shared_layer:
            continue
        width = attention.head_dim * stack.config.per_layer_config[i].num_key_value_heads
        shapes = {"k_proj": (width, layer.hidden_size), "v_proj": (width, layer.hidden_size), "k_norm": (attention.head_dim,)}
        for leaf, shape in shapes.items():
            name = f"{prefix}.layers.{i}.self_attn.{leaf}.weight"
            extra[name] = torch.from_numpy(generator(name, seed).standard_normal(shape).astype(np.float32))
    return extra


# Variants


def gemma4(name: str, about: str, size: Size, build, **more: Any) -> Variant:
    """A Gemma 4 variant; `build` makes the model when called."""
    return Variant(name, about, build, gemma4_rule, size.window, size.vocab, **more)


def gemma3(name: str, about: str, size: Size, build, **more: Any) -> Variant:
    """A Gemma 3 variant."""
    return Variant(name, about, build, gemma3_rule, size.window, size.vocab, **more)


def size_classes(z: Size, patterns: dict[str, str]) -> list[Variant]:
    """The released size classes. `patterns` gives the layers of each, and how many share."""
    e2b = dict(num_key_value_heads=1, hidden_size_per_layer_input=z.ple, use_double_wide_mlp=True)
    e4b = dict(num_key_value_heads=2, hidden_size_per_layer_input=z.ple)
    k_eq_v = dict(attention_k_eq_v=True, num_global_key_value_heads=1)
    moe = dict(enable_moe_block=True, num_experts=z.experts, top_k_experts=2, moe_intermediate_size=z.expert_mlp)

    def shared(name: str) -> tuple[str, dict[str, int]]:
        own, _, rest = patterns[name].partition("|")
        return own + rest, {"num_kv_shared_layers": len(rest)}

    (p2, s2), (p4, s4) = shared("e2b"), shared("e4b")
    return [
        gemma4("e2b", "PLE, KV sharing, double-wide MLP on sharing layers, one KV head; text-only file",
               z, lambda: causal(gemma4_text(z, p2, **e2b, **s2))),
        gemma4("e4b", "PLE, KV sharing, two KV heads; nested file with the released spelling of per-layer values",
               z, lambda: nested(gemma4_text(z, p4, **e4b, **s4)), edit_config=released_spelling),
        gemma4("12b", "gemma4_unified: K=V on full layers, fewer KV heads there; nested file with vision and audio tensors",
               z, lambda: nested(unified_text(z, patterns["12b"], **k_eq_v), with_towers=True)),
        gemma4("26b", "mixture of experts beside the dense MLP, K=V; text-only file",
               z, lambda: causal(gemma4_text(z, patterns["26b"], **k_eq_v, **moe))),
        gemma4("31b", "K=V, no PLE; nested, released spelling, null expert keys, sharded with an index",
               z, lambda: nested(gemma4_text(z, patterns["31b"], **k_eq_v, use_bidirectional_attention="vision")),
               edit_config=released_spelling, max_shard_size="40KB"),
    ]


def gemma3_classes(z: Size, pattern: str, period: int) -> list[Variant]:
    """Gemma 3: the last layer of `pattern` need not be full; `period` is the legacy sliding_window_pattern."""
    linear = {FULL: {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
              SLIDING: {"rope_type": "default", "rope_theta": 1e4}}
    periodic = "".join("f" if (i + 1) % period == 0 else "s" for i in range(len(pattern)))
    return [
        gemma3("gemma3", "1 + w norms, last layer sliding (not forced to full)", z, lambda: causal(gemma3_text(z, pattern))),
        gemma3("gemma3_linear", "linear RoPE scaling on full layers, query_pre_attn_scalar that is not head_dim, two KV heads",
               z, lambda: causal(gemma3_text(z, pattern, rope_parameters=linear, query_pre_attn_scalar=5, num_key_value_heads=2))),
        gemma3("gemma3_legacy", "gemma3_linear in the spelling of the first Gemma 3 files",
               z, lambda: causal(gemma3_text(z, periodic, rope_parameters=linear, query_pre_attn_scalar=21)),
               edit_config=gemma3_legacy),
        gemma3("gemma3_nested", "multimodal Gemma 3 file with vision tensors",
               z, lambda: nested(gemma3_text(z, pattern, rope_parameters=linear))),
    ]


def corner_cases(z: Size, odd: Size, sharing: str, last_sliding: str) -> list[Variant]:
    """What no released file has, or only one of them."""
    narrow = dataclasses.replace(z, window=1)
    thin = dataclasses.replace(z, mlp=z.mlp // 2, heads=2)
    slim = dataclasses.replace(z, mlp=z.mlp // 2 + 1)
    own, _, rest = sharing.partition("|")
    share = dict(num_kv_shared_layers=len(rest))
    ple = dict(hidden_size_per_layer_input=z.ple)
    flat = lambda size, pattern, **more: (lambda: causal(gemma4_text(size, pattern, **more)))  # noqa: E731
    return [
        gemma4("multimodal", "nested file with vision and audio towers, and K/V tensors on sharing layers that nothing reads",
               z, lambda: nested(gemma4_text(z, own + rest, **ple, **share), with_towers=True), extra_tensors=shared_layer_kv),
        gemma4("sharing_odd", "producers are sliding S-1 and full S-3, so neither sits where S-2 and S-1 would point; last layer "
               "listed as sliding, read as full", slim, flat(slim, "sfss" + "fsf", num_kv_shared_layers=3,
                                                             use_double_wide_mlp=True, num_key_value_heads=1),
               edit_config=last_layer_sliding, extra_tensors=shared_layer_kv),
        gemma4("window1", "sliding layers see their own token only", narrow, flat(narrow, "ssfsf", **ple),
               cache_is_exact=False),
        gemma4("sharing_no_ple", "KV sharing without PLE, K=V on full layers", z,
               flat(z, own + rest, **share, attention_k_eq_v=True, num_global_key_value_heads=1)),
        gemma4("ple_no_sharing", "PLE without sharing; use_double_wide_mlp set, which then widens nothing", z,
               flat(z, "ssfsf", **ple, use_double_wide_mlp=True)),
        gemma4("softcap_null", "no final softcap; sizes that are no multiple of 16; head dims 8 and 24; partial rotary 0.3", odd,
               flat(odd, "ssf", final_logit_softcapping=None, hidden_size_per_layer_input=9, num_attention_heads=3,
                    num_key_value_heads=1,
                    rope_parameters={SLIDING: {"rope_type": "default", "rope_theta": 5e3},
                                     FULL: {"rope_type": "proportional", "partial_rotary_factor": 0.3, "rope_theta": 2e5, "factor": 2.0}})),
        gemma4("uniform", "full and sliding layers of one head dim (per_layer_config is {}), softcap 15, MoE with PLE and sharing", z,
               flat(dataclasses.replace(z, global_head_dim=z.head_dim), "sfsf", num_kv_shared_layers=2, final_logit_softcapping=15.0,
                    enable_moe_block=True, num_experts=5, top_k_experts=3, moe_intermediate_size=z.expert_mlp, **ple)),
        gemma4("four_layers", "layer_types listed all sliding: the last is read as full", z, flat(z, "sssf"),
               edit_config=last_layer_sliding),
        gemma4("defaults", "13 layers, layer_types and rope_parameters left out; zero-padded per_layer_config keys (05, 11, 12)",
               thin, flat(thin, last_sliding, num_key_value_heads=1), edit_config=defaults_left_out),
        gemma4("bf16", "bf16 file, f32 reference on the rounded weights; sqrt(h) and sqrt(P) not exact in bf16", odd,
               flat(odd, own + rest, hidden_size_per_layer_input=10, num_key_value_heads=1, **share), dtype=torch.bfloat16),
    ]


def stretched_angles(z: Size) -> list[Variant]:
    """rope_types that stretch angles, in layers of both kinds."""
    yarn = {"rope_type": "yarn", "rope_theta": 300.0, "factor": 4.0, "original_max_position_embeddings": 24, "beta_fast": 3.0, "beta_slow": 0.5}
    llama3 = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 64}
    linear = {"rope_type": "linear", "rope_theta": 50.0, "factor": 3.0}
    # The reference looks for truncate beside the objects of the layer types.
    kinds = lambda full, sliding, **beside: {"rope_parameters": {FULL: dict(full), SLIDING: dict(sliding)} | beside}  # noqa: E731
    return [
        gemma3("rope_yarn", "YaRN with mscale and mscale_all_dim on full layers, linear on sliding ones", z, lambda: causal(
            gemma3_text(z, "sf", **kinds(yarn | {"mscale": 0.7, "mscale_all_dim": 0.3}, linear)))),
        gemma3("rope_llama3", "llama3 on full layers; YaRN with an attention_factor and truncate false on sliding ones", z, lambda: causal(
            gemma3_text(z, "sf", **kinds(llama3, yarn | {"attention_factor": 0.9}, truncate=False)))),
        gemma4("rope_gemma4", "YaRN with the attention_factor that follows on full layers, llama3 on sliding ones", z, lambda: causal(
            gemma4_text(z, "sf", **kinds(yarn, llama3)))),
    ]


@functools.cache
def golden_variants() -> list[Variant]:
    """Tiny checkpoints, at most about 150 KB each."""
    small = dataclasses.replace(TINY, hidden=24, mlp=20)
    odd = Size(hidden=40, mlp=17, heads=2, head_dim=8, global_head_dim=24, window=9, vocab=77)
    patterns = {"e2b": "ssf|ssf", "e4b": "sfs|sf", "12b": "ssfsf", "26b": "sfsf", "31b": "ssfsf"}
    return (
        size_classes(small, patterns)
        + gemma3_classes(TINY, "ssfsfs", 3)
        + corner_cases(small, odd, "sfs|sf", "sssssfsssssff")
        + stretched_angles(Size(hidden=16, mlp=16, heads=2, vocab=64))
    )


def parity_variants(seed: int) -> list[Variant]:
    """The same variants with 6 to 13 layers and sizes drawn from the seed."""
    rng = generator("gemma parity sizes", seed)
    pick = lambda *options: options[int(rng.integers(len(options)))]  # noqa: E731
    heads = pick(4, 8)
    z = Size(
        hidden=heads * pick(16, 14, 12) if heads == 8 else pick(64, 72, 120, 128),
        mlp=pick(96, 120, 136, 150),
        heads=heads,
        head_dim=pick(16, 24, 32),
        global_head_dim=pick(32, 40, 48),
        ple=pick(8, 12, 16, 24),
        experts=pick(6, 8, 12),
        expert_mlp=pick(24, 20, 32),
        window=16,
        vocab=256,
    )
    odd = Size(hidden=pick(66, 100, 108), mlp=pick(51, 97), heads=2, head_dim=pick(8, 10, 24), global_head_dim=pick(24, 36),
               window=pick(13, 17), vocab=251)
    patterns = {"e2b": pick("sssf|sssf", "ssfsf|ssf"), "e4b": pick("ssfs|sf", "sfssf|sf"), "12b": pick("ssfssf", "sssfsssf"),
                "26b": pick("ssfssf", "sfsfsf"), "31b": pick("ssfssff", "sssssf")}
    return size_classes(z, patterns) + gemma3_classes(z, pick("ssfssfs", "sfsfss"), 3) + corner_cases(
        z, odd, pick("ssfs|sfs", "sfssf|sff").removesuffix("s") + "f", "sssssfsssssff")
