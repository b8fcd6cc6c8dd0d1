"""DeepSeek V4: one shared KV head, window attention beside compressed entries (CSA picks them by an indexer, HCA takes all), residual streams
mixed by mHC, hash-routed and score-routed experts.

Layer patterns are strings, one letter a layer: s window only, c compressed sparse (CSA), h heavily compressed (HCA).
"""

import dataclasses
import functools
import math
import re
from typing import Any

import numpy as np
import torch
import transformers as hf
from transformers import PreTrainedModel

from ..block_formats import FP4_BLOCK, FP8_BLOCK, decode_fp4, decode_fp8, encode_fp4, encode_fp8
from ..variants import Tensors, Variant
from ..weights import generator, make_tensor

CSA, HCA = "compressed_sparse_attention", "heavily_compressed_attention"
KINDS = {"s": "sliding_attention", "c": CSA, "h": HCA}
RATIOS = {"sliding_attention": 0, CSA: 4, HCA: 128}


@dataclasses.dataclass(frozen=True)
class Size:
    """The numbers that differ between a tiny golden and a larger parity model. The rotated part is the last of a head and of an index head."""

    hidden: int = 32
    heads: int = 4
    head_dim: int = 16
    rotated: int = 8
    q_lora: int = 24
    o_groups: int = 2
    o_lora: int = 12
    index_heads: int = 8
    index_dim: int = 16
    index_topk: int = 3
    experts: int = 6
    top_k: int = 2
    expert_mlp: int = 12
    streams: int = 4
    window: int = 8
    hca_rate: int = 8
    vocab: int = 96


# Around windows of 8 and 9, entries of 4 and 8 tokens; the last has more entries than an indexer takes.
SHORT_LENGTHS = (1, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 33, 47)
# The same around entries of 128 tokens, and windows of as many.
LONG_LENGTHS = (1, 3, 4, 5, 127, 128, 129, 255, 256, 257, 300)


# Weights


