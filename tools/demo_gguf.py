#!/usr/bin/env python3
"""Writes a small Gemma 4 checkpoint as a GGUF file, tokenizer and chat template included, as converters of published files do.

    python3 tools/demo_gguf.py models/demo demo.gguf                  # BF16
    python3 tools/demo_gguf.py models/demo demo.gguf --type q8_0
    python3 tools/demo_gguf.py models/demo demo --parts 2             # demo-00001-of-00002.gguf ...

For tests: nothing but Python's own library is needed, and nothing is fast.
"""
import argparse
import array
import json
import struct
from pathlib import Path

ALIGNMENT = 32
U16, U32, I32, F32, BOOL, STRING, ARRAY = 2, 4, 5, 6, 7, 8, 9
TYPES = {"f32": 0, "q8_0": 8, "bf16": 30}

OUTSIDE = {
    "embed_tokens.weight": "token_embd.weight",
    "embed_tokens_per_layer.weight": "per_layer_token_embd.weight",
    "per_layer_model_projection.weight": "per_layer_model_proj.weight",
    "per_layer_projection_norm.weight": "per_layer_proj_norm.weight",
    "norm.weight": "output_norm.weight",
}
LAYER = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "post_attention_layernorm.weight": "post_attention_norm.weight",
    "pre_feedforward_layernorm.weight": "ffn_norm.weight",
    "post_feedforward_layernorm.weight": "post_ffw_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
    "layer_scalar": "layer_output_scale.weight",
    "per_layer_input_gate.weight": "inp_gate.weight",
    "per_layer_projection.weight": "proj.weight",
    "post_per_layer_input_norm.weight": "post_norm.weight",
}


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def plain(kind: int, value) -> bytes:
    if kind == STRING:
        return text(value)
    return struct.pack({U16: "<H", U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)


def key(name: str, kind: int, value) -> bytes:
    """A value, or an array of them where it is a list."""
    if not isinstance(value, list):
        return text(name) + struct.pack("<I", kind) + plain(kind, value)
    return text(name) + struct.pack("<IIQ", ARRAY, kind, len(value)) + b"".join(plain(kind, v) for v in value)


def read_bf16(path: Path) -> dict[str, tuple[list[int], bytes]]:
    data = path.read_bytes()
    size = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, t in header.items():
        if t["dtype"] != "BF16":
            raise SystemExit(f"{name} is {t['dtype']}, expected BF16")
        begin, end = (8 + size + offset for offset in t["data_offsets"])
        tensors[name] = (t["shape"], data[begin:end])
    return tensors


def widened(bf16: bytes) -> array.array:
    wide = bytearray(2 * len(bf16))
    wide[2::4], wide[3::4] = bf16[0::2], bf16[1::2]
    return array.array("f", bytes(wide))


def q8_0(bf16: bytes) -> bytes:
    weights, out = widened(bf16), bytearray()
    for at in range(0, len(weights), 32):
        block = weights[at : at + 32]
        d = struct.unpack("<e", struct.pack("<e", max(map(abs, block)) / 127))[0]
        codes = (round(w / d) if d else 0 for w in block)
        out += struct.pack("<e32b", d, *(max(-127, min(127, c)) for c in codes))
    return bytes(out)


def name_of(name: str) -> str:
    name = name.removeprefix("model.")
    if name in OUTSIDE:
        return OUTSIDE[name]
    _, layer, rest = name.split(".", 2)
    return f"blk.{layer}.{LAYER[rest]}"


def stored(shape: list[int], bf16: bytes, matrices: str) -> tuple[int, bytes]:
    """Vectors are f32 in every file, and so are rows that are not whole blocks."""
    if len(shape) < 2:
        return TYPES["f32"], widened(bf16).tobytes()
    if matrices == "q8_0" and shape[-1] % 32 == 0:
        return TYPES["q8_0"], q8_0(bf16)
    return TYPES["bf16"], bf16


def model_keys(c: dict) -> list[bytes]:
    sliding = [kind == "sliding_attention" for kind in c["layer_types"]]
    n, shared = len(sliding), c.get("num_kv_shared_layers") or 0
    special = {int(i): layer for i, layer in (c.get("per_layer_config") or {}).items()}

    def of_layer(i: int, field: str, full: str) -> int:
        own = special.get(i, {}).get(field)
        return own or (not sliding[i] and not special and c.get(full)) or c[field]

    widths = [c["intermediate_size"] * (2 if c.get("use_double_wide_mlp") and i >= n - shared else 1) for i in range(n)]
    keys = [
        key("general.architecture", STRING, "gemma4"),
        key("general.type", STRING, "model"),
        key("general.quantization_version", U32, 2),
        key("gemma4.block_count", U32, n),
        key("gemma4.context_length", U32, c["max_position_embeddings"]),
        key("gemma4.embedding_length", U32, c["hidden_size"]),
        key("gemma4.feed_forward_length", I32, widths),
        key("gemma4.attention.head_count", U32, c["num_attention_heads"]),
        key("gemma4.attention.head_count_kv", I32, [of_layer(i, "num_key_value_heads", "num_global_key_value_heads") for i in range(n)]),
        key("gemma4.attention.layer_norm_rms_epsilon", F32, c["rms_norm_eps"]),
        key("gemma4.attention.sliding_window", U32, c["sliding_window"]),
        key("gemma4.attention.sliding_window_pattern", BOOL, sliding),
        key("gemma4.attention.shared_kv_layers", U32, shared),
        key("gemma4.embedding_length_per_layer_input", U32, c.get("hidden_size_per_layer_input") or 0),
        key("gemma4.final_logit_softcapping", F32, c.get("final_logit_softcapping") or 0.0),
    ]
    for suffix, slides, kind in (("", False, "full_attention"), ("_swa", True, "sliding_attention")):
        dim = of_layer(sliding.index(slides), "head_dim", "global_head_dim")
        for name in ("attention.key_length", "attention.value_length", "rope.dimension_count"):
            keys.append(key(f"gemma4.{name}{suffix}", U32, dim))
        keys.append(key(f"gemma4.rope.freq_base{suffix}", F32, c["rope_parameters"][kind]["rope_theta"]))
    return keys


def tokenizer_keys(folder: Path) -> list[bytes]:
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = tokenizer["model"]["vocab"]
    texts, kinds = [""] * (1 + max(vocab.values())), [5] * (1 + max(vocab.values()))
    for token, i in vocab.items():
        texts[i], kinds[i] = token, 6 if len(token) == 6 and token.startswith("<0x") else 1
    for added in tokenizer["added_tokens"]:
        texts[added["id"]], kinds[added["id"]] = added["content"], 3 if added["special"] else 4
    for i, token in enumerate(texts):
        texts[i] = token or f"<unused{i}>"
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    keys = [
        key("tokenizer.ggml.model", STRING, "gemma4"),
        key("tokenizer.ggml.tokens", STRING, texts),
        key("tokenizer.ggml.token_type", I32, kinds),
        key("tokenizer.ggml.merges", STRING, merges),
        key("tokenizer.ggml.add_bos_token", BOOL, True),
        key("tokenizer.ggml.add_space_prefix", BOOL, False),
    ]
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    for name, ours in (("bos", "bos_token"), ("eos", "eos_token"), ("unknown", "unk_token"), ("padding", "pad_token")):
        if config.get(ours) in texts:
            keys.append(key(f"tokenizer.ggml.{name}_token_id", U32, texts.index(config[ours])))
    template = folder / "chat_template.jinja"
    if template.exists():
        keys.append(key("tokenizer.chat_template", STRING, template.read_text(encoding="utf-8")))
    return keys


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)


