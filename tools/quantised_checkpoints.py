#!/usr/bin/env python3
"""Writes a checkpoint in the containers of compressed-tensors, made by the package itself, each beside a plain one of the values
that the package dequantises it to; with a program given, compares their logits, which must be the same to the bit.

    python3 tools/quantised_checkpoints.py tests/golden/laguna/xs OUT [build/longhaul]

Needs torch, safetensors and compressed-tensors 0.20.1. (GPTQ, AWQ, MLX and ModelOpt: tests/testing/quantised_checkpoint.cc packs them
from the layouts' descriptions, and tests/golden/safetensors/quantised.safetensors holds what their packages make of them.)
"""
import json
import pathlib
import shutil
import subprocess
import sys

import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme
from compressed_tensors.quantization.lifecycle.forward import dequantize
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
from safetensors.torch import load_file, save_file

INT4 = dict(num_bits=4, type="int", strategy="group", group_size=8)
CASES = {
    "pack-quantized": [INT4, INT4 | dict(symmetric=False), INT4 | dict(num_bits=3), dict(num_bits=8, type="int", strategy="channel")],
    "int-quantized": [dict(num_bits=8, type="int", strategy="channel")],
    "float-quantized": [dict(num_bits=8, type="float", strategy=s) for s in ("tensor", "channel")]
    + [dict(num_bits=8, type="float", strategy="block", block_structure=[8, 8])],
    "nvfp4-pack-quantized": [dict(num_bits=4, type="float", strategy="tensor_group", group_size=16, scale_dtype="torch.float8_e4m3fn")],
    "mxfp4-pack-quantized": [dict(num_bits=4, type="float", strategy="group", group_size=32, scale_dtype="torch.uint8")],
}


def ranges(weight: torch.Tensor, args: QuantizationArgs) -> tuple[torch.Tensor, torch.Tensor]:
    """Least and largest weight of what shares a scale."""
    if args.strategy == "tensor":
        return weight.min().reshape(1), weight.max().reshape(1)
    if args.strategy == "channel":
        return weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
    if args.strategy == "block":
        rows, cols = args.block_structure
        blocks = weight.reshape(weight.shape[0] // rows, rows, weight.shape[1] // cols, cols)
        return blocks.amin((1, 3)), blocks.amax((1, 3))
    groups = weight.reshape(weight.shape[0], -1, args.group_size)
    return groups.amin(2), groups.amax(2)


def fits(name: str, weight: torch.Tensor, args: QuantizationArgs) -> bool:
    if weight.ndim != 2 or not name.endswith("proj.weight") or weight.shape[0] < 16:
        return False
    if args.strategy == "block":
        return weight.shape[0] % args.block_structure[0] == 0 and weight.shape[1] % args.block_structure[1] == 0
    return args.group_size is None or weight.shape[1] % args.group_size == 0


def quantise(name: str, weight: torch.Tensor, scheme: QuantizationScheme, format_: str):
    args, compressor = scheme.weights, BaseCompressor.get_value_from_registry(format_)
    least, largest = ranges(weight, args)
    state = {"weight": weight}
    factor = generate_gparam(weight.min(), weight.max()) if args.strategy == "tensor_group" else None
    if factor is not None:
        state["weight_global_scale"] = factor.reshape(1)
    scale, zero = calculate_qparams(least, largest, args, global_scale=factor)
    state |= {"weight_scale": scale, "weight_zero_point": zero}
    if args.symmetric:
        state.pop("weight_zero_point")
    compressed = compressor.compress(dict(state), scheme)
    if factor is None:
        plain = compressor.decompress(dict(compressed), scheme)["weight"].float()
    else:  # its own decompress() rounds to bf16
        codes = unpack_fp4_from_uint8(compressed["weight_packed"], *weight.shape, dtype=torch.float32)
        plain = dequantize(codes, compressed["weight_scale"].float(), None, args, global_scale=compressed["weight_global_scale"])
    return {f"{name.removesuffix('weight')}{k}": v.contiguous() for k, v in compressed.items()}, plain


def write(folder: pathlib.Path, source: pathlib.Path, tensors: dict, config: dict) -> None:
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=2, default=str))
    for text in source.glob("tokenizer*"):
        shutil.copy(text, folder)


def logits(program: str, folder: pathlib.Path) -> bytes:
    out = folder.with_suffix(".logits")
    subprocess.run([program, "logits", folder, "--tokens", "3,5,7,11,13,17,19", "--weights", "f32", "--kv", "f32", "--output", out], check=True)
    return out.read_bytes()


def main() -> None:
    source, out = map(pathlib.Path, sys.argv[1:3])
    tensors = load_file(source / "model.safetensors")
    config = json.loads((source / "config.json").read_text())
    for format_, cases in CASES.items():
        for i, case in enumerate(cases):
            scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**case))
            coded, plain, n = dict(tensors), dict(tensors), 0
            for name, weight in tensors.items():
                if not fits(name, weight, scheme.weights):
                    continue
                parts, plain[name] = quantise(name, weight.float(), scheme, format_)
                del coded[name]
                coded |= parts
                n += 1
            described = QuantizationConfig(config_groups={"group_0": scheme}, format=format_, ignore=["lm_head"], quantization_status="compressed")
            folders = out / f"{format_}-{i}", out / f"{format_}-{i}-plain"
            write(folders[0], source, coded, config | {"quantization_config": json.loads(json.dumps(described.to_dict(), default=str))})
            write(folders[1], source, plain, config)
            same = "" if len(sys.argv) < 4 else ", same logits" if logits(sys.argv[3], folders[0]) == logits(sys.argv[3], folders[1]) else ", OTHER LOGITS"
            print(f"{format_} {case}: {n} modules{same}")


if __name__ == "__main__":
    main()
