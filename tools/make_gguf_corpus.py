#!/usr/bin/env python3
"""Writes tests/corpus/gguf: small GGUF files, most of them malformed, as seeds of the fuzz target.

Standard library only, no randomness: running it again changes nothing. What malformed files must be
refused with stands in src/formats/gguf_test.cc, which makes its own.
"""
import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent.parent / "tests" / "corpus" / "gguf"
SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q",
           11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9


def string(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


def content(kind: int, value) -> bytes:
    return string(value) if kind == STRING else struct.pack(SCALARS[kind], value)


def value(key: bytes, kind: int, of) -> bytes:
    return string(key) + struct.pack("<I", kind) + content(kind, of)


def array(key: bytes, kind: int, elements, size: int | None = None) -> bytes:
    head = struct.pack("<IIQ", ARRAY, kind, len(elements) if size is None else size)
    return string(key) + head + b"".join(content(kind, e) for e in elements)


def tensor(name: bytes, dims, kind: int, offset: int) -> bytes:
    return string(name) + struct.pack(f"<I{len(dims)}qIQ", len(dims), *dims, kind, offset)


def file(values=(), tensors=(), n_data=0, version=3, n_values=None, n_tensors=None,
         alignment=32) -> bytes:
    """Data of n_data bytes, counting up, begins at a multiple of the alignment."""
    header = b"GGUF" + struct.pack("<Iqq", version,
                                   len(tensors) if n_tensors is None else n_tensors,
                                   len(values) if n_values is None else n_values)
    header += b"".join(values) + b"".join(tensors)
    if n_data:
        header += bytes(-len(header) % alignment)
    return header + bytes(i % 256 for i in range(n_data))


ARCHITECTURE = value(b"general.architecture", STRING, b"toy")
ONE = tensor(b"a", [4], 0, 0)
GOOD = file([ARCHITECTURE], [ONE, tensor(b"b", [32, 2], 2, 32)], 68)
# Bytes of 256 elements, by type.
TYPES = {0: 1024, 1: 512, 2: 144, 3: 160, 6: 176, 7: 192, 8: 272, 10: 84, 11: 110, 12: 144, 13: 176,
         14: 210, 16: 66, 17: 74, 18: 98, 19: 50, 20: 144, 21: 110, 22: 82, 23: 136, 24: 256,
         25: 512, 26: 1024, 27: 2048, 28: 2048, 29: 56, 30: 512, 34: 54, 35: 66, 39: 136, 40: 144}


def aligned_to(alignment: int, kind: int = 4) -> bytes:
    return file([value(b"general.alignment", kind, alignment)], [ONE], 16, alignment=alignment)


def all_types() -> bytes:
    tensors, at = [], 0
    for kind, n_bytes in TYPES.items():
        tensors.append(tensor(b"t%d" % kind, [256], kind, at))
        end = at + n_bytes
        at = end + -end % 32
    return file([], tensors, end)


FILES = {
    "good": GOOD,
    "good_empty": file(),
    "good_version_2": file([ARCHITECTURE], [ONE], 16, version=2),
    "good_all_values": file([value(b"k%d" % kind, kind, 1) for kind in SCALARS]
                            + [value(b"text", STRING, "\u00e9".encode())]),
    "good_all_arrays": file([array(b"k%d" % kind, kind, [0, 1]) for kind in SCALARS]
                            + [array(b"text", STRING, [b"", b"a", b"bc"]), array(b"none", 4, [])]),
    "good_padded": GOOD + bytes(31),
    "good_alignment_1": aligned_to(1),
    "good_alignment_256": aligned_to(256),
    "good_split": file([value(b"split.no", 2, 0), value(b"split.count", 2, 2),
                        value(b"split.tensors.count", 5, 3)], [ONE], 16),
    "good_all_types": all_types(),
    "empty_file": b"",
    "magic_alone": b"GGUF",
    "magic_other": b"GGML" + GOOD[4:],
    "version_1": file(version=1),
    "version_4": file(version=4),
    "big_endian": file(version=3 << 24),
    "header_cut": GOOD[:60],
    "data_cut": GOOD[:-1],
    "data_extra": GOOD + bytes(32),
    "n_values_huge": file(n_values=2**63 - 1),
    "n_values_negative": file(n_values=-1),
    "n_values_one_more": file([ARCHITECTURE], [ONE], 16, n_values=2),
    "n_tensors_huge": file(n_tensors=2**63 - 1),
    "n_tensors_negative": file(n_tensors=-1),
    "n_tensors_4g": file(n_tensors=2**32),
    "n_tensors_one_more": file([], [ONE], 16, n_tensors=2),
    "key_length_max": file([string(b"k", 2**64 - 1)]),
    "key_empty": file([value(b"", 4, 1)]),
    "key_nul": file([value(b"a\0b", 4, 1)]),
    "key_twice": file([ARCHITECTURE, ARCHITECTURE]),
    "text_length_max": file([string(b"k") + struct.pack("<I", STRING) + string(b"x", 2**64 - 1)]),
    "text_not_utf8": file([value(b"k", STRING, b"\xff")]),
    "array_length_max": file([array(b"k", 10, [1], 2**64 - 1)]),
    "array_length_wraps": file([array(b"k", 10, [1], 2**61 + 1)]),
    "array_of_strings_huge": file([array(b"k", STRING, [b""], 10**9)]),
    "array_of_strings_cut": file([array(b"k", STRING, [b"a"])[:-1]]),
    "array_of_arrays": file([string(b"k") + struct.pack("<IIQ", ARRAY, ARRAY, 1)]),
    "value_type_13": file([string(b"k") + struct.pack("<II", 13, 1)]),
    "bool_2": file([string(b"k") + struct.pack("<IB", 7, 2)]),
    "alignment_0": file([value(b"general.alignment", 4, 0)], [ONE], 16),
    "alignment_3": file([value(b"general.alignment", 4, 3)], [ONE], 16),
    "alignment_2g": file([value(b"general.alignment", 4, 2**31)], [ONE], 16),
    "alignment_i32": aligned_to(32, kind=5),
    "quantization_version_1": file([value(b"general.quantization_version", 4, 1)],
                                   [tensor(b"b", [32], 2, 0)], 18),
    "tensor_twice": file([], [ONE, tensor(b"a", [4], 0, 32)], 48),
    "tensor_name_empty": file([], [tensor(b"", [4], 0, 0)], 16),
    "tensor_name_long": file([], [tensor(b"n" * 256, [4], 0, 0)], 16),
    "rank_0": file([], [tensor(b"a", [], 0, 0)], 4),
    "rank_5": file([], [tensor(b"a", [1] * 5, 0, 0)], 4),
    "dim_0": file([], [tensor(b"a", [4, 0], 0, 0)], 16),
    "dim_negative": file([], [tensor(b"a", [-1, 4], 0, 0)], 16),
    "shape_wraps": file([], [tensor(b"a", [2**32, 2**32], 0, 0)], 16),
    "shape_wraps_to_size": file([], [tensor(b"a", [2**62, 2**62, 4, 4], 24, 0)], 16),
    "bytes_wrap": file([], [tensor(b"a", [2**61], 28, 0)], 16),
    "end_wraps": file([], [tensor(b"a", [2**63 - 1], 25, 0)], 16),
    "type_negative": file([], [tensor(b"a", [4], 2**32 - 1, 0)], 16),
    "type_withdrawn": file([], [tensor(b"a", [32], 4, 0)], 32),
    "type_unknown": file([], [tensor(b"a", [4], 42, 0)], 16),
    "row_of_half_blocks": file([], [tensor(b"a", [128, 2], 12, 0)], 144),
    "offset_misaligned": file([], [tensor(b"a", [4], 0, 4)], 20),
    "offset_max": file([], [tensor(b"a", [4], 0, 2**64 - 32)], 16),
    "hole": file([], [tensor(b"a", [4], 0, 32)], 48),
    "overlap": file([], [ONE, tensor(b"b", [4], 0, 0)], 16),
    "overlap_inside": file([], [tensor(b"a", [16], 0, 0), tensor(b"b", [4], 0, 32)], 64),
}


def main() -> None:
    CORPUS.mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        (CORPUS / f"{name}.gguf").write_bytes(text)


if __name__ == "__main__":
    main()