def write(path: Path, keys: list[bytes], tensors: list[tuple[str, list[int], int, bytes]]) -> None:
    header, data = b"".join(keys), b""
    for name, shape, kind, content in tensors:
        data = padded(data)
        header += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *reversed(shape), kind, len(data))
        data += content
    start = struct.pack("<4sIqq", b"GGUF", 3, len(tensors), len(keys))
    path.write_bytes(padded(start + header) + data)


def rope_freqs(c: dict) -> tuple[str, list[int], int, bytes]:
    special = {int(i): layer for i, layer in (c.get("per_layer_config") or {}).items()}
    full = c["layer_types"].index("full_attention")
    dim = special.get(full, {}).get("head_dim") or (not special and c.get("global_head_dim")) or c["head_dim"]
    turned = int(dim * c["rope_parameters"]["full_attention"]["partial_rotary_factor"]) // 2
    divisors = array.array("f", [1.0] * turned + [1e30] * (dim // 2 - turned))
    return "rope_freqs.weight", [dim // 2], TYPES["f32"], divisors.tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path, help="the file; with --parts what stands before -00001-of-0000N.gguf")
    parser.add_argument("--type", choices=["bf16", "q8_0"], default="bf16", help="of matrices (default %(default)s)")
    parser.add_argument("--parts", type=int, default=1)
    args = parser.parse_args()
    config = json.loads((args.checkpoint / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config", config)
    tensors = [rope_freqs(config)]
    for name, (shape, bf16) in sorted(read_bf16(args.checkpoint / "model.safetensors").items()):
        tensors.append((name_of(name), shape, *stored(shape, bf16, args.type)))
    keys = model_keys(config) + tokenizer_keys(args.checkpoint)
    for i in range(args.parts):
        split = []
        if args.parts > 1:
            split = [key("split.no", U16, i), key("split.count", U16, args.parts), key("split.tensors.count", I32, len(tensors))]
        own = tensors[i * len(tensors) // args.parts : (i + 1) * len(tensors) // args.parts]
        path = args.out if args.parts == 1 else Path(f"{args.out}-{i + 1:05}-of-{args.parts:05}.gguf")
        write(path, (keys if i == 0 else []) + split, own)


if __name__ == "__main__":
    main()
