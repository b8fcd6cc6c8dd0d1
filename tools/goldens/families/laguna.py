"""Laguna: attention with gated heads whose number differs from layer to layer, YaRN on full layers, sigmoid-routed experts.

Layer patterns are strings, one letter a layer: f full, s sliding.
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
from ..weights import generator

SLIDING, FULL = "sliding_attention", "full_attention"


@dataclasses.dataclass(frozen=True)
class Size:
    """The numbers that differ between a tiny golden and a larger parity model."""

    hidden: int = 24
    mlp: int = 20
    head_dim: int = 8
    kv_heads: int = 2
    experts: int = 6
    top_k: int = 2
    expert_mlp: int = 6
    shared_mlp: int = 7
    window: int = 8
    vocab: int = 72


TINY = Size()


# Weights


def rule(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
    """Branches less than half as large as the stream they are added to; routers that spread; a bias that changes choices."""
    leaf = name.removesuffix(".weight").rsplit(".", 1)[-1]
    if leaf == "e_score_correction_bias":
        return rng.uniform(-0.3, 0.3, shape)
    if leaf == "gate":  # the router; logits with a standard deviation of about 1.5
        return rng.standard_normal(shape) * 1.5 / math.sqrt(shape[-1])
    if leaf in ("o_proj", "down_proj"):
        return rng.standard_normal(shape) * 0.6 / math.sqrt(shape[-1])
    if leaf == "norm":  # final norm: stretches the logits
        return rng.uniform(2.0, 5.0, shape)
    if leaf == "embed_tokens":
        return rng.standard_normal(shape)
    return None


def tied_rule(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
    """Embeddings no larger than the rows of a head are: otherwise the last token would predict itself."""
    return None if name.endswith("embed_tokens.weight") else rule(name, shape, rng)


def selection_scores(router: torch.nn.Module, output: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Sigmoid of the logits, plus the bias that affects the choice only."""
    return torch.sigmoid(output[0]) + router.e_score_correction_bias


# Configs


def yarn(partial: float, **more: Any) -> dict[str, Any]:
    """YaRN whose ramp lies inside the few frequencies of a small head, within the positions that are asked."""
    settings = dict(rope_type="yarn", rope_theta=200.0, factor=8.0, original_max_position_embeddings=48, beta_fast=6.0, beta_slow=0.5,
                    partial_rotary_factor=partial)
    return settings | more


def plain(partial: float, theta: float = 50.0) -> dict[str, Any]:
    """Unscaled RoPE."""
    return dict(rope_type="default", rope_theta=theta, partial_rotary_factor=partial)


def config(size: Size, pattern: str, heads: list[int], dense: int = 1, **more: Any) -> hf.LagunaConfig:
    """The first `dense` layers have a dense MLP, the others experts."""
    settings = dict(
        vocab_size=size.vocab,
        hidden_size=size.hidden,
        intermediate_size=size.mlp,
        num_hidden_layers=len(pattern),
        layer_types=[{"s": SLIDING, "f": FULL}[letter] for letter in pattern],
        num_attention_heads=heads[0],
        num_attention_heads_per_layer=heads,
        num_key_value_heads=size.kv_heads,
        head_dim=size.head_dim,
        sliding_window=size.window,
        mlp_layer_types=["dense"] * dense + ["sparse"] * (len(pattern) - dense),
        num_experts=size.experts,
        num_experts_per_tok=size.top_k,
        moe_intermediate_size=size.expert_mlp,
        shared_expert_intermediate_size=size.shared_mlp,
        moe_routed_scaling_factor=2.5,
        max_position_embeddings=384,
        bos_token_id=2,
        eos_token_id=[2, 24],
        rope_parameters={FULL: yarn(0.5), SLIDING: plain(1.0)},
    )
    return hf.LagunaConfig(**(settings | more))


# Deviations from what transformers writes


def defaults_left_out(config: dict[str, Any]) -> dict[str, Any]:
    """Removes keys whose absence means the default: all layers full, the first dense, one head count, gates per head."""
    for key in ("layer_types", "mlp_layer_types", "num_attention_heads_per_layer", "rope_parameters", "gating", "rms_norm_eps",
                "moe_routed_scaling_factor", "moe_router_logit_softcapping", "attention_bias", "hidden_act", "tie_word_embeddings"):
        config.pop(key)
    return config


