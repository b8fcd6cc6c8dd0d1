"""Block formats of GGUF files: quantising and dequantising rows of f32, with numpy alone.

A row is cut into blocks; each block holds its scale(s) and the codes. All scales are f16, all numbers little-endian.

    Q4_0   32 weights  18 bytes   d, 16 bytes of two codes 0..15 (element j low, j + 16 high)       w = d (code - 8)
    Q8_0   32 weights  34 bytes   d, 32 codes of int8                                               w = d code
    Q6_K  256 weights 210 bytes   128 bytes of low 4 bits, 64 of high 2 bits, 16 int8 scales, d     w = d scale (code - 32)

Q4_0's d carries the sign of the block's largest element, which so gets the code 0 (-8): that side of the range is one step longer.
Q6_K's scales are of 16 weights each. They come from the largest element alone, without the search for the least squared error that the peer's own
quantiser adds: as fast to run, a little coarser.
"""

from dataclasses import dataclass
from typing import Callable

import numpy as np


@dataclass(frozen=True)
class BlockFormat:
    name: str
    type_id: int  # as GGUF numbers them
    block_weights: int
    block_bytes: int
    pack: Callable[[np.ndarray], np.ndarray]  # f32 [rows, cols] -> u8 [rows, bytes]
    unpack: Callable[[np.ndarray], np.ndarray]  # u8 [blocks, block_bytes] -> f32 [blocks, block_weights]

    def row_bytes(self, cols: int) -> int:
        if cols % self.block_weights:
            raise ValueError(f"{self.name}: a row of {cols} is no whole number of blocks of {self.block_weights}")
        return cols // self.block_weights * self.block_bytes


def _inverse(d: np.ndarray) -> np.ndarray:
    return np.divide(1.0, d, out=np.zeros_like(d), where=d != 0)


def _largest(x: np.ndarray) -> np.ndarray:
    """The element of largest magnitude of each last axis, with its sign; the axis stays."""
    low, high = x.min(axis=-1, keepdims=True), x.max(axis=-1, keepdims=True)
    return np.where(-low >= high, low, high)


def _halves(d: np.ndarray) -> np.ndarray:
    return d.astype("<f2").view(np.uint8)


def _scale(blocks: np.ndarray, at: int) -> np.ndarray:
    return np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2").astype(np.float32)


def _pack_q4_0(x: np.ndarray) -> np.ndarray:
    b = x.reshape(-1, 32)
    d = _largest(b) / np.float32(-8)
    codes = np.minimum(b * _inverse(d) + np.float32(8.5), 15).astype(np.uint8)
    return np.hstack([_halves(d), codes[:, :16] | codes[:, 16:] << 4]).reshape(len(x), -1)


def _unpack_q4_0(blocks: np.ndarray) -> np.ndarray:
    codes = np.hstack([blocks[:, 2:] & 15, blocks[:, 2:] >> 4]).astype(np.float32)
    return _scale(blocks, 0) * (codes - 8)


def _pack_q8_0(x: np.ndarray) -> np.ndarray:
    b = x.reshape(-1, 32)
    d = np.abs(_largest(b)) / np.float32(127)
    codes = np.rint(b * _inverse(d)).astype(np.int8)
    return np.hstack([_halves(d), codes.view(np.uint8)]).reshape(len(x), -1)


def _unpack_q8_0(blocks: np.ndarray) -> np.ndarray:
    return _scale(blocks, 0) * np.ascontiguousarray(blocks[:, 2:]).view(np.int8)


def _pack_q6_k(x: np.ndarray) -> np.ndarray:
    b = x.reshape(-1, 16, 16)
    ideal = _largest(b) / np.float32(-32)  # the step of each 16 weights
    d = _largest(ideal[..., 0]) / np.float32(-128)
    scales = np.clip(np.rint(ideal[..., 0] * _inverse(d)), -128, 127).astype(np.int8)
    step = (d.astype("<f2").astype(np.float32) * scales)[..., None]
    codes = (np.clip(np.rint(b * _inverse(step)), -32, 31) + 32).astype(np.uint8)
    c = codes.reshape(-1, 2, 4, 32)  # two halves of four runs of 32
    low = np.stack([c[:, :, 0] & 15 | c[:, :, 2] << 4, c[:, :, 1] & 15 | c[:, :, 3] << 4], axis=2)
    high = c[:, :, 0] >> 4 | c[:, :, 1] >> 4 << 2 | c[:, :, 2] >> 4 << 4 | c[:, :, 3] >> 4 << 6
    n = len(c)
    return np.hstack([low.reshape(n, 128), high.reshape(n, 64), scales.view(np.uint8), _halves(d)]).reshape(len(x), -1)


def _unpack_q6_k(blocks: np.ndarray) -> np.ndarray:
    low, high = blocks[:, :128].reshape(-1, 2, 2, 32), blocks[:, 128:192].reshape(-1, 2, 1, 32)
    runs = [low[:, :, i % 2] >> 4 * (i // 2) & 15 | (high[:, :, 0] >> 2 * i & 3) << 4 for i in range(4)]
    codes = np.stack(runs, axis=2).reshape(-1, 16, 16).astype(np.float32)
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8).astype(np.float32)
    return ((_scale(blocks, 208) * scales)[..., None] * (codes - 32)).reshape(-1, 256)


def _pack_bf16(x: np.ndarray) -> np.ndarray:
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (bits + (0x7FFF + (bits >> 16 & 1))) >> 16  # to nearest, ties to even
    return rounded.astype("<u2").view(np.uint8)


def _unpack_bf16(blocks: np.ndarray) -> np.ndarray:
    return (np.ascontiguousarray(blocks).view("<u2").astype(np.uint32) << 16).view(np.float32)


def _pack_f32(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x, "<f4").view(np.uint8)


def _unpack_f32(blocks: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(blocks).view("<f4")


F32 = BlockFormat("f32", 0, 1, 4, _pack_f32, _unpack_f32)
Q4_0 = BlockFormat("q4_0", 2, 32, 18, _pack_q4_0, _unpack_q4_0)
Q8_0 = BlockFormat("q8_0", 8, 32, 34, _pack_q8_0, _unpack_q8_0)
Q6_K = BlockFormat("q6_k", 14, 256, 210, _pack_q6_k, _unpack_q6_k)
BF16 = BlockFormat("bf16", 30, 1, 2, _pack_bf16, _unpack_bf16)
FORMATS = {f.name: f for f in (F32, Q4_0, Q8_0, Q6_K, BF16)}


def fitting(wanted: BlockFormat, cols: int) -> BlockFormat:
    """The wanted format, or the next finer one whose blocks fill a row of so many columns."""
    for f in (wanted, Q8_0, BF16):
        if cols % f.block_weights == 0:
            return f
    raise AssertionError("one weight fills a block of bf16")
