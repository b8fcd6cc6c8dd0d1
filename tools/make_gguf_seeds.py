#!/usr/bin/env python3
"""Makes tests/corpus/gguf_checkpoint and gguf_tokenizer, small files from which the fuzzers set out.

    python3 tools/make_gguf_seeds.py

A model of one layer for each architecture (of some a few tensors alone: the rest is reported missing), and a tokenizer of each kind.
"""
import random
import struct
from pathlib import Path

from demo_gguf import BOOL, F32, I32, STRING, TYPES, U32, key, write

OUT = Path(__file__).resolve().parent.parent / "tests/corpus"
rng = random.Random(1)

SIZES = {"block_count": 1, "context_length": 32, "embedding_length": 8, "attention.layer_norm_rms_epsilon": 1e-6}
GEMMA = {"attention.head_count": 2, "attention.key_length": 4, "attention.value_length": 4}
EXPERTS = {"expert_count": 2, "expert_used_count": 1, "expert_feed_forward_length": 4}
NORMS = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
MATRICES = {"attn_q": (8, 8), "attn_k": (4, 8), "attn_v": (4, 8), "attn_output": (8, 8), "ffn_gate": (6, 8), "ffn_up": (6, 8), "ffn_down": (8, 6)}


def tensor(name: str, *shape: int, mean: float = 0.0):
    n = 1
    for extent in shape:
        n *= extent
    return name, list(shape), TYPES["f32"], struct.pack(f"<{n}f", *(mean + rng.uniform(-0.1, 0.1) for _ in range(n)))


def kind_of(value) -> int:
    first = value[0] if isinstance(value, list) else value
    if isinstance(first, bool):
        return BOOL
    return {float: F32, str: STRING}.get(type(first), I32 if isinstance(value, list) else U32)


def model_keys(architecture: str, values: dict) -> list[bytes]:
    keys = [key("general.architecture", STRING, architecture)]
    return keys + [key(f"{architecture}.{name}", kind_of(value), value) for name, value in values.items()]


def layer(norms: tuple, **more: tuple) -> list:
    tensors = [tensor(f"blk.0.{name}.weight", 8, mean=1.0) for name in norms]
    tensors += [tensor(f"blk.0.{name}.weight", 4, mean=1.0) for name in ("attn_q_norm", "attn_k_norm")]
    return tensors + [tensor(f"blk.0.{name}.weight", *shape) for name, shape in (MATRICES | more).items()]


def write_models() -> None:
    out = OUT / "gguf_checkpoint"
    outside = [tensor("token_embd.weight", 4, 8), tensor("output_norm.weight", 8, mean=1.0)]
    gemma3 = SIZES | GEMMA | {"feed_forward_length": 6, "attention.head_count_kv": 1}
    write(out / "gemma3.gguf", model_keys("gemma3", gemma3), outside + layer(NORMS))
    gemma4 = SIZES | GEMMA | {"feed_forward_length": [6], "attention.head_count_kv": [1], "attention.sliding_window": 8}
    gemma4 |= {"attention.sliding_window_pattern": [False], "attention.shared_kv_layers": 0, "rope.freq_base": 1e6}
    rope = ("rope_freqs.weight", [2], TYPES["f32"], struct.pack("<2f", 1.0, 1e30))
    write(out / "gemma4.gguf", model_keys("gemma4", gemma4), [rope, *outside, *layer(NORMS, layer_output_scale=(1,))])
    laguna = SIZES | EXPERTS | {"feed_forward_length": 6, "attention.head_count": [2], "attention.head_count_kv": 1, "attention.key_length": 4}
    laguna |= {"rope.scaling.type": "yarn", "rope.scaling.factor": 8.0, "rope.scaling.original_context_length": 16}
    head = tensor("output.weight", 4, 8)
    write(out / "laguna.gguf", model_keys("laguna", laguna), [*outside, head, *layer(("attn_norm", "ffn_norm"), attn_gate=(2, 8))])
    deepseek = SIZES | EXPERTS | {"attention.head_count": 2, "attention.sliding_window": 8, "rope.dimension_count": 2, "attention.indexer.top_k": 2}
    shapes = {"attn_q_a": (4, 8), "attn_kv": (4, 8), "attn_output_a": (4, 4), "hc_attn_fn": (8, 16), "indexer.proj": (2, 8), "indexer.attn_q_b": (8, 4)}
    write(out / "deepseek4.gguf", model_keys("deepseek4", deepseek), outside + [tensor(f"blk.0.{n}.weight", *s) for n, s in shapes.items()])
    zaya = SIZES | EXPERTS | {"block_count": 2, "attention.head_count": 2, "attention.head_count_kv": 2, "feed_forward_length": 4, "rope.freq_base": 1e4}
    write(out / "zaya.gguf", model_keys("zaya", zaya), outside + [tensor("blk.0.attn_k.weight", 8, 8)])


def tokenizer_keys(model: str, tokens: dict[str, int], values: dict) -> list[bytes]:
    keys = {"model": model, "tokens": list(tokens), "token_type": list(tokens.values()), "bos_token_id": 0} | values
    return [key(f"tokenizer.ggml.{name}", kind_of(value), value) for name, value in keys.items()]


def write_tokenizers() -> None:
    out = OUT / "gguf_tokenizer"
    words = {"<bos>": 3, "<unk>": 2, "<0x0A>": 6, "a": 1, "b": 1, "ab": 1, "\u2581": 1, "\u2581a": 1, "  ": 4}
    scores = [0.0, 0.0, 0.0, -1.0, -2.0, -3.0, -4.0, -5.0, -1000.0]
    more = [key("general.sampling.temp", F32, 0.5), key("tokenizer.chat_template", STRING, "{{ bos_token }}")]
    write(out / "scores.gguf", tokenizer_keys("llama", words, {"scores": scores, "eos_token_id": 1}) + more, [])
    write(out / "merges.gguf", tokenizer_keys("gemma4", words, {"merges": ["a b", "\u2581 a"]}), [])
    for pre in ("laguna", "joyai-llm"):
        letters = {"<bos>": 3, "a": 1, "b": 1, "ab": 1, "\u0120": 1, "\u0120a": 1}
        values = {"merges": ["a b", "\u0120 a"], "pre": pre, "suppress_tokens": [1]}
        write(out / f"{pre}.gguf", tokenizer_keys("gpt2", letters, values), [])


if __name__ == "__main__":
    write_models()
    write_tokenizers()
