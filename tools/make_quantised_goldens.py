#!/usr/bin/env python3
"""Writes tests/golden/safetensors/quantised.safetensors: small matrices in every layout of quantised
safetensors that is read, answered by the packages that define them.

Needs torch, safetensors, numpy; compressed-tensors 0.20.1; mlx 0.32.0 with its CPU backend; and the
sources of gptqmodel 7.7.0 and nvidia-modelopt 0.47.0, unpacked (their methods are taken from the
text, since importing the packages asks for an accelerator's stack):

    python3 tools/make_quantised_goldens.py GPTQMODEL_FOLDER MODELOPT_FOLDER

For every case: CASE.shape i64 [4] = out, in, inputs of a group, bits; CASE.codes, and as the layout
has them CASE.scales, CASE.zeros, CASE.biases, CASE.factor, as files hold them; CASE.hashes u64
[out], FNV-1a of each row of weights (little-endian f32). Scales are widened to f32 before the
package computes: in 16 bits it would round what the file holds.
"""
import ast
import importlib.util
import pathlib
import sys
import types

import mlx.core as mx
import numpy as np
import torch
from compressed_tensors.compressors.mx_utils import decompress_mx_scale
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import dequantize
from safetensors.torch import save_file

TARGET = pathlib.Path(__file__).resolve().parent.parent / "tests/golden/safetensors/quantised.safetensors"
RNG = np.random.default_rng(20261130)


def words(*shape) -> torch.Tensor:
    return torch.from_numpy(RNG.integers(-2**31, 2**31, shape).astype(np.int32))


def bytes_below(limit: int, *shape) -> torch.Tensor:
    return torch.from_numpy(RNG.integers(0, limit, shape).astype(np.uint8))


def floats(dtype, *shape) -> torch.Tensor:
    return torch.from_numpy(RNG.normal(0, 0.02, shape).astype(np.float32)).to(dtype)


def e4m3_scales(*shape) -> torch.Tensor:
    return bytes_below(127, *shape).view(torch.float8_e4m3fn)  # positive, none is NaN


def hashes(weights: torch.Tensor) -> torch.Tensor:
    assert weights.dtype == torch.float32 and torch.isfinite(weights).all()
    values = np.full(len(weights), 0xcbf29ce484222325, np.uint64)
    for column in weights.numpy().view(np.uint8).T:
        values = (values ^ column) * np.uint64(0x100000001b3)
    return torch.from_numpy(values.view(np.int64)).view(torch.uint64)


def methods(path: pathlib.Path, names: set, **scope) -> dict:
    """Functions and methods of a source file by name, without importing what it imports."""
    found = [n for n in ast.walk(ast.parse(path.read_text()))
             if isinstance(n, ast.FunctionDef) and n.name in names]
    for function in found:
        function.decorator_list = []
    module = ast.Module(found, [])
    exec(compile(module, str(path), "exec", flags=__import__("__future__").annotations.compiler_flag),
         scope)
    return scope


CASES = {}


def case(name: str, shape, weights: torch.Tensor, **tensors) -> None:
    n_out, n_in, _, _ = shape
    assert weights.shape == (n_out, n_in), name
    CASES[f"{name}.shape"] = torch.tensor(shape)
    CASES[f"{name}.hashes"] = hashes(weights.contiguous())
    CASES.update({f"{name}.{field}": tensor.contiguous() for field, tensor in tensors.items()})


