#!/usr/bin/env python3
"""Writes a checkpoint's weights as a GGUF file in the formats of llama.cpp and ik_llama.cpp, to measure both sides on one model.

    longhaul synth gemma-4-E2B --out e2b
    python3 tools/peers/write_gguf.py e2b e2b-q4_0.gguf --quant q4_0
    python3 tools/peers/write_gguf.py --self-test

Gemma 4 and Laguna. Matrices take --quant, the output head --head (Q6_K for q4_0, as a default Q4_0 conversion has it), Gemma's projection of per-layer
inputs stays bf16; vectors and routers are f32. The tokenizer is a stub of the right size: the file is for speed, not for text. Needs numpy. Memory is
bounded by a few chunks of 16 MB; the file appears under its name only when it is complete.
"""

import argparse
import json
import struct
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import gguf
from blocks import BF16, FORMATS, Q4_0, Q6_K, Q8_0
from checkpoint import Checkpoint
from families import Conversion, convert


def write(folder: Path, out: Path, quant: str, head: str | None, progress=lambda name, fraction: None) -> str:
    """Returns what was written, in a line."""
    matrices = FORMATS[quant]
    if head is None:
        head = "q6_k" if quant == "q4_0" else "same"
    c = Conversion(Checkpoint(folder), matrices, matrices if head == "same" else FORMATS[head])
    keys = convert(c)
    size = gguf.write(out, keys, c.tensors, progress)
    n_weights = sum(int(np.prod(t.shape)) for t in c.tensors)
    return f"{out}: {len(c.tensors)} tensors, {n_weights:,} weights, {size:,} bytes"


def show_progress():
    last = 0.0

    def show(name: str, fraction: float) -> None:
        nonlocal last
        if time.monotonic() - last > 2:
            last = time.monotonic()
            print(f"{100 * fraction:5.1f} %  {name}", file=sys.stderr)

    return show


# Self-test


def expect(condition: bool, what: str) -> None:
    if not condition:
        sys.exit(f"self-test failed: {what}")


def test_blocks() -> None:
    """Weights of many magnitudes come back within the step of their block."""
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((64, 2048)) * np.exp2(rng.integers(-6, 3, (64, 1)))).astype(np.float32)
    x[3] = 0  # blocks of zeros have no scale
    x[4, :32] = np.linspace(-1, 1, 32)  # both ends of the range in one block
    for f, largest in ((Q4_0, 8), (Q8_0, 127), (Q6_K, 32), (BF16, None)):
        back = f.unpack(f.pack(x).reshape(-1, f.block_bytes)).reshape(x.shape)
        error = np.abs(back - x)
        if largest is None:
            expect(bool((error <= np.abs(x) * 2.0**-8).all()), f"{f.name} rounds to nearest")
            continue
        n = 16 if f is Q6_K else f.block_weights
        step = np.abs(x).reshape(-1, n).max(axis=1, keepdims=True) / largest
        # Half a step, of which f16 takes its share; the far end of Q4_0 and Q6_K is a step short. Q6_K's scales are multiples of 1/128 of the largest.
        bound = {Q4_0: 1.01, Q8_0: 0.57, Q6_K: 1.01}[f] * step
        if f is Q6_K:
            bound += 16 * step.reshape(-1, 16, 1).max(axis=1, keepdims=True).repeat(16, axis=1).reshape(-1, 1) / 128
        expect(bool((error.reshape(-1, n) <= bound).all()), f"{f.name} comes back within its step")
        relative = float(np.sqrt((error**2).sum() / (x**2).sum()))
        limit = {Q4_0: 0.10, Q8_0: 0.007, Q6_K: 0.021}[f]
        expect(limit / 3 < relative < limit, f"{f.name} has a root mean square error of {relative:.4f}, expected below {limit}")


def test_known_block() -> None:
    """One block of each format against bytes worked out by hand."""
    x = np.zeros((1, 32), np.float32)
    x[0, 0], x[0, 1], x[0, 16] = -8.0, 7.0, 3.0  # d = 1, codes 0, 15, 11; the rest 8
    expect(Q4_0.pack(x).tobytes() == b"\x00\x3c\xb0\x8f" + b"\x88" * 14, "a Q4_0 block by hand")
    x[0, 0] = -127.0
    expect(Q8_0.pack(x).tobytes() == b"\x00\x3c\x81\x07" + bytes(14) + b"\x03" + bytes(15), "a Q8_0 block by hand")
    k = np.zeros((1, 256), np.float32)
    k[0, 0], k[0, 33], k[0, 127] = 32.0, 17.0, -3.0  # first run: scale -128 of d = 1/128, so step -1; 33 in a run of step -17/32; 127 of 3/32
    block = Q6_K.pack(k)[0]
    expect(block[0] & 15 == 0 and block[128] & 3 == 0, "a Q6_K code of 0 by hand")
    expect(block[192] == 0x80 and block[194] == 0xBC, "Q6_K scales by hand")  # -128 and -68
    expect(block[32 + 31] >> 4 == 0 and block[128 + 31] >> 6 == 0, "the last code of a half of Q6_K by hand")


