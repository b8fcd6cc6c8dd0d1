#!/usr/bin/env python3
"""Makes tests/corpus/coded_tensors, small files from which the fuzzer sets out, and some that are damaged.

    python3 tools/make_coded_seeds.py

Each is a config's description of quantised weights, a zero byte, and a safetensors file with one module in that container. Codes
are random; shapes and types are those of the packages (docs/formats.md). What the layouts mean is tested elsewhere.
"""
import json
import random
import struct
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "tests/corpus/coded_tensors"
rng = random.Random(1)
WIDTHS = {"F32": 4, "BF16": 2, "F16": 2, "I32": 4, "U32": 4, "I64": 8, "U8": 1, "I8": 1, "F8_E4M3": 1}
N_OUT, N_IN, GROUP = 32, 64, 32
GROUPS = N_IN // GROUP


def tensor(dtype: str, *shape: int, values=None, limit=256):
    n = WIDTHS[dtype]
    for extent in shape:
        n *= extent
    data = bytes(rng.randrange(limit) for _ in range(n)) if values is None else struct.pack(f"<{len(values)}{'iq'[dtype == 'I64']}", *values)
    assert len(data) == n
    return dtype, shape, data


def floats(*shape):
    return tensor("BF16", *shape, limit=64)


def write(name: str, config: dict, tensors: dict, cut=0) -> None:
    header, data = {}, b""
    for key, (dtype, shape, content) in tensors.items():
        header[key] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    file = struct.pack("<Q", len(text)) + text + data
    (OUT / f"{name}.bin").write_bytes(json.dumps(config).encode() + b"\0" + file[:len(file) - cut])


def ct(format_: str, **weights) -> dict:
    group = {"targets": ["Linear"], "weights": weights}
    return {"quantization_config": {"quant_method": "compressed-tensors", "format": format_, "config_groups": {"group_0": group}, "ignore": ["re:.*vision.*"]}}


def gptq(**fields) -> dict:
    return {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": GROUP} | fields}


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    order = list(range(GROUPS)) * GROUP
    shape = tensor("I64", 2, values=[N_OUT, N_IN])
    packed = {"a.weight_packed": tensor("I32", N_OUT, N_IN // 8), "a.weight_scale": floats(N_OUT, GROUPS), "a.weight_shape": shape}
    zeros = packed | {"a.weight_zero_point": tensor("I32", N_OUT // 8, GROUPS), "a.weight_g_idx": tensor("I32", N_IN, values=order)}
    ints = dict(num_bits=4, group_size=GROUP, strategy="group")
    write("ct_int4", ct("pack-quantized", **ints), packed)
    write("ct_int4_zeros", ct("pack-quantized", **ints, symmetric=False), zeros)
    write("ct_stack", ct("pack-quantized", **ints), {"e.gate_up_proj_packed": tensor("I32", 2, N_OUT, N_IN // 8), "e.gate_up_proj_scale": floats(2, N_OUT, GROUPS)})
    write("ct_int8", ct("int-quantized", num_bits=8, strategy="channel"), {"a.weight": tensor("I8", N_OUT, N_IN), "a.weight_scale": floats(N_OUT, 1)})
    fp8 = {"a.weight": tensor("F8_E4M3", N_OUT, N_IN), "a.weight_scale": floats(2, 2)}
    write("ct_fp8_block", ct("float-quantized", num_bits=8, type="float", strategy="block", block_structure=[16, 32]), fp8)
    nvfp4 = {"a.weight_packed": tensor("U8", N_OUT, N_IN // 2), "a.weight_scale": tensor("F8_E4M3", N_OUT, N_IN // 16), "a.weight_global_scale": tensor("F32", 1, limit=64)}
    write("ct_nvfp4", ct("nvfp4-pack-quantized", num_bits=4, type="float", group_size=16, strategy="tensor_group"), nvfp4)
    mxfp4 = {"a.weight_packed": tensor("U8", N_OUT, N_IN // 2), "a.weight_scale": tensor("U8", N_OUT, GROUPS)}
    write("ct_mxfp4", ct("mxfp4-pack-quantized", num_bits=4, type="float", group_size=32, strategy="group"), mxfp4)
    words = {"a.qweight": tensor("I32", N_IN // 8, N_OUT), "a.qzeros": tensor("I32", GROUPS, N_OUT // 8, limit=15), "a.scales": floats(GROUPS, N_OUT), "a.g_idx": tensor("I32", N_IN, values=order)}
    write("gptq", gptq(dynamic={"-:.*b$": {}, "+:.*a$": {"bits": 4}}), words)
    awq = {"a.qweight": tensor("I32", N_IN, N_OUT // 8), "a.qzeros": tensor("I32", GROUPS, N_OUT // 8), "a.scales": floats(GROUPS, N_OUT)}
    write("awq", {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm"}}, awq)
    round_ = {"quant_method": "auto-round", "packing_format": "auto_round:auto_awq", "bits": 4, "group_size": GROUP, "extra_config": {".*b": {"bits": 16}}}
    write("auto_round", {"quantization_config": round_}, awq)
    affine = {"a.weight": tensor("U32", N_OUT, N_IN * 6 // 32), "a.scales": floats(N_OUT, GROUPS), "a.biases": floats(N_OUT, GROUPS)}
    write("mlx", {"quantization": {"group_size": GROUP, "bits": 4, "a": {"group_size": GROUP, "bits": 6}, "b": False}}, affine)
    mxfp8 = {"a.weight": tensor("U32", N_OUT, N_IN // 4), "a.scales": tensor("U8", N_OUT, GROUPS)}
    write("mlx_mxfp8", {"quantization": {"group_size": 32, "bits": 8, "mode": "mxfp8"}}, mxfp8)
    modelopt = {"a.weight": tensor("U8", N_OUT, N_IN // 2), "a.weight_scale": tensor("F8_E4M3", N_OUT, N_IN // 16), "a.weight_scale_2": tensor("F32", limit=64), "a.input_scale": tensor("F32")}
    write("modelopt", {"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, modelopt)
    gemma = {"a.weight": tensor("U8", N_OUT, N_IN // 2), "a.weight_scale": tensor("F32", N_OUT, 1, limit=64), "embed.embedding_quantized": tensor("I8", N_OUT, N_IN), "embed.embedding_scale": tensor("F32", N_OUT, 2, limit=64)}
    write("gemma", {"quantization_config": {"quant_method": "gemma", "num_bits": 4, "module_quant_configs": {"embed": {"num_bits": 8}}}}, gemma)
    # Damaged: an index, a shape and zeros that are out of range, a group that does not divide, a file that is cut.
    write("bad_g_idx", gptq(), words | {"a.g_idx": tensor("I32", N_IN, values=[0, 1 << 30] * (N_IN // 2))})
    write("bad_shape", ct("pack-quantized", **ints), packed | {"a.weight_shape": tensor("I64", 2, values=[N_OUT, 1 << 61])})
    write("bad_zeros", gptq(), words | {"a.qzeros": tensor("I32", GROUPS, N_OUT // 8, values=[-1] * (GROUPS * N_OUT // 8))})
    write("bad_group", ct("pack-quantized", num_bits=4, group_size=48, strategy="group"), packed)
    write("bad_empty", ct("pack-quantized", **ints), {"a.weight_packed": tensor("I32", 0, 8), "a.weight_scale": floats(0, 2)})
    write("cut", ct("pack-quantized", **ints), packed, cut=5)


if __name__ == "__main__":
    main()
