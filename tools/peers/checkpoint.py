"""A Hugging Face checkpoint folder: config.json and the tensors of its *.safetensors files, read by rows."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_DTYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies. A scalar or vector counts as one row."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int  # bytes from the start of the file

    @property
    def cols(self) -> int:
        return self.shape[-1] if self.shape else 1

    @property
    def rows(self) -> int:
        return int(np.prod(self.shape[:-1])) if self.shape else 1

    def read(self, first: int = 0, rows: int | None = None) -> np.ndarray:
        """Rows as f32 [rows, cols]."""
        rows = self.rows - first if rows is None else rows
        dtype = _DTYPES[self.dtype]
        at = self.begin + first * self.cols * dtype.itemsize
        raw = np.fromfile(self.path, dtype, rows * self.cols, offset=at)
        values = (raw.astype(np.uint32) << 16).view(np.float32) if self.dtype == "BF16" else raw.astype(np.float32)
        return values.reshape(rows, self.cols)


class Checkpoint:
    """Tensors by name. What is taken is remembered, so that nothing is left behind unnoticed."""

    def __init__(self, folder: Path):
        self.config = json.loads((folder / "config.json").read_text())
        self.tensors: dict[str, Stored] = {}
        self._taken: set[str] = set()
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise ValueError(f"{folder}: no *.safetensors")
        for path in files:
            self.tensors.update(_header(path))

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def take(self, name: str) -> Stored:
        if name not in self.tensors:
            raise ValueError(f"the checkpoint has no tensor '{name}'")
        self._taken.add(name)
        return self.tensors[name]

    def left_over(self) -> list[str]:
        return sorted(self.tensors.keys() - self._taken)


def _header(path: Path) -> dict[str, Stored]:
    size = path.stat().st_size
    with path.open("rb") as f:
        length = struct.unpack("<Q", f.read(8))[0]
        if length > size - 8:
            raise ValueError(f"{path}: header of {length} bytes in a file of {size}")
        entries = json.loads(f.read(length))
    tensors = {}
    for name, entry in entries.items():
        if name == "__metadata__":
            continue
        stored = Stored(path, entry["dtype"], tuple(entry["shape"]), 8 + length + entry["data_offsets"][0])
        if stored.dtype not in _DTYPES:
            raise ValueError(f"{path}: tensor '{name}' is {stored.dtype}; one of {', '.join(_DTYPES)} is needed")
        if stored.begin + stored.rows * stored.cols * _DTYPES[stored.dtype].itemsize > size:
            raise ValueError(f"{path}: tensor '{name}' ends beyond the file")
        tensors[name] = stored
    return tensors
