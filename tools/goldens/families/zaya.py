"""ZAYA1: compressed convolutional attention (CCA) and one expert a token, chosen by an MLP router whose state goes from block to block.

Layer patterns are strings, one letter a block: h hybrid (full attention), s hybrid_sliding.
"""

import dataclasses
import functools
import math
from typing import Any

import numpy as np
import torch
import transformers as hf
from transformers import PreTrainedModel

from ..variants import Tensors, Variant
from ..weights import general_rule, generator

HYBRID, SLIDING = "hybrid", "hybrid_sliding"


@dataclasses.dataclass(frozen=True)
class Size:
    """The numbers that differ between a tiny golden and a larger parity model."""

    hidden: int = 32
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    experts: int = 4
    expert_mlp: int = 5
    router: int = 16
    window: int = 6
    vocab: int = 64


# Weights


def rule(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
    """Conv biases as large as what they are added to; a skip expert that is never chosen, as in the released files."""
    parts = name.removesuffix(".weight").removesuffix(".bias").split(".")
    leaf, is_bias = parts[-1], name.endswith("bias")
    if leaf in ("conv_qk_depthwise", "conv_qk_grouped"):
        if is_bias:
            return rng.standard_normal(shape) * 0.8
        return rng.standard_normal(shape) * 0.8 / math.sqrt(shape[1] * shape[2])
    if leaf == "balancing_biases":
        return np.append(rng.uniform(-0.2, 0.2, shape[0] - 1), -1.5)
    if leaf == "temp":
        return rng.uniform(0.3, 0.7, shape)
    if leaf == "input_hidden_states_scale":  # of either sign: with a tied head the last token would predict itself otherwise
        return rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
    if leaf.endswith("_bias"):  # residual scaling; small beside the embeddings, which would all look the same otherwise
        return rng.standard_normal(shape) * 0.12
    if is_bias:
        return rng.standard_normal(shape) * 0.3
    if leaf in ("embed_tokens", "lm_head"):
        return rng.standard_normal(shape) * min(0.6, 3.7 / math.sqrt(shape[1]))
    if leaf in ("hidden_states_scale", "residual_scale"):  # branches half as large as the stream
        return rng.uniform(0.3, 0.8, shape) if leaf[0] == "h" else rng.uniform(0.7, 1.2, shape)
    if leaf == "router_states_scale":
        return rng.uniform(0.4, 1.2, shape)
    if leaf in ("fc1", "fc2"):
        return rng.standard_normal(shape) * 1.4 / math.sqrt(shape[1])
    if leaf == "out_proj":  # router logits with a standard deviation of about 1.5
        return rng.standard_normal(shape) * 2.0 / math.sqrt(shape[1])
    if parts[-2:] == ["experts", "down_proj"]:  # the chosen probability makes the output small again
        return rng.standard_normal(shape) * 3.0 / math.sqrt(shape[2])
    if parts == ["model", "norm"]:  # final norm: stretches the logits
        return rng.uniform(0.7, 1.8, shape)
    return None


def skipping_rule(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
    """The skip expert competes with the others."""
    if name.endswith("balancing_biases"):
        return np.append(rng.uniform(-0.2, 0.2, shape[0] - 1), 0.1)
    return rule(name, shape, rng)


def small_states_rule(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
    """The same, with router states so small that the epsilon of their norm shows."""
    values = skipping_rule(name, shape, rng)
    if ".mlp.gate.down_proj." not in name:
        return values
    return 0.003 * (general_rule(name, shape, rng) if values is None else values)


def wide_temperatures_rule(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
    """The same, with temperatures below, within and above the bounds they are clamped to."""
    if name.endswith("temp"):
        return rng.uniform(-1.0, 3.0, shape)
    return skipping_rule(name, shape, rng)


def selection_scores(router: torch.nn.Module, output: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Probabilities over all classes, the skip expert last, plus the biases that affect the choice only."""
    return torch.softmax(output[0], dim=-1) + router.balancing_biases


# Configs


def config(size: Size, pattern: str, **more: Any) -> hf.ZayaConfig:
    """A config of this size."""
    settings = dict(
        vocab_size=size.vocab,
        hidden_size=size.hidden,
        num_hidden_layers=len(pattern),
        layer_types=[{"h": HYBRID, "s": SLIDING}[letter] for letter in pattern],
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        head_dim=size.head_dim,
        sliding_window=size.window if "s" in pattern else None,
        num_experts=size.experts,
        moe_intermediate_size=size.expert_mlp,
        router_hidden_size=size.router,
        max_position_embeddings=512,
        bos_token_id=2,
        eos_token_id=10,
        rope_parameters={
            HYBRID: {"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5},
            SLIDING: {"rope_type": "default", "rope_theta": 30.0, "partial_rotary_factor": 0.5},
        },
    )
    return hf.ZayaConfig(**(settings | more))


# Deviations from what transformers writes


def rope_type_beside_nested(config: dict[str, Any]) -> dict[str, Any]:
    """A stray flat rope_type, as in the released config."""
    config["rope_parameters"]["rope_type"] = "default"
    return config


def defaults_left_out(config: dict[str, Any]) -> dict[str, Any]:
    """Removes keys whose absence means the default."""
    for key in ("layer_types", "sliding_window", "rope_parameters", "cca_time0", "cca_time1", "attention_bias", "lm_head_bias",
                "tie_word_embeddings", "hidden_act", "rms_norm_eps", "num_experts_per_tok", "num_key_value_heads"):
        config.pop(key)
    return config


# Native name within a block -> legacy name within the half-layer; attention is half-layer 2i, the mixture 2i + 1.
ATTENTION_HALF = {
    "input_layernorm.": "input_norm.",
    "self_attn.qkv_proj.q_proj.": "self_attn.qkv.linear_q.",
    "self_attn.qkv_proj.k_proj.": "self_attn.qkv.linear_k.",
    "self_attn.qkv_proj.v_proj_current.": "self_attn.qkv.val_proj1.",
    "self_attn.qkv_proj.v_proj_delayed.": "self_attn.qkv.val_proj2.",
    "self_attn.qkv_proj.conv_qk_depthwise.": "self_attn.qkv.conv_qk.0.",
    "self_attn.qkv_proj.conv_qk_grouped.": "self_attn.qkv.conv_qk.1.",
    "self_attn.qk_norm.temp": "self_attn.qkv.temp",
    "self_attn.o_proj.": "self_attn.o_proj.",
}
MIXTURE_HALF = {
    "post_attention_residual_scale.": "res_scale.",
    "post_attention_layernorm.": "input_norm.",
    "mlp.gate.down_proj.": "zaya_block.router.down_proj.",
    "mlp.gate.router_states_scale": "zaya_block.router.router_states_scale",
    "mlp.gate.router_mlp.norm.": "zaya_block.router.rmsnorm_eda.",
    "mlp.gate.router_mlp.fc1.": "zaya_block.router.router_mlp.0.",
    "mlp.gate.router_mlp.fc2.": "zaya_block.router.router_mlp.2.",
    "mlp.gate.router_mlp.out_proj.": "zaya_block.router.router_mlp.4.",
    "mlp.gate.balancing_biases": "zaya_block.router.balancing_biases",
}
EXPERT_PART = {"mlp.experts.gate_up_proj": "linear_fc1", "mlp.experts.down_proj": "linear_fc2"}


def legacy_tensors(tensors: Tensors, n_blocks: int) -> Tensors:
    """The half-layer layout: experts one by one, and each block's last residual scaling with the half-layer that follows."""
    outside = {
        "model.norm.weight": "model.final_norm.weight",
        "model.input_hidden_states_scale": "model.layers.0.res_scale.hidden_states_scale",
        "model.input_hidden_states_bias": "model.layers.0.res_scale.hidden_states_bias",
        "model.embed_tokens.weight": "model.embed_tokens.weight",
        "lm_head.weight": "lm_head.weight",
    }
    out = {}
    for name, tensor in tensors.items():
        if name in outside:
            out[outside[name]] = tensor
            continue
        block, _, rest = name.removeprefix("model.layers.").partition(".")
        i = int(block)
        if rest in EXPERT_PART:
            for e, expert in enumerate(tensor):
                out[f"model.layers.{2 * i + 1}.zaya_block.experts.local_experts.{e}.{EXPERT_PART[rest]}.weight"] = expert
        elif rest.startswith("post_mlp_residual_scale."):
            owner = f"model.layers.{2 * i + 2}" if i + 1 < n_blocks else "model"
            out[f"{owner}.res_scale.{rest.rpartition('.')[2]}"] = tensor
        else:
            out[legacy_name(i, rest)] = tensor
    return out


def legacy_name(block: int, rest: str) -> str:
    """One tensor of a block that keeps its shape."""
    for half, names in ((2 * block, ATTENTION_HALF), (2 * block + 1, MIXTURE_HALF)):
        for native, legacy in names.items():
            if rest.startswith(native):
                return f"model.layers.{half}.{legacy}{rest.removeprefix(native)}"
    raise ValueError(f"no legacy name for {rest}")


def legacy(config: dict[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Tensors]:
    """config.json and tensors as in the repositories from before the layout of transformers."""
    n_blocks, kinds = config["num_hidden_layers"], config["layer_types"]
    rope = config["rope_parameters"]
    out = {key: config[key] for key in (
        "architectures", "attention_bias", "attention_dropout", "bos_token_id", "dtype", "eos_token_id", "head_dim", "hidden_size",
        "initializer_range", "lm_head_bias", "max_position_embeddings", "model_type", "num_attention_heads", "num_experts",
        "num_key_value_heads", "pad_token_id", "use_cache", "vocab_size")}
    out |= dict(
        activation_func="swiglu",
        activation_func_fp8_input_store=False,
        add_bias_linear=False,
        apply_rope_fusion=True,
        bias_activation_fusion=True,
        cca=True,
        ffn_hidden_size=2 * config["moe_intermediate_size"],
        fused_add_norm=False,
        gated_linear_unit=True,
        kv_channels=config["head_dim"],
        mamba_cache_dtype="float32",
        moe_router_topk=1,
        norm_epsilon=config["rms_norm_eps"],
        normalization="RMSNorm",
        num_hidden_layers=2 * n_blocks,
        num_query_groups=config["num_key_value_heads"],
        partial_rotary_factor=rope[HYBRID]["partial_rotary_factor"],
        residual_in_fp32=True,
        rope_scaling=False,
        rope_theta=rope[HYBRID]["rope_theta"],
        scale_residual_merge=True,
        sliding_window=None,
        transformers_version="4.57.1",
        zaya_mlp_expansion=config["router_hidden_size"],
        zaya_use_eda=True,
        zaya_use_mod=True,
    )
    if SLIDING in kinds:  # tokens before the current one that are seen; an entry a half-layer
        out["swa_layers"] = [n for kind in kinds for n in ((config["sliding_window"] - 1) * (kind == SLIDING), 0)]
        out["swa_rotary_base"] = rope[SLIDING]["rope_theta"]
    if not config["tie_word_embeddings"]:  # where it is left out, the head is tied
        out["tie_word_embeddings"] = False
    return out, legacy_tensors(tensors, n_blocks)


def clamped_legacy(config: dict[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Tensors]:
    """The half-layer layout with temperatures stored as logarithms."""
    out, tensors = legacy(config, tensors)
    return out | {"clamp_temp": True}, tensors


def november(config: dict[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Tensors]:
    """The half-layer layout with the config of November 2025: lists with an entry a half-layer, attention heads of the full width."""
    out, tensors = legacy(config, tensors)
    n_blocks = config["num_hidden_layers"]
    for name in ("ffn_hidden_size", "num_query_groups", "num_experts", "head_dim", "kv_channels", "clamp_temp", "normalization"):
        out.pop(name, None)
    out |= dict(
        num_hidden_layers=3 * n_blocks,  # as in the released class, where it is another number than that of the half-layers
        num_attention_heads=2 * config["num_attention_heads"],
        zaya_layers=["a", config["num_experts"]] * n_blocks,
        cca_num_q_heads=[config["num_attention_heads"], 0] * n_blocks,
        num_query_groups_list=[config["num_key_value_heads"], 0] * n_blocks,
        ffn_hidden_size_list=[0, 2 * config["moe_intermediate_size"]] * n_blocks,
        zaya_mlp_expansion=[0, config["router_hidden_size"]] * n_blocks,
        rope_parameters={"factor": 1.0, "rope_theta": out["rope_theta"], "rope_type": "linear"},
        residual_in_fp32=False,
    )
    return out, tensors


# What the legacy layout means and transformers does not compute. Written from the code that Zyphra released with these checkpoints: their fork
# of transformers (November 2025), and for clamp_temp their vLLM model. The rest of the answers is transformers' own.


def keep_skipped(model: PreTrainedModel) -> None:
    """A token that takes the skip expert gets its own input times the probability of that choice, instead of nothing."""

    def amend(mixture):
        seen = {}

        def see(router, _inputs, output):
            seen["chosen"] = selection_scores(router, output).argmax(-1)
            seen["skip"] = torch.softmax(output[0], dim=-1)[:, -1]

        def add(mixture, inputs, output):
            kept = seen["skip"] * (seen["chosen"] == mixture.experts.num_experts)
            return output[0] + inputs[0] * kept.view(*inputs[0].shape[:-1], 1), *output[1:]

        mixture.gate.register_forward_hook(see)
        mixture.register_forward_hook(add)

    for layer in model.model.layers:
        amend(layer.mlp)


@torch.no_grad()
def keep_skipped_clamp_temperatures(model: PreTrainedModel) -> None:
    """And the temperature is exp(clamp(temp, 1e-7, 2))."""
    keep_skipped(model)
    for layer in model.model.layers:
        temp = layer.self_attn.qk_norm.temp
        temp.copy_(temp.clamp(1e-7, 2.0).exp())


def keep_skipped_small_epsilon(model: PreTrainedModel) -> None:
    """And the router's norm has an epsilon of 1e-6, whatever the config says."""
    keep_skipped(model)
    for layer in model.model.layers:
        layer.mlp.gate.router_mlp.norm.variance_epsilon = 1e-6


# Variants


def zaya(name: str, about: str, size: Size, config: hf.ZayaConfig, weight_rule=rule, **more: Any) -> Variant:
    """A variant of one config; the model is built when asked for."""
    more = dict(dtype=torch.bfloat16, f32_leaves=("balancing_biases",)) | more
    return Variant(name, about, lambda: causal(config), weight_rule, size.window, size.vocab, scores=selection_scores, **more)


def causal(config: hf.ZayaConfig) -> PreTrainedModel:
    """The only class there is."""
    return hf.ZayaForCausalLM(config)


def with_legacy(native: Variant) -> list[Variant]:
    """A variant, and the same weights in the half-layer layout."""
    return [native, dataclasses.replace(native, name=f"{native.name}_legacy", respell=legacy, edit_config=None, weights_of=native.name,
                                        about=f"{native.name} in the legacy half-layer layout")]


def main_variants(z: Size, wide: Size, deep: str, mixed: str) -> list[Variant]:
    """What a released model has, in both layouts."""
    native = [
        zaya("full", f"{len(deep)} blocks of full attention, tied head, f32 file, stray rope_type beside the nested RoPE dicts", z,
             config(z, deep), dtype=torch.float32, f32_leaves=(), edit_config=rope_type_beside_nested),
        zaya("wide", f"{wide.heads} query heads on {wide.kv_heads} KV heads, the second half of which hold delayed values; every tensor bf16", wide,
             config(wide, "h" * len(deep)), f32_leaves=()),
        zaya("sliding", "sliding and full blocks, untied head, bf16 file with f32 balancing biases", z,
             config(z, mixed, tie_word_embeddings=False)),
    ]
    return [variant for one in native for variant in with_legacy(one)]


def corner_cases(z: Size, odd: Size, listed: Size, times: list[tuple[int, int]]) -> list[Variant]:
    """What no released file has."""
    return [
        zaya(f"time{a}_{b}", f"convolutions over {a} and {b} tokens, sliding and full blocks", z,
             config(z, "shs", cca_time0=a, cca_time1=b)) for a, b in times
    ] + [
        zaya("legacy_skip", "the skip expert of the legacy layout hands the token on; temperatures clamped and exponentiated", z,
             config(z, "hsh"), wide_temperatures_rule, amend=keep_skipped_clamp_temperatures, respell=clamped_legacy),
        zaya("november", "the config of November 2025, with lists and full-width heads; the skip expert hands the token on, router epsilon 1e-6",
             listed, config(listed, "hhh"), small_states_rule, amend=keep_skipped_small_epsilon, respell=november),
        zaya("skip", "the skip expert is chosen for some tokens, and then adds nothing", z, config(z, "hsh"), skipping_rule),
        zaya("defaults", "keys left out that have defaults: RoPE theta 5e6, kernels of 2, tied head; sizes that are no multiple of 16", odd,
             config(odd, "hhh", rope_parameters=None), edit_config=defaults_left_out),
    ]


def stretched_angles(z: Size) -> list[Variant]:
    """rope_types that no released file has."""
    yarn = {"rope_type": "yarn", "rope_theta": 200.0, "partial_rotary_factor": 0.5, "factor": 8.0, "original_max_position_embeddings": 48,
            "beta_fast": 6.0, "beta_slow": 0.5, "mscale": 0.8, "mscale_all_dim": 0.2}
    linear = {"rope_type": "linear", "rope_theta": 30.0, "partial_rotary_factor": 1.0, "factor": 2.5}
    return [zaya("rope_types", "YaRN with mscale on half of the full blocks' heads, linear on all of the sliding ones'", z,
                 config(z, "hs", rope_parameters={HYBRID: yarn, SLIDING: linear}))]


@functools.cache
def golden_variants() -> list[Variant]:
    """Tiny checkpoints; bf16 files, except one, to keep them small."""
    z = Size()
    wide = Size(heads=8, kv_heads=4, hidden=30, experts=6, router=24, expert_mlp=4)
    odd = Size(hidden=37, heads=6, kv_heads=2, head_dim=12, experts=5, expert_mlp=7, router=19, vocab=61)
    listed = Size(hidden=64, head_dim=8)  # hidden = 2 heads head_dim, in which these configs count their heads
    return main_variants(z, wide, "hhh", "shs") + corner_cases(z, odd, listed, [(3, 2)]) + stretched_angles(z)


def parity_variants(seed: int) -> list[Variant]:
    """The same variants with up to 6 blocks and sizes drawn from the seed."""
    rng = generator("zaya parity sizes", seed)
    pick = lambda *options: options[int(rng.integers(len(options)))]  # noqa: E731
    kv = pick(2, 4)
    z = Size(hidden=pick(64, 72, 96, 128), heads=kv * pick(1, 2, 4), kv_heads=kv, head_dim=pick(16, 24, 32), experts=pick(4, 6, 16),
             expert_mlp=pick(24, 32, 40), router=pick(16, 32, 48), window=pick(12, 16), vocab=256)
    wide = dataclasses.replace(z, heads=8, kv_heads=pick(2, 4))
    odd = Size(hidden=pick(50, 66, 101), heads=6, kv_heads=2, head_dim=pick(12, 20), experts=pick(5, 7), expert_mlp=pick(13, 21),
               router=pick(19, 27), window=pick(11, 13), vocab=251)
    listed = dataclasses.replace(z, hidden=2 * z.heads * z.head_dim)
    return main_variants(z, wide, pick("hhhhhh", "hhhh"), pick("shsshs", "hshs")) + corner_cases(z, odd, listed, [(3, 2), (2, 3), (1, 4)])
