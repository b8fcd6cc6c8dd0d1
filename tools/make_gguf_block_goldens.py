#!/usr/bin/env python3
"""Writes tests/golden/gguf/blocks.safetensors with the reference's Python package (needs gguf and
numpy), and seeds of the fuzz target quant_block in tests/corpus/quant_block.

For every block type: TYPE.blocks [200, bytes] u8, random but for their scales, of which the first
ones are edges and none is infinite; TYPE.hashes [200] u64, FNV-1a of each block's weights as the
reference dequantises them (little-endian f32).

    python3 tools/make_gguf_block_goldens.py           # writes; --check compares with what is there
"""
import json
import pathlib
import struct
import sys

import gguf
import numpy as np

TESTS = pathlib.Path(__file__).resolve().parent.parent / "tests"
GOLDEN = TESTS / "golden" / "gguf" / "blocks.safetensors"
CORPUS = TESTS / "corpus" / "quant_block"
N_BLOCKS = 200
# Where the f16 scales of a type stand.
F16_AT = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82],
          "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ2_XXS": [0],
          "IQ2_XS": [0], "IQ2_S": [0], "IQ3_XXS": [0], "IQ3_S": [0], "IQ1_S": [0], "IQ4_NL": [0],
          "IQ4_XS": [0], "IQ1_M": [], "MXFP4": [], "NVFP4": []}
# Zeros, the least and the largest subnormal, the least normal, ones, the largest; with both signs.
F16_EDGES = [bits | sign for bits in (0, 1, 0x3ff, 0x400, 0x3c00, 0x7bff) for sign in (0, 0x8000)]
E8M0_EDGES = [0, 1, 2, 127, 252]
LARGEST_E8M0 = 252  # with 253, the largest code leaves f32
E4M3_EDGES = [0, 0x7f, 0x80, 0xff, 0x01, 0x81, 0x07, 0x08, 0x7e, 0xfe]


def finite_f16(rng: np.random.Generator) -> np.ndarray:
    bits = rng.integers(0, 2**16, N_BLOCKS).astype(np.uint16)
    bits[(bits & 0x7c00) == 0x7c00] &= 0xbfff
    bits[:len(F16_EDGES)] = F16_EDGES
    return bits


def random_blocks(name: str, n_bytes: int, rng: np.random.Generator) -> np.ndarray:
    blocks = rng.integers(0, 256, (N_BLOCKS, n_bytes), dtype=np.uint8)
    for number, at in enumerate(F16_AT[name]):
        bits = np.roll(finite_f16(rng), 3 * number)
        blocks[:, at:at + 2] = bits.view(np.uint8).reshape(N_BLOCKS, 2)
    if name == "IQ1_M":  # a nibble of the scale at the top of each of the last four words
        d = finite_f16(rng)
        for q in range(4):
            nibble = (d >> (4 * q) & 15).astype(np.uint8)
            blocks[:, 49 + 2 * q] = blocks[:, 49 + 2 * q] & 15 | nibble << 4
    if name == "MXFP4":
        blocks[:, 0] %= LARGEST_E8M0 + 1
        blocks[:len(E8M0_EDGES), 0] = E8M0_EDGES
    if name == "NVFP4":
        blocks[:len(E4M3_EDGES), 0] = E4M3_EDGES
    return blocks


def fnv1a(rows: np.ndarray) -> np.ndarray:
    values = np.full(len(rows), 0xcbf29ce484222325, np.uint64)
    for column in rows.view(np.uint8).reshape(len(rows), -1).T:
        values = (values ^ column) * np.uint64(0x100000001b3)
    return values


def safetensors(tensors: dict, metadata: dict) -> bytes:
    header, data = {"__metadata__": metadata}, b""
    for name, array in tensors.items():
        dtype = {"uint8": "U8", "uint64": "U64"}[array.dtype.name]
        end = len(data) + array.nbytes
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [len(data), end]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def made() -> dict:
    rng = np.random.default_rng(20261130)
    files, tensors = {}, {}
    for name in F16_AT:
        kind = gguf.GGMLQuantizationType[name]
        blocks = random_blocks(name, gguf.GGML_QUANT_SIZES[kind][1], rng)
        weights = gguf.quants.dequantize(blocks, kind)
        assert weights.dtype == np.float32 and np.isfinite(weights).all(), name
        tensors[f"{name}.blocks"], tensors[f"{name}.hashes"] = blocks, fnv1a(weights)
        seed = bytes([kind.value]) + blocks[20:23].tobytes()
        files[CORPUS / name.lower()] = seed
    files[GOLDEN] = safetensors(tensors, {"origin": "gguf 0.19.0, quants.dequantize, November 2026"})
    files[CORPUS / "no_blocks"] = bytes([2])
    files[CORPUS / "half_a_block"] = files[CORPUS / "q6_k"][:300]
    files[CORPUS / "infinite_scale"] = bytes([2]) + struct.pack("<H", 0x7c00) + bytes(16)
    files[CORPUS / "nan_min"] = bytes([12]) + struct.pack("<HH", 0x3c00, 0x7e00) + bytes(140)
    files[CORPUS / "e8m0_nan"] = bytes([39, 255]) + bytes(range(16))
    files[CORPUS / "e8m0_too_large"] = bytes([39, 253]) + bytes([0x77] * 16)
    files[CORPUS / "not_blocks"] = bytes([0]) + bytes(64)
    files[CORPUS / "not_read"] = bytes([34]) + bytes(54)
    return files


def main() -> None:
    check = "--check" in sys.argv[1:]
    for path, content in made().items():
        if check:
            assert path.read_bytes() == content, f"{path} differs"
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    main()