def compressed_tensors(name, bits, group, dtype, asymmetric=False, n_out=12, n_in=80) -> None:
    n_groups = -(-n_in // group)
    codes = words(n_out, -(-n_in * bits // 32))
    scales = floats(dtype, n_out, n_groups)
    args = QuantizationArgs(num_bits=bits, symmetric=not asymmetric,
                            strategy="channel" if n_groups == 1 else "group",
                            group_size=None if n_groups == 1 else group)
    tensors = {"codes": codes, "scales": scales}
    zeros = None
    if asymmetric:
        tensors["zeros"] = words(-(-n_out * bits // 32), n_groups)
        zeros = unpack_from_int32(tensors["zeros"], bits, (n_out, n_groups), packed_dim=0)
    unpacked = unpack_from_int32(codes, bits, (n_out, n_in))
    weights = dequantize(unpacked, scales.float(), zeros, args)
    case(name, (n_out, n_in, group, bits), weights, **tensors)


def gptq(name, bits, version, dtype, folder, n_out=32, n_in=96, group=32) -> None:
    source = methods(folder / "gptqmodel/nn_modules/qlinear/__init__.py",
                     {"dequantize_weight", "_dequantize_from_codes", "_init_wf_unsqueeze_buffers",
                      "_torch_right_shift", "_torch_left_shift"}, t=torch)
    codes, zeros = words(n_in * bits // 32, n_out), words(n_in // group, n_out * bits // 32)
    if version == 1:  # no field is all ones, with which the package's addition would carry
        zeros &= {4: 0x77777777, 8: 0x7f7f7f7f}[bits]
    scales = floats(dtype, n_in // group, n_out)
    plus_one = {4: 0x11111111, 8: 0x01010101}[bits] if version == 1 else 0
    linear = types.SimpleNamespace(
        planar=False, bits=bits, pack_dtype_bits=32, pack_factor=32 // bits, maxq=2**bits - 1,
        enable_wf_unsqueeze=True, dequant_dtype=torch.int16 if bits == 8 else torch.int8,
        qweight=codes, qzeros=zeros + plus_one, scales=scales.float(), in_features=n_in,
        g_idx=torch.arange(n_in) // group, _buffers={}, _wf_device=lambda: "cpu")
    linear.register_buffer = lambda key, value, persistent: setattr(linear, key, value)
    linear._init_wf_unsqueeze_buffers = lambda: source["_init_wf_unsqueeze_buffers"](linear)
    linear._dequantize_from_codes = lambda *a, **k: source["_dequantize_from_codes"](linear, *a, **k)
    weights = source["dequantize_weight"](linear)
    case(name, (n_out, n_in, group, bits), weights.T.contiguous(), codes=codes, zeros=zeros,
         scales=scales)


def awq(name, folder, n_out=32, n_in=96, group=32) -> None:
    path = folder / "gptqmodel/quantization/awq/utils/packing_utils.py"
    spec = importlib.util.spec_from_file_location("packing_utils", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    codes, zeros = words(n_in, n_out // 8), words(n_in // group, n_out // 8)
    scales = floats(torch.float16, n_in // group, n_out)
    weights = module.dequantize_gemm(codes, zeros, scales.float(), 4, group)
    case(name, (n_out, n_in, group, 4), weights.T.contiguous(), codes=codes, zeros=zeros,
         scales=scales)


def to_mlx(tensor: torch.Tensor, dtype) -> mx.array:
    return mx.array(tensor.numpy()).view(dtype)


def from_mlx(array: mx.array) -> torch.Tensor:
    return torch.from_numpy(np.array(array.astype(mx.float32)))


def mlx_affine(name, bits, group, dtype, n_out=12, n_in=128) -> None:
    codes = words(n_out, n_in * bits // 32)
    scales, biases = floats(dtype, n_out, n_in // group), floats(dtype, n_out, n_in // group)
    weights = mx.dequantize(to_mlx(codes, mx.uint32), mx.array(scales.float().numpy()),
                            mx.array(biases.float().numpy()), group_size=group, bits=bits)
    case(name, (n_out, n_in, group, bits), from_mlx(weights), codes=codes.view(torch.uint32),
         scales=scales, biases=biases)


def mlx_fp4(name, mode, group, scales, n_out=12, n_in=96) -> None:
    codes = words(n_out, n_in // 8)
    weights = mx.dequantize(to_mlx(codes, mx.uint32), mx.array(scales.view(torch.uint8).numpy()),
                            group_size=group, bits=4, mode=mode)
    case(name, (n_out, n_in, group, 4), from_mlx(weights), codes=codes.view(torch.uint32),
         scales=scales)


def fp4_of_compressed_tensors(name, group, scales, factor, n_out=12, n_in=96) -> None:
    codes = bytes_below(256, n_out, n_in // 2)
    args = QuantizationArgs(num_bits=4, type="float", symmetric=True, group_size=group,
                            strategy="group" if factor is None else "tensor_group")
    widened = scales.float() if factor is not None else decompress_mx_scale(scales).float()
    unpacked = unpack_fp4_from_uint8(codes, n_out, n_in, dtype=torch.float32)
    weights = dequantize(unpacked, widened, None, args, global_scale=factor)
    tensors = {"codes": codes, "scales": scales}
    if factor is not None:
        tensors["factor"] = factor
    case(name, (n_out, n_in, group, 4), weights, **tensors)


def nvfp4_of_modelopt(name, folder, n_out=12, n_in=96) -> None:
    path = folder / "modelopt/torch/quantization/qtensor/nvfp4_tensor.py"
    dequantized = methods(path, {"dequantize"}, torch=torch)["dequantize"]
    values = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6])
    codes = bytes_below(256, n_out, n_in // 2)
    scales, factor = e4m3_scales(n_out, n_in // 16), torch.tensor([0.0123])
    tensor = types.SimpleNamespace(metadata={"dtype": torch.float32, "shape": (n_out, n_in)},
                                   _quantized_data=codes, get_e2m1_values=lambda device: values)
    weights = dequantized(tensor, scale=scales, double_scale=factor, block_sizes={-1: 16})
    case(name, (n_out, n_in, 16, 4), weights, codes=codes, scales=scales, factor=factor)


def main() -> None:
    mx.set_default_device(mx.cpu)
    gptqmodel, modelopt = map(pathlib.Path, sys.argv[1:3])
    f16, bf16, f32 = torch.float16, torch.bfloat16, torch.float32
    for bits in range(2, 9):
        compressed_tensors(f"ct_symmetric_{bits}", bits, 16, bf16)
        compressed_tensors(f"ct_asymmetric_{bits}", bits, 16, f16, asymmetric=True)
    compressed_tensors("ct_symmetric_channel", 8, 80, f32)
    compressed_tensors("ct_asymmetric_channel", 4, 80, f32, asymmetric=True)
    for bits in (4, 8):
        for version in (1, 2):
            gptq(f"gptq_v{version}_{bits}", bits, version, f16, gptqmodel)
    awq("awq", gptqmodel)
    for bits, group, dtype in ((2, 32, bf16), (3, 64, f16), (4, 64, bf16), (4, 128, f16),
                               (5, 32, bf16), (6, 64, f16), (8, 32, bf16), (8, 64, f16)):
        mlx_affine(f"mlx_affine_{bits}_{group}", bits, group, dtype)
    mlx_fp4("mlx_nvfp4", "nvfp4", 16, e4m3_scales(12, 6))
    mlx_fp4("mlx_mxfp4", "mxfp4", 32, bytes_below(40, 12, 3) + 100)
    fp4_of_compressed_tensors("ct_nvfp4", 16, e4m3_scales(12, 6), torch.tensor([321.5]))
    fp4_of_compressed_tensors("ct_mxfp4", 32, bytes_below(253, 12, 3), None)
    nvfp4_of_modelopt("modelopt_nvfp4", modelopt)
    origin = ("compressed-tensors 0.20.1, gptqmodel 7.7.0, mlx 0.32.0, nvidia-modelopt 0.47.0, "
              "November 2026")
    save_file(CASES, TARGET, metadata={"origin": origin})


if __name__ == "__main__":
    main()