def stacked(tensors: Tensors) -> Tensors:
    """The names of transformers' modules: experts packed, gate rows first; bias under the router; shared_experts."""
    packed: dict[str, dict[int, Tensors]] = {}
    out = {}
    for name, tensor in tensors.items():
        before, found, after = name.partition(".mlp.experts.")
        number, _, leaf = after.partition(".")
        if found and number.isdigit():
            packed.setdefault(before, {}).setdefault(int(number), {})[leaf.split(".")[0]] = tensor
        else:
            name = name.replace(".mlp.experts.e_score", ".mlp.gate.e_score").replace(".mlp.shared_expert.", ".mlp.shared_experts.")
            out[name] = tensor
    for layer, experts in packed.items():
        order = [experts[e] for e in range(len(experts))]
        out[f"{layer}.mlp.experts.gate_up_proj"] = torch.stack([torch.cat([e["gate_proj"], e["up_proj"]]) for e in order])
        out[f"{layer}.mlp.experts.down_proj"] = torch.stack([e["down_proj"] for e in order])
    return out


def flat_beside_nested(config: dict[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Tensors]:
    """RoPE as XS.2 has it: flat keys beside the nested dicts, which must only fill gaps; the rotated part at the top level."""
    rope = config["rope_parameters"]
    full = rope[FULL]
    config["partial_rotary_factor"] = full.pop("partial_rotary_factor")
    rope["original_max_position_embeddings"] = full.pop("original_max_position_embeddings")
    rope["factor"] = full.pop("factor")
    rope["rope_type"], rope["rope_theta"] = full["rope_type"], 7.0
    config["norm_topk_prob"] = True
    return config, tensors


def dense_by_index(config: dict[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Tensors]:
    """As M.1 has it: mlp_only_layers, no lists of layers, window 0, one flat rope_parameters."""
    kinds = config.pop("mlp_layer_types")
    config["mlp_only_layers"] = [i for i, kind in enumerate(kinds) if kind == "dense"]
    config["decoder_sparse_step"] = 1
    config.pop("layer_types")
    config.pop("num_attention_heads_per_layer")
    config["sliding_window"] = 0
    config["rope_parameters"] = config["rope_parameters"][FULL]
    return config, tensors


def other_names(config: dict[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Tensors]:
    """Prefix language_model., router weight under mlp.gate.proj; flat rope_parameters with swa_rope_parameters beside them."""
    rope = config.pop("rope_parameters")
    config["rope_parameters"], config["swa_rope_parameters"] = rope[FULL], rope[SLIDING]
    renamed = {f"language_model.{n}".replace(".mlp.gate.weight", ".mlp.gate.proj.weight"): t for n, t in tensors.items()}
    return config, renamed


# Variants


def laguna(name: str, about: str, size: Size, config: hf.LagunaConfig, **more: Any) -> Variant:
    """A variant of one config; the model is built when asked for."""
    weight_rule = tied_rule if config.tie_word_embeddings else rule
    return Variant(name, about, lambda: causal(config), weight_rule, size.window, size.vocab, scores=selection_scores, **more)


def causal(config: hf.LagunaConfig) -> PreTrainedModel:
    """The only class there is."""
    return hf.LagunaForCausalLM(config)


def variants(z: Size, odd: Size, deep: str, heads: list[int]) -> list[Variant]:
    """`deep` is the pattern of the released kind, `heads` its query heads; the others have three layers or so."""
    n = len(deep)
    few = heads[:1] * 2 + [heads[0] + z.kv_heads]
    derived = 0.1 * math.log(8.0) + 1.0
    xs = lambda **more: config(z, deep, heads, gating="per-head", rope_parameters={  # noqa: E731
        FULL: yarn(0.5, attention_factor=derived), SLIDING: plain(1.0)}, **more)
    return [
        laguna("xs", f"gate per head, {n} layers with different head counts, YaRN with the derived attention_factor written out, "
               "partial rotary 0.5 and 1.0, untied head; one tensor an expert", z, xs()),
        laguna("stacked", "xs under the names of transformers' modules: packed experts, bias under mlp.gate, shared_experts", z, xs(),
               edit_tensors=stacked, weights_of="xs"),
        laguna("xs2", "gating true, attention_factor 1.0 beside a factor of 8, flat rope keys beside the nested dicts (one of them "
               "misleading)", z, config(z, "fss", few, gating=True, rope_parameters={
                   FULL: yarn(0.5, attention_factor=1.0), SLIDING: plain(1.0)}), respell=flat_beside_nested),
        laguna("m1", "gate per element, all layers full without layer_types, two dense layers by mlp_only_layers, partial rotary 1, "
               "no attention_factor, no scaling of the routed sum, window 0, flat rope_parameters", z,
               config(z, "ffff", heads[:1] * 4, dense=2, gating="per-element", moe_routed_scaling_factor=1.0,
                      rope_parameters={FULL: yarn(1.0)}), respell=dense_by_index),
        laguna("per_element", "gate per element where head counts differ, attention_factor 0.7, partial rotary 0.75 on full and 0.5 on "
               "sliding layers, tied head, last layer sliding", z,
               config(z, "sfs", few[::-1], gating="per-element", tie_word_embeddings=True, rope_parameters={
                   FULL: yarn(0.75, attention_factor=0.7, beta_fast=4.0), SLIDING: plain(0.5)})),
        laguna("softcap", "router logits capped at 1.5, three experts a token, YaRN without attention_factor and with default betas; sizes "
               "that are no multiple of 16; one KV head; sharded with an index", odd,
               config(odd, "fsf", [3, 4, 3], dense=1, moe_router_logit_softcapping=1.5, rope_parameters={
                   FULL: {k: v for k, v in yarn(0.5, original_max_position_embeddings=400).items() if not k.startswith("beta")},
                   SLIDING: plain(1.0)}), max_shard_size="30KB"),
        laguna("defaults", "keys left out that have defaults: no RoPE scaling, partial rotary 0.5, first layer dense", z,
               config(z, "fff", heads[:1] * 3, moe_routed_scaling_factor=1.0, rope_parameters=None), edit_config=defaults_left_out),
        laguna("sparse_first", "a dense layer between sparse ones; every expert chosen; sliding layers only", z,
               dense_in_the_middle(dataclasses.replace(z, experts=3, top_k=3))),
        laguna("other_names", "prefix language_model., mlp.gate.proj, swa_rope_parameters", z,
               config(z, "fs", few[1:], dense=1, gating="per-head"), respell=other_names),
        laguna("bf16", "bf16 file with the correction bias in f32; f32 reference on the rounded weights", odd,
               config(odd, "fssf", [4, 6, 6, 8] if odd.kv_heads <= 2 else heads[:4], rope_parameters={
                   FULL: yarn(0.5, attention_factor=derived), SLIDING: plain(1.0)}),
               dtype=torch.bfloat16, f32_leaves=("e_score_correction_bias",)),
    ]


def dense_in_the_middle(size: Size) -> hf.LagunaConfig:
    """Three sliding layers, the second dense."""
    heads = [2 * size.kv_heads] * 3
    return config(size, "sss", heads, mlp_layer_types=["sparse", "dense", "sparse"])


def stretched_angles(z: Size) -> list[Variant]:
    """rope_types that no released file has."""
    llama3 = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 64, "partial_rotary_factor": 0.5}
    return [laguna("rope_types", "llama3 on half of the full layer's heads, YaRN with mscale on the sliding one's", z,
                   config(z, "fs", [2, 4], rope_parameters={FULL: llama3, SLIDING: yarn(1.0, mscale=1.2, mscale_all_dim=0.4)}))]


@functools.cache
def golden_variants() -> list[Variant]:
    """Tiny checkpoints, at most about 130 KB each."""
    odd = Size(hidden=21, mlp=17, head_dim=8, kv_heads=1, experts=5, top_k=3, expert_mlp=5, shared_mlp=9, window=9, vocab=67)
    small = dataclasses.replace(TINY, hidden=16, mlp=16, experts=3, vocab=64)
    return variants(TINY, odd, "fssf", [4, 6, 6, 8]) + stretched_angles(small)


def parity_variants(seed: int) -> list[Variant]:
    """The same variants with up to 8 layers and sizes drawn from the seed."""
    rng = generator("laguna parity sizes", seed)
    pick = lambda *options: options[int(rng.integers(len(options)))]  # noqa: E731
    z = Size(hidden=pick(64, 72, 96, 120), mlp=pick(80, 96, 120, 136), head_dim=pick(16, 24, 32), kv_heads=pick(1, 2),
             experts=pick(8, 12, 16), top_k=pick(2, 3, 4), expert_mlp=pick(16, 20, 32), shared_mlp=pick(24, 32, 36), window=16, vocab=256)
    odd = Size(hidden=pick(50, 66, 108), mlp=pick(51, 97), head_dim=pick(8, 12), kv_heads=pick(1, 1), experts=pick(7, 11), top_k=3,
               expert_mlp=pick(13, 19), shared_mlp=pick(9, 25), window=pick(13, 17), vocab=251)
    deep = pick("fsssfsss", "fssfssf", "sfssfs")
    heads = [pick(4, 6, 8) for _ in deep]
    return variants(z, odd, deep, heads)