def write_tiny_checkpoint(folder: Path) -> dict[str, np.ndarray]:
    """Two layers of Gemma 4, the second with shared keys; bf16."""
    rng = np.random.default_rng(2)
    p, layer = "model.language_model.", "model.language_model.layers.{}."
    shapes = {p + "embed_tokens.weight": (300, 256), p + "norm.weight": (256,), p + "embed_tokens_per_layer.weight": (300, 64)}
    shapes |= {p + "per_layer_model_projection.weight": (64, 256), p + "per_layer_projection_norm.weight": (32,)}
    for i, head_dim in enumerate((32, 64)):
        b = layer.format(i)
        norms = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm", "post_per_layer_input_norm")
        shapes |= {f"{b}{n}.weight": (256,) for n in norms} | {b + "layer_scalar": (1,)}
        shapes |= {f"{b}self_attn.{n}.weight": (head_dim,) for n in ("q_norm", "k_norm")}
        shapes |= {b + "self_attn.q_proj.weight": (2 * head_dim, 256), b + "self_attn.o_proj.weight": (256, 2 * head_dim)}
        shapes |= {f"{b}self_attn.{n}_proj.weight": (head_dim, 256) for n in "kv"}
        shapes |= {f"{b}mlp.{n}_proj.weight": (512, 256) for n in ("gate", "up")} | {b + "mlp.down_proj.weight": (256, 512)}
        shapes |= {b + "per_layer_input_gate.weight": (32, 256), b + "per_layer_projection.weight": (256, 32)}
    bits = {name: BF16.pack(rng.standard_normal(shape).astype(np.float32)).view("<u2") for name, shape in shapes.items()}
    header, at = {}, 0
    for name, b in bits.items():
        header[name] = {"dtype": "BF16", "shape": shapes[name], "data_offsets": [at, at + b.nbytes]}
        at += b.nbytes
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"".join(b.tobytes() for b in bits.values()))
    rope = {"full_attention": {"rope_theta": 1e6, "partial_rotary_factor": 0.25}, "sliding_attention": {"rope_theta": 1e4}}
    config = dict(vocab_size=300, hidden_size=256, num_attention_heads=2, num_key_value_heads=1, head_dim=32, global_head_dim=64, sliding_window=8)
    config |= dict(layer_types=["sliding_attention", "full_attention"], num_kv_shared_layers=1, hidden_size_per_layer_input=32, rope_parameters=rope)
    config |= dict(max_position_embeddings=64, rms_norm_eps=1e-6)
    (folder / "config.json").write_text(json.dumps({"model_type": "gemma4", "text_config": config}))
    return {name: (b.astype(np.uint32) << 16).view(np.float32).reshape(shapes[name]) for name, b in bits.items()}


def test_file() -> None:
    gguf.CHUNK_WEIGHTS = 5000  # so that matrices take several chunks, the last one short
    with tempfile.TemporaryDirectory() as t:
        folder, out = Path(t), Path(t) / "out.gguf"
        weights = write_tiny_checkpoint(folder)
        write(folder, out, "q4_0", None)
        expect(not list(folder.glob("*.partial")), "no temporary file stays")
        file = gguf.Reader(out)
        expect(file.keys["gemma4.feed_forward_length"] == [512, 512], "widths are read from the tensors")
        expect(file.keys["gemma4.attention.key_length"] == 64 and file.keys["gemma4.attention.key_length_swa"] == 32, "head sizes")
        expect(len(set(file.keys["tokenizer.ggml.tokens"])) == 300, "the stub has one piece an id")
        expect("blk.0.attn_k.weight" in file.tensors and "blk.1.attn_k.weight" not in file.tensors, "shared layers have no keys")
        expect(file.tensors["rope_freqs.weight"][1].tolist() == [1.0] * 8 + [np.float32(1e30)] * 24, "a quarter of the pairs turns")
        for name, stored, format_name, bound in (
            ("token_embd.weight", "embed_tokens.weight", "q6_k", 0.02),
            ("blk.1.ffn_down.weight", "layers.1.mlp.down_proj.weight", "q4_0", 0.1),
            ("blk.0.proj.weight", "layers.0.per_layer_projection.weight", "q4_0", 0.1),
            ("per_layer_model_proj.weight", "per_layer_model_projection.weight", "bf16", 1e-9),
            ("blk.1.layer_output_scale.weight", "layers.1.layer_scalar", "f32", 1e-9),
        ):
            block, values = file.tensors[name]
            wanted = weights["model.language_model." + stored]
            expect(block.name == format_name and values.shape == wanted.shape, f"{name} is {format_name} of the same shape")
            expect(np.linalg.norm(values - wanted) <= bound * np.linalg.norm(wanted), f"{name} holds the checkpoint's weights")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="?", type=Path, help="folder with config.json and *.safetensors")
    parser.add_argument("out", nargs="?", type=Path, help="the GGUF file to write")
    parser.add_argument("--quant", choices=["q4_0", "q8_0", "bf16"], default="q4_0", help="format of matrices (default %(default)s)")
    parser.add_argument("--head", choices=["q6_k", "q8_0", "q4_0", "bf16", "same"], help="format of the output head (default q6_k for q4_0, else the same)")
    parser.add_argument("--self-test", action="store_true", help="check the formats and a small file, write nothing")
    args = parser.parse_args()
    if not args.self_test and (args.checkpoint is None or args.out is None):
        parser.error("CHECKPOINT and OUT are needed")
    return args


def main() -> None:
    args = parse()
    if args.self_test:
        for test in (test_known_block, test_blocks, test_file):
            test()
        print("self-test passed")
        return
    try:
        print(write(args.checkpoint, args.out, args.quant, args.head, show_progress()))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"write_gguf: {f'config.json has no {error}' if isinstance(error, KeyError) else error}")


if __name__ == "__main__":
    main()
