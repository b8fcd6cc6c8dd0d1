#!/usr/bin/env python3
"""Writes tests/golden/gguf with the reference's Python library (needs gguf and numpy).

all_types.gguf has a value and an array of every type, and a tensor of every type that is read;
split-*.gguf has the same tensors in parts. all_types.json is what the reference's reader says of
the file: numbers as text, floats as their bits. Byte i of tensor number t, in the order of writing,
is (i + 16 t) mod 256.
"""
import json
import pathlib
import struct

import gguf
import numpy as np

TARGET = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "gguf"
V, Q = gguf.GGUFValueType, gguf.GGMLQuantizationType
NOT_READ = {Q.Q8_1, Q.Q8_K, Q.Q1_0}
VALUES = {
    V.UINT8: [0, 255], V.INT8: [-128, 127], V.UINT16: [0, 65535], V.INT16: [-32768, 32767],
    V.UINT32: [0, 2**32 - 1], V.INT32: [-2**31, 2**31 - 1], V.UINT64: [0, 2**63 - 1],
    V.INT64: [-2**63, 2**63 - 1], V.FLOAT32: [0.1, -0.0, float("inf")],
    V.FLOAT64: [0.1, 1e-320, float("-inf")], V.BOOL: [True, False],
    V.STRING: ["\u2581of", "a\0b", "<0x0A>", "\U0001f600"],
}


def write(writer: gguf.GGUFWriter) -> None:
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for kind, values in VALUES.items():
        writer.add_key_value(f"array.{kind.name}", values, V.ARRAY, sub_type=kind)
        for i, value in enumerate(values):
            writer.add_key_value(f"value.{kind.name}.{i}", value, kind)
    for t, kind in enumerate(k for k in Q if k not in NOT_READ):
        block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        n_rows, n_blocks = t % 3 + 1, t % 2 + 1
        shape = [n_rows, n_blocks * block_bytes] if t % 4 else [n_blocks * block_bytes]
        data = (np.arange(np.prod(shape)) + 16 * t).astype(np.uint8)
        writer.add_tensor(kind.name, data.reshape(shape), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def text_of(kind: V, value) -> str:
    if kind == V.FLOAT32:
        return struct.pack(">f", value).hex()
    if kind == V.FLOAT64:
        return struct.pack(">d", value).hex()
    return str(bool(value)).lower() if kind == V.BOOL else str(value)


def described(path: pathlib.Path) -> dict:
    reader = gguf.GGUFReader(path)
    values = []
    for field in reader.fields.values():
        if field.name.startswith("GGUF."):
            continue
        content = field.contents()
        is_array, kind = field.types[0] == V.ARRAY, field.types[-1]
        texts = [text_of(kind, v) for v in (content if is_array else [content])]
        values.append({"key": field.name, "type": kind.name, "is_array": is_array, "values": texts})
    tensors = [{"name": t.name, "type": t.tensor_type.name, "shape": t.shape.tolist()[::-1],
                "offset": int(t.data_offset), "n_bytes": int(t.n_bytes)} for t in reader.tensors]
    return {"alignment": int(reader.alignment), "values": values, "tensors": tensors}


def main() -> None:
    TARGET.mkdir(parents=True, exist_ok=True)
    whole = gguf.GGUFWriter(TARGET / "all_types.gguf", "toy")
    whole.add_custom_alignment(64)
    write(whole)
    write(gguf.GGUFWriter(TARGET / "split.gguf", "toy", split_max_tensors=12))
    description = json.dumps(described(TARGET / "all_types.gguf"), indent=1)
    (TARGET / "all_types.json").write_text(description + "\n")


if __name__ == "__main__":
    main()
