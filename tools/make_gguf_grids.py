#!/usr/bin/env python3
"""Writes src/formats/gguf_grids.cc from the grids of gguf, the reference's Python package (needs
gguf 0.19.0, numpy and clang-format), and prints the checksums that src/formats/gguf_grids_test.cc holds.

A row of a grid is 8 or 4 levels of a few; the file has their indices, 2 or 3 bits each, the first
one lowest.
"""
import pathlib
import subprocess

import gguf
import numpy as np

TARGET = pathlib.Path(__file__).resolve().parent.parent / "src" / "formats" / "gguf_grids.cc"
PER_LINE = 12
HEADER = """\
// Written by tools/make_gguf_grids.py from gguf {version}: do not edit.
//
// The grids are ggml's (https://github.com/ggml-org/ggml, ggml-common.h). MIT licence, copyright
// (c) 2023-2026 The ggml authors. They are part of the format: files hold indices of their rows.
#include "formats/gguf_grids.h"

#include <cstddef>

namespace longhaul {{
namespace {{

// Rows of levels from rows of indices of `bits` each; the first one is lowest in both.
template <class Row, size_t kRows, size_t kLevels>
constexpr std::array<Row, kRows> rows_of(const std::array<int8_t, kLevels>& levels, int bits,
                                         const std::array<uint16_t, kRows>& indices) {{
  std::array<Row, kRows> rows{{}};
  for (size_t r = 0; r < kRows; ++r) {{
    for (size_t i = 0; i < sizeof(Row); ++i) {{
      const int index = indices[r] >> (bits * static_cast<int>(i)) & ((1 << bits) - 1);
      rows[r] |= Row{{static_cast<uint8_t>(levels[static_cast<size_t>(index)])}} << (8 * i);
    }}
  }}
  return rows;
}}

}}  // namespace
"""
# Name, the reference's class, and what its levels are multiplied by.
GRIDS = [("kIq2XxsGrid", "IQ2_XXS", 1), ("kIq2XsGrid", "IQ2_XS", 1), ("kIq2SGrid", "IQ2_S", 1),
         ("kIq3XxsGrid", "IQ3_XXS", 1), ("kIq3SGrid", "IQ3_S", 1), ("kIq1Grid", "IQ1_S", 8)]


def fnv1a(data: bytes) -> int:
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 % 2**64
    return value


def definition(name: str, cls, factor: int) -> str:
    cls.init_grid()
    grid = cls.grid.reshape(cls.grid_shape).astype(np.int64)
    n_rows, width = grid.shape
    bits = {3: 2, 8: 3}[len(cls.grid_map)]
    indices = np.searchsorted(np.array(cls.grid_map), grid)
    assert (np.array(cls.grid_map)[indices] == grid).all()
    packed = (indices << (bits * np.arange(width))).sum(1)
    levels = (grid * factor).astype(np.int8)
    print(f"{name} {n_rows} rows, FNV-1a {fnv1a(levels.tobytes()):#018x}")
    lines = [", ".join(f"{p:#06x}" for p in packed[i:i + PER_LINE]) for i in range(0, n_rows, PER_LINE)]
    row = {8: "uint64_t", 4: "uint32_t"}[width]
    level_list = ", ".join(str(v * factor) for v in cls.grid_map)
    return (f"\nconstinit const std::array<{row}, {n_rows}> {name} =\n"
            f"    rows_of<{row}, {n_rows}>(std::array<int8_t, {len(cls.grid_map)}>{{{level_list}}}, {bits}, {{\n"
            + "".join(f"    {line},\n" for line in lines) + "});\n")


def main() -> None:
    text = HEADER.format(version="0.19.0")
    text += "".join(definition(n, getattr(gguf.quants, c), f) for n, c, f in GRIDS)
    TARGET.write_text(text + "\n}  // namespace longhaul\n")
    subprocess.run(["clang-format", "-i", TARGET], check=True)


if __name__ == "__main__":
    main()
