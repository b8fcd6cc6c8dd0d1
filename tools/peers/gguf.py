"""GGUF version 3: a header of typed keys and tensor places, then the tensors' bytes, each at a multiple of 32."""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable

import numpy as np

from blocks import FORMATS, BlockFormat
from checkpoint import Stored

ALIGNMENT = 32
CHUNK_WEIGHTS = 1 << 22  # 16 MB of f32 at a time
U32, I32, F32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
_PACK = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<B"}


@dataclass(frozen=True)
class Value:
    """A key's value: of one type, or a list of it."""

    kind: int
    value: object


@dataclass(frozen=True)
class Tensor:
    """A tensor to write: parts of the checkpoint one after another, or an array at hand."""

    name: str
    shape: tuple[int, ...]  # outermost first, as in the checkpoint; GGUF writes them innermost first
    format: BlockFormat
    parts: tuple[Stored | np.ndarray, ...]

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape[:-1])) * self.format.row_bytes(self.shape[-1])


def write(path: Path, keys: dict[str, Value], tensors: list[Tensor], progress=lambda name, fraction: None) -> int:
    """Writes under a temporary name, then renames. Returns the file's bytes."""
    partial = path.with_name(path.name + ".partial")
    total, done = sum(t.nbytes for t in tensors), 0
    try:
        with partial.open("wb") as f:
            f.write(_header(keys, tensors))
            for tensor in tensors:
                for chunk in _chunks(tensor):
                    progress(tensor.name, done / total)
                    f.write(chunk.tobytes())
                    done += chunk.nbytes
                f.write(bytes(-tensor.nbytes % ALIGNMENT))
            size = f.tell()
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return size


def _chunks(tensor: Tensor) -> Iterable[np.ndarray]:
    for part in tensor.parts:
        if isinstance(part, np.ndarray):
            yield tensor.format.pack(part.reshape(-1, tensor.shape[-1]).astype(np.float32))
            continue
        step = max(1, CHUNK_WEIGHTS // part.cols)
        for first in range(0, part.rows, step):
            yield tensor.format.pack(part.read(first, min(step, part.rows - first)))


def _header(keys: dict[str, Value], tensors: list[Tensor]) -> bytes:
    out = [b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))]
    out += [_string(key) + _value(v) for key, v in keys.items()]
    offset = 0
    for t in tensors:
        dims = tuple(reversed(t.shape))
        out.append(_string(t.name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, t.format.type_id, offset))
        offset += t.nbytes + -t.nbytes % ALIGNMENT
    header = b"".join(out)
    return header + bytes(-len(header) % ALIGNMENT)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _scalar(kind: int, value) -> bytes:
    return _string(value) if kind == STRING else struct.pack(_PACK[kind], value)


def _value(v: Value) -> bytes:
    if not isinstance(v.value, list):
        return struct.pack("<I", v.kind) + _scalar(v.kind, v.value)
    return struct.pack("<IIQ", ARRAY, v.kind, len(v.value)) + b"".join(_scalar(v.kind, x) for x in v.value)


class Reader:
    """Reads back what write() wrote; for the self-test."""

    def __init__(self, path: Path):
        self._raw, self._at = path.read_bytes(), 0
        if self._take("<4sI") != (b"GGUF", 3):
            raise ValueError(f"{path}: no GGUF of version 3")
        n_tensors, n_keys = self._take("<QQ")
        self.keys = {self._text(): self._read_value() for _ in range(n_keys)}
        places = [(self._text(), self._take(f"<{self._take('<I')[0]}Q"), *self._take("<IQ")) for _ in range(n_tensors)]
        data = self._at + -self._at % ALIGNMENT
        self.tensors = {name: self._tensor(tuple(reversed(dims)), kind, data + offset) for name, dims, kind, offset in places}

    def _take(self, layout: str) -> tuple:
        values = struct.unpack_from(layout, self._raw, self._at)
        self._at += struct.calcsize(layout)
        return values

    def _text(self) -> str:
        return self._take(f"<{self._take('<Q')[0]}s")[0].decode()

    def _read_value(self, kind: int | None = None):
        kind = self._take("<I")[0] if kind is None else kind
        if kind == STRING:
            return self._text()
        if kind == ARRAY:
            of, n = self._take("<IQ")
            return [self._read_value(of) for _ in range(n)]
        return self._take(_PACK[kind])[0]

    def _tensor(self, shape: tuple[int, ...], kind: int, at: int) -> tuple[BlockFormat, np.ndarray]:
        block = next(f for f in FORMATS.values() if f.type_id == kind)
        n = int(np.prod(shape)) // block.block_weights
        raw = np.frombuffer(self._raw, np.uint8, n * block.block_bytes, at).reshape(n, block.block_bytes)
        return block, block.unpack(raw).reshape(shape)