def rule(n_experts: int, name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray | None:
    """Branches half as large as the streams; routers and mixing that spread; gates, sinks and position biases of order one."""
    leaf = name.removesuffix(".weight").rsplit(".", 1)[-1]
    if leaf == "tid2eid":  # different experts for one token
        return np.argsort(rng.random((shape[0], n_experts)), axis=1)[:, : shape[1]]
    if leaf == "e_score_correction_bias":
        return rng.uniform(-0.3, 0.3, shape)
    if leaf == "gate":  # the router; logits with a standard deviation of about 1.5
        return rng.standard_normal(shape) * 1.5 / math.sqrt(shape[-1])
    if leaf in ("sinks", "base", "hc_base", "position_bias"):
        return rng.standard_normal(shape)
    if leaf in ("o_b_proj", "down_proj"):
        return rng.standard_normal(shape) * 0.6 / math.sqrt(shape[-1])
    if name == "model.norm.weight":  # final norm: stretches the logits
        return rng.uniform(2.0, 5.0, shape)
    if leaf == "embed_tokens":
        return rng.standard_normal(shape)
    return None


def selection_scores(router: torch.nn.Module, output: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The activated logits plus the bias that affects the choice only; where a table chooses, 1 for what it chose."""
    if hasattr(router, "tid2eid"):
        return torch.zeros_like(output[0]).scatter(1, output[2], 1.0)
    return router.score_fn(output[0]) + router.e_score_correction_bias


# Configs


def yarn(**more: Any) -> dict[str, Any]:
    """YaRN whose ramp lies inside the few frequencies of a small head, within the positions that are asked."""
    settings = dict(rope_type="yarn", factor=8.0, original_max_position_embeddings=48, beta_fast=6.0, beta_slow=0.5)
    return settings | more


RELEASED_YARN = dict(type="yarn", factor=16, original_max_position_embeddings=65536, beta_fast=32, beta_slow=1)


def config(size: Size, pattern: str, n_hash: int, **more: Any) -> hf.DeepseekV4Config:
    """The first `n_hash` layers route by a table. RoPE settings are flat ones, for the compressed layers."""
    settings = dict(
        vocab_size=size.vocab,
        hidden_size=size.hidden,
        num_hidden_layers=len(pattern),
        layer_types=[KINDS[letter] for letter in pattern],
        mlp_layer_types=["hash_moe"] * n_hash + ["moe"] * (len(pattern) - n_hash),
        compress_rates={CSA: 4, HCA: size.hca_rate},
        num_attention_heads=size.heads,
        head_dim=size.head_dim,
        partial_rotary_factor=size.rotated / size.head_dim,
        q_lora_rank=size.q_lora,
        o_groups=size.o_groups,
        o_lora_rank=size.o_lora,
        index_n_heads=size.index_heads,
        index_head_dim=size.index_dim,
        index_topk=size.index_topk,
        n_routed_experts=size.experts,
        num_experts_per_tok=size.top_k,
        moe_intermediate_size=size.expert_mlp,
        hc_mult=size.streams,
        sliding_window=size.window,
        swiglu_limit=1.0,
        rope_theta=50.0,
        compress_rope_theta=200.0,
        rope_parameters=yarn(),
        max_position_embeddings=512,
    )
    return hf.DeepseekV4Config(**(settings | more))


def released(size: Size, pattern: str, n_hash: int, **more: Any) -> hf.DeepseekV4Config:
    """With the entries of 128 tokens and the RoPE of the releases."""
    settings = dict(compress_rates={CSA: 4, HCA: 128}, rope_theta=10000.0, compress_rope_theta=160000.0,
                    rope_parameters=dict(RELEASED_YARN), max_position_embeddings=1048576)
    return config(size, pattern, n_hash, **(settings | more))


# Deviations from what transformers writes: config.json


def legacy_keys(config: dict[str, Any]) -> dict[str, Any]:
    """Layers by type, but the older keys for rates, hash layers, rotated part and RoPE; keys left out that have defaults."""
    rates, kinds = config.pop("compress_rates"), config.pop("mlp_layer_types")
    config["compress_rate_csa"], config["compress_rate_hca"] = rates[CSA], rates[HCA]
    config["num_hash_layers"] = kinds.count("hash_moe")
    config.pop("partial_rotary_factor")
    config["rope_scaling"] = flat_rope(config.pop("rope_parameters"))
    for key in ("hc_eps", "hc_mult", "hc_sinkhorn_iters", "hidden_act", "rms_norm_eps", "norm_topk_prob", "routed_scaling_factor", "scoring_func",
                "tie_word_embeddings", "n_shared_experts", "num_key_value_heads", "attention_bias", "mlp_bias", "num_nextn_predict_layers"):
        config.pop(key)
    return config


def flat_rope(nested: dict[str, Any]) -> dict[str, Any]:
    """The scaling alone, under the key `type` only."""
    elsewhere = ("rope_type", "rope_theta", "partial_rotary_factor", "attention_factor")
    scaling = {k: v for k, v in nested["compress"].items() if k not in elsewhere}
    return scaling | {"type": nested["compress"]["rope_type"]}


def released_config(config: dict[str, Any]) -> dict[str, Any]:
    """config.json of the original releases: flat, a ratio a layer and one more for the layer that predicts further tokens."""
    kept = ("architectures", "attention_bias", "attention_dropout", "bos_token_id", "eos_token_id", "hc_eps", "hc_mult", "hc_sinkhorn_iters",
            "head_dim", "hidden_act", "hidden_size", "index_head_dim", "index_n_heads", "index_topk", "initializer_range",
            "max_position_embeddings", "model_type", "moe_intermediate_size", "n_routed_experts", "n_shared_experts",
            "norm_topk_prob", "num_attention_heads", "num_experts_per_tok", "num_hidden_layers", "num_key_value_heads",
            "num_nextn_predict_layers", "o_groups", "o_lora_rank", "q_lora_rank", "qk_rope_head_dim", "rms_norm_eps",
            "rope_theta", "compress_rope_theta", "routed_scaling_factor", "scoring_func", "sliding_window", "swiglu_limit",
            "tie_word_embeddings", "use_cache", "vocab_size")
    out = {key: config[key] for key in kept}
    out["compress_ratios"] = [RATIOS[kind] for kind in config["layer_types"]] + [0]
    out["num_hash_layers"] = config["mlp_layer_types"].count("hash_moe")
    out["rope_scaling"] = flat_rope(config["rope_parameters"])
    return out | dict(topk_method="noaux_tc", torch_dtype="bfloat16", transformers_version="4.57.1")


# Deviations from what transformers writes: tensors


def released_names(tensors: Tensors) -> Tensors:
    """Names of the original releases. transformers puts `model.` before them, and writes a few otherwise."""
    out = {}
    for name, tensor in tensors.items():
        name = name.removeprefix("model.").replace("embed_tokens.", "embed.").replace("hc_head.hc_", "hc_head_")
        out[name.replace(".attn.norm.", ".attn.kv_norm.")] = tensor
    return out


def older_names(config: dict[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Tensors]:
    """The indexer's weights_proj where transformers had it before the scorer was a module."""
    return config, {name.replace(".scorer.", "."): tensor for name, tensor in tensors.items()}


def next_token_layer(model: PreTrainedModel, seed: int) -> Tensors:
    """mtp.0: a window-only block that predicts one token more, which transformers ignores; random values of the right shapes."""
    c = model.config
    d, f, s, wide = c.hidden_size, c.moe_intermediate_size, c.hc_mult, c.num_attention_heads * c.head_dim
    mix = (2 + s) * s
    shapes = {
        "attn_norm.weight": [d], "ffn_norm.weight": [d], "enorm.weight": [d], "hnorm.weight": [d], "norm.weight": [d],
        "e_proj.weight": [d, d], "h_proj.weight": [d, d], "hc_head_fn": [s, s * d], "hc_head_base": [s], "hc_head_scale": [1],
        "attn.wq_a.weight": [c.q_lora_rank, d], "attn.q_norm.weight": [c.q_lora_rank], "attn.wq_b.weight": [wide, c.q_lora_rank],
        "attn.wkv.weight": [c.head_dim, d], "attn.kv_norm.weight": [c.head_dim], "attn.attn_sink": [c.num_attention_heads],
        "attn.wo_a.weight": [c.o_groups * c.o_lora_rank, wide // c.o_groups], "attn.wo_b.weight": [d, c.o_groups * c.o_lora_rank],
        "ffn.gate.weight": [c.n_routed_experts, d], "ffn.gate.bias": [c.n_routed_experts],
    }
    for half in ("attn", "ffn"):
        shapes |= {f"hc_{half}_fn": [mix, s * d], f"hc_{half}_base": [mix], f"hc_{half}_scale": [3]}
    for mlp in ["shared_experts"] + [f"experts.{e}" for e in range(c.n_routed_experts)]:
        shapes |= {f"ffn.{mlp}.w1.weight": [f, d], f"ffn.{mlp}.w2.weight": [d, f], f"ffn.{mlp}.w3.weight": [f, d]}
    return {f"mtp.0.{n}": make_tensor(f"mtp.0.{n}", tuple(shape), seed, lambda *_: None) for n, shape in shapes.items()}


# Released precisions. A tensor's name says what it is stored as.

FP8_LEAVES = ("wq_a", "wq_b", "wkv", "wo_a", "wo_b", "e_proj", "h_proj")
F32_NAMES = re.compile(r"hc_|attn_sink|\.ape$|gate\.bias$|tid2eid$")


def stored_as(name: str) -> str:
    """expert, fp8, f32 or bf16, for a name of the original releases."""
    if ".experts." in name:
        return "expert"
    leaf = name.removesuffix(".weight").rpartition(".")[2]
    if ".shared_experts." in name or (leaf in FP8_LEAVES and ".compressor." not in name):
        return "fp8"
    return "f32" if F32_NAMES.search(name) else "bf16"


def uneven(weight: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """The weight with blocks of different magnitudes, so that the scale of another block would be wrong."""
    row, column = torch.arange(weight.shape[0]).unsqueeze(1) // rows, torch.arange(weight.shape[1]) // columns
    return weight * 2.0 ** ((row + 2 * column) % 3 - 1)


@dataclasses.dataclass(frozen=True)
class Precision:
    """How a release stores its matrices."""

    scale: torch.dtype
    experts: str

    def kind(self, name: str) -> str:
        """fp4, fp8, f32 or bf16."""
        kind = stored_as(name)
        return self.experts if kind == "expert" else kind

    def encode(self, name: str, tensor: torch.Tensor) -> Tensors:
        """The tensors of the file for one of the model."""
        kind = self.kind(name)
        if kind in ("f32", "bf16"):
            return {name: tensor.to(torch.bfloat16) if kind == "bf16" else tensor}
        codes, scale = encode_fp4(tensor) if kind == "fp4" else encode_fp8(tensor, self.scale)
        return {name: codes, name.removesuffix(".weight") + ".scale": scale}

    def decode(self, stored: Tensors) -> torch.Tensor:
        """What the tensors that `encode` gave stand for."""
        if len(stored) == 1:
            (tensor,) = stored.values()
            return tensor.float() if tensor.is_floating_point() else tensor
        codes, scale = stored.values()
        return decode_fp4(codes, scale) if codes.dtype == torch.int8 else decode_fp8(codes, scale)

    def rounded(self, tensors: Tensors) -> Tensors:
        """Original names, and values that this precision holds exactly: what the reference reads."""
        out = {}
        for name, tensor in released_names(tensors).items():
            block = {"fp4": (1, FP4_BLOCK), "fp8": (FP8_BLOCK, FP8_BLOCK)}.get(self.kind(name))
            out[name] = self.decode(self.encode(name, uneven(tensor, *block) if block else tensor))
        return out

    def stored(self, config: dict[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Tensors]:
        """The file as released."""
        out: Tensors = {}
        for name, tensor in tensors.items():
            encoded = self.encode(name, tensor)
            if not torch.equal(self.decode(encoded), tensor):
                raise ValueError(f"{name} changes when stored")
            out |= encoded
        config["quantization_config"] = dict(activation_scheme="dynamic", fmt="e4m3", quant_method="fp8", scale_fmt="ue8m0",
                                             weight_block_size=[FP8_BLOCK, FP8_BLOCK])
        if self.experts == "fp4":
            config["expert_dtype"] = "fp4"
        return config, out


def fp8_with_fp4_experts(tensors: Tensors) -> Tensors:
    """E8M0 scales; FP4 experts."""
    return Precision(torch.float8_e8m0fnu, "fp4").rounded(tensors)


def store_fp8_with_fp4_experts(config: dict[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Tensors]:
    """E8M0 scales; FP4 experts."""
    return Precision(torch.float8_e8m0fnu, "fp4").stored(config, tensors)


def fp8(tensors: Tensors) -> Tensors:
    """Float32 scales; FP8 experts, as the base models have them."""
    return Precision(torch.float32, "fp8").rounded(tensors)


def store_fp8(config: dict[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Tensors]:
    """Float32 scales; FP8 experts, as the base models have them."""
    return Precision(torch.float32, "fp8").stored(config, tensors)


# Variants

F32_LEAVES = ("fn", "base", "scale", "hc_fn", "hc_base", "hc_scale", "sinks", "position_bias", "e_score_correction_bias")


def v4(name: str, about: str, size: Size, config: hf.DeepseekV4Config, **more: Any) -> Variant:
    """A variant of one config; the model is built when asked for."""
    settings = dict(scores=selection_scores, bos=config.bos_token_id, lengths=SHORT_LENGTHS, continued=(1, 9, 17, 47), tap_length=33,
                    dtype=torch.bfloat16, f32_leaves=F32_LEAVES, max_weight_bytes=900_000)
    weight_rule = functools.partial(rule, size.experts)
    return Variant(name, about, lambda: hf.DeepseekV4ForCausalLM(config), weight_rule, size.window, size.vocab, **(settings | more))


def long(name: str, about: str, size: Size, config: hf.DeepseekV4Config, **more: Any) -> Variant:
    """A variant with entries of 128 tokens; intermediate values of so many would be large."""
    settings = dict(lengths=LONG_LENGTHS, continued=(3, 127, 300), tap_length=0)
    return v4(name, about, size, config, **(settings | more))


def short_variants(z: Size, odd: Size, deep: str, pro: str) -> list[Variant]:
    """Entries of few tokens, in what transformers writes."""
    flash = functools.partial(config, z, deep, 3)
    mixed = ["moe", "hash_moe", "moe", "hash_moe"]
    return [
        v4("flash", f"layers {deep}, three hash layers, four streams; as transformers saves it: original names after model., norm for kv_norm",
           z, flash()),
        v4("flash_modules", "flash under the names of transformers' modules, experts packed", z, flash(),
           save_options={"save_original_format": False}, weights_of="flash"),
        v4("flash_older", "flash under the older names of transformers' modules: weights_proj in the indexer; older keys, RoPE scaling flat, "
           "defaults left out", z, flash(), save_options={"save_original_format": False}, edit_config=legacy_keys,
           respell=older_names, weights_of="flash"),
        v4("pro", f"layers {pro}, one hash layer, more entries taken than there are, a window of two HCA entries; f32 file", z,
           config(dataclasses.replace(z, window=2 * z.hca_rate, index_topk=512), pro, 1, routed_scaling_factor=2.5),
           dtype=torch.float32, f32_leaves=()),
        v4("wide_window", "a window larger than every text; the best entry alone; hash layers between others; no RoPE scaling; "
           "no layer without entries", z,
           config(dataclasses.replace(z, window=128, index_topk=1), "chcc", 0, mlp_layer_types=mixed, rope_parameters=None)),
        v4("narrow_window", "a window of one token, window layers only but the last; YaRN with default betas, swiglu_limit 0.5, "
           "3 rounds of normalising", z,
           config(dataclasses.replace(z, window=1), "ssc", 1, swiglu_limit=0.5, hc_sinkhorn_iters=3,
                  rope_parameters=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=400)),
           cache_is_exact=False),  # transformers' cache keeps every token then
        v4("odd", f"two streams, sizes that are no multiple of 8, HCA entries of {odd.hca_rate} tokens, most of a head rotated; "
           "sharded with an index; f32 file", odd, config(odd, "hcsc", 1), dtype=torch.float32, f32_leaves=(), max_shard_size="90KB"),
    ]


def stretched_angles(z: Size) -> list[Variant]:
    """rope_types that no released file has, named for both kinds of angles."""
    part = {"partial_rotary_factor": z.rotated / z.head_dim}
    llama3 = {"rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 64} | part
    settings = dict(lengths=(1, 9, 33), continued=(9,), tap_length=0)
    return [v4("rope_types", "llama3 in windows, YaRN with mscale over entries, each in an object of its own", z, config(
        z, "sch", 1, rope_parameters={"main": llama3, "compress": yarn(rope_theta=200.0, mscale=0.9, mscale_all_dim=0.3) | part}), **settings)]


def released_variants(z: Size, wide: Size, two: Size) -> list[Variant]:
    """Entries of 128 tokens, in the original layout."""
    flash = functools.partial(released, z, "sschc", 3)
    original = dict(edit_config=released_config, edit_tensors=released_names, extra_tensors=next_token_layer)
    return [
        long("released", "entries of 4 and 128 tokens, RoPE of the releases; as transformers saves it", z, flash()),
        long("released_original", "released under original names with the flat config; mtp.0 beside the layers, one ratio more "
             "than layers", z, flash(), **original, weights_of="released"),
        long("fp8_fp4", "original layout: FP8 with E8M0 scales, FP4 experts; blocks that do not fill 128 rows and columns; layers hhc", wide,
             released(wide, "hhc", 1), dtype=torch.float32, f32_leaves=(), max_weight_bytes=1_000_000, edit_config=released_config,
             edit_tensors=fp8_with_fp4_experts, respell=store_fp8_with_fp4_experts),
        long("base", "original layout: FP8 with float32 scales, also the experts; two streams; layers sch; mtp.0 too", two,
             released(two, "sch", 1), dtype=torch.float32, f32_leaves=(), **(original | dict(edit_tensors=fp8, respell=store_fp8))),
    ]


@functools.cache
def golden_variants() -> list[Variant]:
    """Tiny checkpoints, most about 300 KB each."""
    z = Size()
    odd = Size(hidden=37, heads=6, head_dim=10, rotated=6, q_lora=19, o_groups=3, o_lora=7, index_heads=7, index_dim=9, index_topk=4, experts=5,
               top_k=3, expert_mlp=11, streams=2, window=9, hca_rate=12, vocab=67)
    wide = Size(hidden=160, heads=6, head_dim=32, rotated=16, q_lora=40, o_groups=2, o_lora=72, index_heads=8, index_dim=32, index_topk=6, experts=4,
                expert_mlp=32, window=16, vocab=64)
    long_z = dataclasses.replace(z, vocab=64, window=128, index_topk=5)
    two = dataclasses.replace(wide, streams=2)
    small = dataclasses.replace(z, hidden=16, experts=3, vocab=64)
    return short_variants(z, odd, "sschc", "hhchc") + released_variants(long_z, wide, two) + stretched_angles(small)


def parity_variants(seed: int) -> list[Variant]:
    """The same variants with up to 8 layers and sizes drawn from the seed."""
    rng = generator("deepseek_v4 parity sizes", seed)
    pick = lambda *options: options[int(rng.integers(len(options)))]  # noqa: E731
    groups = pick(2, 4)
    z = Size(hidden=pick(64, 72, 96), heads=groups * pick(1, 2), head_dim=pick(24, 32), rotated=pick(8, 16), q_lora=pick(32, 48), o_groups=groups,
             o_lora=pick(16, 24), index_heads=pick(8, 12), index_dim=pick(16, 24), index_topk=pick(3, 5), experts=pick(8, 12), top_k=pick(2, 3),
             expert_mlp=pick(16, 24), window=pick(12, 16), hca_rate=pick(8, 16), vocab=pick(128, 256))
    odd = Size(hidden=pick(50, 67), heads=3, head_dim=pick(14, 18), rotated=pick(6, 10), q_lora=pick(21, 33), o_groups=3, o_lora=pick(9, 11),
               index_heads=pick(9, 11), index_dim=pick(11, 13), index_topk=pick(3, 4), experts=pick(7, 9), top_k=3,
               expert_mlp=pick(13, 19), streams=pick(2, 3), window=pick(11, 13), hca_rate=pick(12, 20), vocab=251)
    wide = Size(hidden=pick(160, 192), heads=6, head_dim=32, rotated=16, q_lora=pick(40, 136), o_groups=pick(2, 3), o_lora=pick(48, 72),
                index_heads=8, index_dim=32, index_topk=pick(6, 20), experts=pick(4, 6), expert_mlp=pick(32, 64), window=16, vocab=128)
    long_z = dataclasses.replace(z, window=128)
    deep, pro = pick("sschchc", "sschch"), pick("hhchch", "hhchc")
    made = short_variants(z, odd, deep, pro) + released_variants(long_z, wide, dataclasses.replace(wide, streams=2))
    return [dataclasses.replace(v, max_weight_bytes=10**9) for v in made]
