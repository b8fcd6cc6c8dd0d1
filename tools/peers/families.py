"""What llama.cpp and ik_llama.cpp want to be told of each family: GGUF keys, and which tensor of the checkpoint bears which name.

To add a family: a function from a Conversion to its keys that adds the tensors, and a row in FAMILIES.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from blocks import BF16, F32, Q4_0, Q8_0, BlockFormat, fitting
from checkpoint import Checkpoint, Stored
from gguf import BOOL, F32 as FLOAT, I32, STRING, U32, Tensor, Value

FILE_TYPES = {F32.name: 0, Q4_0.name: 2, Q8_0.name: 7, BF16.name: 32}


@dataclass
class Conversion:
    """The tensors of one file as they are added. Matrices take the format of the file, vectors and routers stay f32."""

    source: Checkpoint
    matrices: BlockFormat
    head: BlockFormat
    tensors: list[Tensor] = field(default_factory=list)

    def matrix(self, name: str, *stored: str, wanted: BlockFormat | None = None) -> Stored:
        """One matrix, or several of one shape stacked along a new outermost axis. Returns the (first) stored one."""
        parts = tuple(self.source.take(s) for s in stored)
        shape = parts[0].shape if len(parts) == 1 else (len(parts), *parts[0].shape)
        if any(p.shape != parts[0].shape for p in parts):
            raise ValueError(f"'{name}' is made of matrices of different shapes")
        self.tensors.append(Tensor(name, shape, fitting(wanted or self.matrices, shape[-1]), parts))
        return parts[0]

    def vector(self, name: str, stored: str) -> Stored:
        part = self.source.take(stored)
        self.tensors.append(Tensor(name, part.shape, F32, (part,)))
        return part

    def constant(self, name: str, values: np.ndarray) -> None:
        self.tensors.append(Tensor(name, values.shape, F32, (values,)))


def stub_tokenizer(model: str, pre: str | None, size: int, special: dict[str, int]) -> dict[str, Value]:
    """Keys of a tokenizer of the right size that knows no language: bytes, a line end, and made-up pieces. Speed does not depend on it."""
    control, byte, normal = 3, 6, 1
    named = {i: (f"<{name}>", control) for name, i in special.items()}
    free = iter([(f"<0x{b:02X}>", byte) for b in range(256)] + [("\n", normal), ("Ċ", normal)])
    pieces = [named.get(i) or next(free, None) or (f"piece{i}", normal) for i in range(size)]
    keys = {
        "tokenizer.ggml.model": Value(STRING, model),
        "tokenizer.ggml.tokens": Value(STRING, [text for text, _ in pieces]),
        "tokenizer.ggml.scores": Value(FLOAT, [0.0] * size),
        "tokenizer.ggml.token_type": Value(I32, [kind for _, kind in pieces]),
        "tokenizer.ggml.merges": Value(STRING, ["p i", "pi e"]),
        "tokenizer.ggml.add_bos_token": Value(BOOL, True),
    }
    if pre:
        keys["tokenizer.ggml.pre"] = Value(STRING, pre)
    return keys | {f"tokenizer.ggml.{name}_token_id": Value(U32, i) for name, i in special.items()}


def _first(value) -> int:
    return value[0] if isinstance(value, list) else value


def _special(config: dict) -> dict[str, int]:
    ids = {"bos": _first(config.get("bos_token_id", 2)), "eos": _first(config.get("eos_token_id", 1)), "padding": config.get("pad_token_id", 0)}
    return {name: i for name, i in ids.items() if i is not None}


def _describe(architecture: str, c: Conversion, keys: dict[str, Value]) -> dict[str, Value]:
    return {
        "general.architecture": Value(STRING, architecture),
        "general.name": Value(STRING, f"{architecture} from a checkpoint"),
        "general.file_type": Value(U32, FILE_TYPES[c.matrices.name]),
        "general.quantization_version": Value(U32, 2),
    } | {name.replace("$", architecture): value for name, value in keys.items()}


def _refuse_left_overs(c: Conversion, *unused: str) -> None:
    """Everything in the checkpoint has been taken, apart from names that contain one of the unused."""
    left = [name for name in c.source.left_over() if not any(u in name for u in unused)]
    if left:
        raise ValueError(f"{len(left)} tensors of the checkpoint have no place, such as '{left[0]}'")


# Gemma 4


def gemma4(c: Conversion) -> dict[str, Value]:
    t = c.source.config.get("text_config", c.source.config)
    sliding = [kind == "sliding_attention" for kind in t["layer_types"]]
    own_state = len(sliding) - (t.get("num_kv_shared_layers") or 0)
    p = "model.language_model." if "model.language_model.norm.weight" in c.source else "model."
    c.matrix("token_embd.weight", p + "embed_tokens.weight", wanted=c.head)  # the tied head
    if t.get("hidden_size_per_layer_input"):
        c.matrix("per_layer_token_embd.weight", p + "embed_tokens_per_layer.weight")
        c.matrix("per_layer_model_proj.weight", p + "per_layer_model_projection.weight", wanted=BF16)
        c.vector("per_layer_proj_norm.weight", p + "per_layer_projection_norm.weight")
    c.vector("output_norm.weight", p + "norm.weight")
    widths = [_gemma4_layer(c, i, f"{p}layers.{i}.", own=i < own_state) for i in range(len(sliding))]
    head_dims, kv_heads = _gemma4_heads(t, sliding)
    rope = t["rope_parameters"]
    _gemma4_rope_factors(c, head_dims[False], rope["full_attention"])
    shared = [f"layers.{i}.self_attn.{part}." for i in range(own_state, len(sliding)) for part in ("k_proj", "v_proj", "k_norm")]
    _refuse_left_overs(c, "vision", "audio", "multi_modal_projector", "lm_head", *shared)
    keys = {
        "$.context_length": Value(U32, t["max_position_embeddings"]),
        "$.embedding_length": Value(U32, t["hidden_size"]),
        "$.block_count": Value(U32, len(sliding)),
        "$.feed_forward_length": Value(I32, widths),
        "$.attention.head_count": Value(U32, t["num_attention_heads"]),
        "$.attention.head_count_kv": Value(I32, kv_heads),
        "$.attention.layer_norm_rms_epsilon": Value(FLOAT, t["rms_norm_eps"]),
        "$.attention.sliding_window": Value(U32, t["sliding_window"]),
        "$.attention.sliding_window_pattern": Value(BOOL, sliding),
        "$.attention.shared_kv_layers": Value(U32, len(sliding) - own_state),
        "$.embedding_length_per_layer_input": Value(U32, t.get("hidden_size_per_layer_input") or 0),
        "$.final_logit_softcapping": Value(FLOAT, t.get("final_logit_softcapping") or 0.0),
    }
    for suffix, is_sliding, kind in (("", False, "full_attention"), ("_swa", True, "sliding_attention")):
        keys |= {
            f"$.attention.key_length{suffix}": Value(U32, head_dims[is_sliding]),
            f"$.attention.value_length{suffix}": Value(U32, head_dims[is_sliding]),
            f"$.rope.dimension_count{suffix}": Value(U32, head_dims[is_sliding]),
            f"$.rope.freq_base{suffix}": Value(FLOAT, rope[kind]["rope_theta"]),
        }
    if t.get("enable_moe_block"):
        keys["$.expert_count"] = Value(U32, t["num_experts"])
        keys["$.expert_used_count"] = Value(U32, t["top_k_experts"])
        keys["$.expert_feed_forward_length"] = Value(U32, t["moe_intermediate_size"])
    return _describe("gemma4", c, keys) | stub_tokenizer("gemma4", None, t["vocab_size"], _special(t))


def _gemma4_heads(t: dict, sliding: list[bool]) -> tuple[dict[bool, int], list[int]]:
    """Head size by whether a layer slides, and the key heads of each layer."""
    special = {int(i): layer for i, layer in (t.get("per_layer_config") or {}).items()}
    full = {"head_dim": t.get("global_head_dim"), "num_key_value_heads": t.get("num_global_key_value_heads")}

    def field_of(layer: int, name: str) -> int:
        return special.get(layer, {}).get(name) or (not sliding[layer] and full[name]) or t[name]

    dims = {kind: field_of(sliding.index(kind), "head_dim") for kind in (False, True)}
    return dims, [field_of(i, "num_key_value_heads") for i in range(len(sliding))]


def _gemma4_layer(c: Conversion, i: int, p: str, own: bool) -> int:
    """One block; `own` if it has keys and values of its own. Returns the width of its feed-forward part."""
    b = f"blk.{i}."
    for name, stored in (
        ("attn_norm", "input_layernorm"),
        ("post_attention_norm", "post_attention_layernorm"),
        ("ffn_norm", "pre_feedforward_layernorm"),
        ("post_ffw_norm", "post_feedforward_layernorm"),
        ("attn_q_norm", "self_attn.q_norm"),
    ):
        c.vector(f"{b}{name}.weight", f"{p}{stored}.weight")
    c.vector(f"{b}layer_output_scale.weight", f"{p}layer_scalar")
    c.matrix(f"{b}attn_q.weight", f"{p}self_attn.q_proj.weight")
    if own:
        c.vector(f"{b}attn_k_norm.weight", f"{p}self_attn.k_norm.weight")
        c.matrix(f"{b}attn_k.weight", f"{p}self_attn.k_proj.weight")
        if f"{p}self_attn.v_proj.weight" in c.source:  # else the values are the keys
            c.matrix(f"{b}attn_v.weight", f"{p}self_attn.v_proj.weight")
    c.matrix(f"{b}attn_output.weight", f"{p}self_attn.o_proj.weight")
    gate = c.matrix(f"{b}ffn_gate.weight", f"{p}mlp.gate_proj.weight")
    c.matrix(f"{b}ffn_up.weight", f"{p}mlp.up_proj.weight")
    c.matrix(f"{b}ffn_down.weight", f"{p}mlp.down_proj.weight")
    if f"{p}router.proj.weight" in c.source:
        _gemma4_experts(c, b, p)
    if f"{p}per_layer_input_gate.weight" in c.source:
        c.matrix(f"{b}inp_gate.weight", f"{p}per_layer_input_gate.weight")
        c.matrix(f"{b}proj.weight", f"{p}per_layer_projection.weight")
        c.vector(f"{b}post_norm.weight", f"{p}post_per_layer_input_norm.weight")
    return gate.rows


def _gemma4_experts(c: Conversion, b: str, p: str) -> None:
    c.matrix(f"{b}ffn_gate_inp.weight", f"{p}router.proj.weight", wanted=F32)
    c.vector(f"{b}ffn_gate_inp.scale", f"{p}router.scale")
    c.vector(f"{b}ffn_down_exps.scale", f"{p}router.per_expert_scale")
    c.matrix(f"{b}ffn_gate_up_exps.weight", f"{p}experts.gate_up_proj")
    c.matrix(f"{b}ffn_down_exps.weight", f"{p}experts.down_proj")
    for name in ("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2"):
        c.vector(f"{b}{name}.weight", f"{p}{name.replace('ffw_norm', 'feedforward_layernorm')}.weight")


def _gemma4_rope_factors(c: Conversion, head_dim: int, rope: dict) -> None:
    """Full layers turn only the first pairs; the others get a divisor that stops them."""
    turned = int(head_dim * rope["partial_rotary_factor"]) // 2
    c.constant("rope_freqs.weight", np.where(np.arange(head_dim // 2) < turned, 1.0, 1e30).astype(np.float32))


# Laguna


def laguna(c: Conversion) -> dict[str, Value]:
    t = c.source.config
    n_layers, head_dim = t["num_hidden_layers"], t["head_dim"]
    heads = t.get("num_attention_heads_per_layer") or [t["num_attention_heads"]] * n_layers
    dense = [kind == "dense" for kind in t["mlp_layer_types"]]
    n_leading = dense.index(False) if False in dense else n_layers
    if any(dense[n_leading:]):
        raise ValueError("the peers want dense layers before those with experts")
    c.matrix("token_embd.weight", "model.embed_tokens.weight")
    if "lm_head.weight" in c.source:
        c.matrix("output.weight", "lm_head.weight", wanted=c.head)
    c.vector("output_norm.weight", "model.norm.weight")
    for i in range(n_layers):
        _laguna_layer(c, i, t["num_experts"], dense[i])
    _refuse_left_overs(c)
    full, sliding = t["rope_parameters"]["full_attention"], t["rope_parameters"]["sliding_attention"]
    keys = {
        "$.context_length": Value(U32, t["max_position_embeddings"]),
        "$.embedding_length": Value(U32, t["hidden_size"]),
        "$.block_count": Value(U32, n_layers),
        "$.vocab_size": Value(U32, t["vocab_size"]),
        "$.feed_forward_length": Value(U32, t["intermediate_size"]),
        "$.attention.head_count": Value(I32, heads),
        "$.attention.head_count_kv": Value(U32, t["num_key_value_heads"]),
        "$.attention.key_length": Value(U32, head_dim),
        "$.attention.value_length": Value(U32, head_dim),
        "$.attention.layer_norm_rms_epsilon": Value(FLOAT, t["rms_norm_eps"]),
        "$.attention.sliding_window": Value(U32, t["sliding_window"]),
        "$.attention.sliding_window_pattern": Value(BOOL, [kind == "sliding_attention" for kind in t["layer_types"]]),
        "$.leading_dense_block_count": Value(U32, n_leading),
        "$.expert_count": Value(U32, t["num_experts"]),
        "$.expert_used_count": Value(U32, t["num_experts_per_tok"]),
        "$.expert_feed_forward_length": Value(U32, t["moe_intermediate_size"]),
        "$.expert_shared_count": Value(U32, 1),
        "$.expert_shared_feed_forward_length": Value(U32, t["shared_expert_intermediate_size"]),
        "$.expert_weights_scale": Value(FLOAT, t["moe_routed_scaling_factor"]),
        "$.expert_weights_norm": Value(BOOL, True),
        "$.expert_gating_func": Value(U32, 2),  # sigmoid
        "$.rope.dimension_count": Value(U32, int(head_dim * full.get("partial_rotary_factor", 1.0))),
        "$.rope.dimension_count_swa": Value(U32, int(head_dim * sliding.get("partial_rotary_factor", 1.0))),
        "$.rope.freq_base": Value(FLOAT, full["rope_theta"]),
        "$.rope.freq_base_swa": Value(FLOAT, sliding["rope_theta"]),
    }
    if full["rope_type"] == "yarn":
        keys |= _yarn(full)
    return _describe("laguna", c, keys) | stub_tokenizer("gpt2", "laguna", t["vocab_size"], _special(t))


def _yarn(rope: dict) -> dict[str, Value]:
    by_itself = 1 + 0.1 * math.log(rope["factor"])  # ik_llama.cpp's rope multiplies cosines and sines by this too
    return {
        "$.rope.scaling.type": Value(STRING, "yarn"),
        "$.rope.scaling.factor": Value(FLOAT, rope["factor"]),
        "$.rope.scaling.original_context_length": Value(U32, rope["original_max_position_embeddings"]),
        "$.rope.scaling.yarn_ext_factor": Value(FLOAT, 1.0),
        "$.rope.scaling.yarn_attn_factor": Value(FLOAT, rope.get("attention_factor", by_itself) / by_itself),
        "$.rope.scaling.yarn_beta_fast": Value(FLOAT, rope.get("beta_fast", 32.0)),
        "$.rope.scaling.yarn_beta_slow": Value(FLOAT, rope.get("beta_slow", 1.0)),
    }


def _laguna_layer(c: Conversion, i: int, n_experts: int, is_dense: bool) -> None:
    b, p = f"blk.{i}.", f"model.layers.{i}."
    c.vector(f"{b}attn_norm.weight", f"{p}input_layernorm.weight")
    c.vector(f"{b}ffn_norm.weight", f"{p}post_attention_layernorm.weight")
    for side in ("q", "k"):
        c.vector(f"{b}attn_{side}_norm.weight", f"{p}self_attn.{side}_norm.weight")
    for name, stored in (("q", "q"), ("k", "k"), ("v", "v"), ("output", "o"), ("gate", "g")):
        c.matrix(f"{b}attn_{name}.weight", f"{p}self_attn.{stored}_proj.weight")
    if is_dense:
        for part in ("gate", "up", "down"):
            c.matrix(f"{b}ffn_{part}.weight", f"{p}mlp.{part}_proj.weight")
        return
    c.matrix(f"{b}ffn_gate_inp.weight", f"{p}mlp.gate.weight", wanted=F32)
    c.vector(f"{b}exp_probs_b.bias", f"{p}mlp.experts.e_score_correction_bias")
    for part in ("gate", "up", "down"):
        c.matrix(f"{b}ffn_{part}_exps.weight", *(f"{p}mlp.experts.{e}.{part}_proj.weight" for e in range(n_experts)))
        c.matrix(f"{b}ffn_{part}_shexp.weight", f"{p}mlp.shared_expert.{part}_proj.weight")


FAMILIES = {"gemma4": gemma4, "gemma4_text": gemma4, "laguna": laguna}


def convert(c: Conversion) -> dict[str, Value]:
    """The keys of the file; its tensors are in c afterwards."""
    kind = c.source.config.get("model_type")
    if kind not in FAMILIES:
        raise ValueError(f"no released peer runs model_type '{kind}', or it is not known here; known: {', '.join(FAMILIES)}")
    return FAMILIES[kind](c)
