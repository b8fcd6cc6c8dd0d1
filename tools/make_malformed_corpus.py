#!/usr/bin/env python3
"""Writes tests/corpus: small files, most of them malformed, for the readers' tests and as seeds for the fuzz targets.

Standard library only, no randomness: running it again changes nothing. What each file of safetensors/ and checkpoints/ must
be refused with stands in src/formats/corpus_test.cc.
"""
import json
import pathlib
import struct

CORPUS = pathlib.Path(__file__).resolve().parent.parent / "tests" / "corpus"


def raw(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def tensor(dtype="F32", shape=(2,), offsets=(0, 8)) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def file(tensors: dict, n_data: int, **kwargs) -> bytes:
    return raw(json.dumps(tensors, separators=(",", ":")).encode(), bytes(range(n_data)), **kwargs)


GOOD = file({"a": tensor()}, 8)
ONE = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'

SAFETENSORS = {
    "good": GOOD,
    "good_empty": file({}, 0),
    "good_metadata_and_padding": raw(b'{"__metadata__":{"format":"pt"},"a":' + ONE.encode() + b"}     ", b"x"),
    "good_misaligned": file({"a": tensor("U8", [1], [0, 1]), "b": tensor("F32", [1], [1, 5])}, 5),
    "good_scalar_and_zero_size": file({"s": tensor("BF16", [], [0, 2]), "z": tensor("F64", [0, 7], [2, 2])}, 2),
    "good_fp4": file({"a": tensor("F4", [3, 2], [0, 3]), "s": tensor("F8_E8M0", [1], [3, 4])}, 4),
    "empty_file": b"",
    "length_cut": GOOD[:5],
    "length_beyond_file": GOOD[:8] + GOOD[8:20],
    "length_huge": raw(b"{}", length=2**63),
    "length_max": raw(b"{}", length=2**64 - 1),
    "length_over_limit": raw(b"{}", length=100_000_001),
    "length_zero": raw(b""),
    "length_alone": GOOD[:8],
    "header_not_json": raw(b"{nonsense"),
    "header_not_an_object": raw(b"[1,2]"),
    "header_starts_with_space": raw(b" {}"),
    "header_nul_tail": raw(b'{}\0{"a":1}'),
    "header_text_tail": raw(b"{}{}"),
    "header_bad_utf8": raw(b'{"\xff\xfe":' + ONE.encode() + b"}", b"x"),
    "header_deep": raw(b'{"a":' + b"[" * 300),
    "header_is_pickle": b"PK\x03\x04" + bytes(60),
    "data_cut": GOOD[:-1],
    "data_missing": GOOD[:-8],
    "data_extra": GOOD + b"x",
    "overlap": file({"a": tensor("F32", [2], [0, 8]), "b": tensor("F32", [2], [4, 12])}, 12),
    "overlap_same": file({"a": tensor("F32", [2], [0, 8]), "b": tensor("F32", [2], [0, 8])}, 8),
    "hole_at_start": file({"a": tensor("F32", [1], [4, 8])}, 8),
    "hole_between": file({"a": tensor("F32", [1], [0, 4]), "b": tensor("F32", [1], [8, 12])}, 12),
    "offsets_backwards": file({"a": tensor("F32", [1], [4, 0])}, 4),
    "offsets_beyond_file": file({"a": tensor("F32", [1 << 40], [0, 4 << 40])}, 8),
    "offsets_max": file({"a": tensor("U8", [2**63 - 1], [0, 2**63 - 1])}, 8),
    "offsets_over_63_bits": file({"a": tensor("U8", [1], [2**64 - 1, 2**64])}, 8),
    "offsets_negative": file({"a": tensor("U8", [1], [-1, 0])}, 8),
    "offsets_three": file({"a": tensor("U8", [1], [0, 1, 2])}, 8),
    "offsets_one": file({"a": tensor("U8", [1], [0])}, 8),
    "offsets_float": raw(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1.0]}}', b"x"),
    "size_too_small": file({"a": tensor("F32", [3], [0, 8])}, 8),
    "size_too_large": file({"a": tensor("F32", [1], [0, 8])}, 8),
    "shape_overflows": file({"a": tensor("F32", [2**32, 2**32], [0, 0])}, 0),
    "shape_overflows_to_size": file({"a": tensor("F32", [2**62 + 1, 2], [0, 8])}, 8),
    "shape_overflows_before_zero": file({"a": tensor("F32", [2**62, 2**62, 0], [0, 0])}, 0),
    "shape_negative": file({"a": tensor("F32", [-2], [0, 8])}, 8),
    "shape_negative_pair": file({"a": tensor("F32", [-1, -2], [0, 8])}, 8),
    "shape_float": file({"a": tensor("F32", [2.0], [0, 8])}, 8),
    "shape_string": file({"a": tensor("F32", ["2"], [0, 8])}, 8),
    "shape_rank_17": file({"a": tensor("F32", [1] * 16 + [2], [0, 8])}, 8),
    "shape_null": raw(b'{"a":{"dtype":"U8","shape":null,"data_offsets":[0,1]}}', b"x"),
    "dtype_unknown": file({"a": tensor("F33")}, 8),
    "dtype_lower_case": file({"a": tensor("f32")}, 8),
    "dtype_number": file({"a": tensor(32)}, 8),
    "fp4_half_byte": file({"a": tensor("F4", [3], [0, 2])}, 2),
    "field_missing": raw(b'{"a":{"dtype":"U8","shape":[1]}}', b"x"),
    "field_unknown": raw(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"scale":2}}', b"x"),
    "field_twice": raw(b'{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}', b"x"),
    "tensor_twice": raw(f'{{"a":{ONE},"a":{ONE}}}'.encode(), b"x"),
    "tensor_twice_escaped": raw(f'{{"a":{ONE},"\\u0061":{ONE}}}'.encode(), b"x"),
    "tensor_not_an_object": raw(b'{"a":[0,1]}'),
    "tensor_null": raw(b'{"a":null}'),
    "metadata_number": raw(b'{"__metadata__":{"n":1}}'),
    "metadata_nested": raw(b'{"__metadata__":{"n":{}}}'),
    "metadata_twice": raw(b'{"__metadata__":{},"__metadata__":{}}'),
    "metadata_list": raw(b'{"__metadata__":[]}'),
    "name_with_escape_codes": raw(b'{"\\u001b]0;x\\u0007":1}'),
}

SHARD_A = file({"a": tensor()}, 8)
SHARD_B = file({"b": tensor("U8", [1], [0, 1])}, 1)


def index(weight_map) -> bytes:
    return json.dumps({"metadata": {"total_size": 9}, "weight_map": weight_map}).encode()


TWO = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
SHARDS = {"model-1.safetensors": SHARD_A, "model-2.safetensors": SHARD_B}
INDEX = "model.safetensors.index.json"

CHECKPOINTS = {
    "good_sharded": {INDEX: index(TWO), **SHARDS},
    "both_layouts": {INDEX: index(TWO), "model.safetensors": SHARD_A},
    "no_weights": {"config.json": b"{}"},
    "index_not_json": {INDEX: b"weights", **SHARDS},
    "index_without_weight_map": {INDEX: b'{"metadata":{}}', **SHARDS},
    "index_empty": {INDEX: index({}), **SHARDS},
    "index_weight_map_list": {INDEX: index(["a"]), **SHARDS},
    "index_file_number": {INDEX: index({"a": 1}), **SHARDS},
    "index_tensor_twice": {INDEX: b'{"weight_map":{"a":"model-1.safetensors","a":"model-2.safetensors"}}', **SHARDS},
    "index_parent_path": {INDEX: index({"a": "../good_sharded/model-1.safetensors"})},
    "index_absolute_path": {INDEX: index({"a": "/dev/null"})},
    "index_sub_folder": {INDEX: index({"a": "sub/model.safetensors"}), "sub/model.safetensors": SHARD_A},
    "index_dot_dot": {INDEX: index({"a": ".."})},
    "index_nul_in_name": {INDEX: index({"a": "model-1.safetensors\0.txt"}), **SHARDS},
    "shard_missing": {INDEX: index(TWO), "model-1.safetensors": SHARD_A},
    "shard_truncated": {INDEX: index(TWO), "model-1.safetensors": SHARD_A[:-1], "model-2.safetensors": SHARD_B},
    "shard_lacks_tensor": {INDEX: index({**TWO, "c": "model-2.safetensors"}), **SHARDS},
    "shard_has_unindexed_tensor": {INDEX: index({"a": "model-1.safetensors"}), "model-1.safetensors":
                                   file({"a": tensor(), "b": tensor("U8", [1], [8, 9])}, 9)},
    "shards_share_tensor": {INDEX: index(TWO), "model-1.safetensors": SHARD_A, "model-2.safetensors":
                            file({"a": tensor("U8", [1], [0, 1]), "b": tensor("U8", [1], [1, 2])}, 2)},
}

JSON = {
    "object": b'{"a":[1,2.5,-3e2,true,false,null,"x\\u00e9\\ud83d\\ude00"],"b":{"c":{}}}',
    "deep_arrays": b"[" * 65 + b"]" * 65,
    "duplicate_key": b'{"a":1,"a":2}',
    "lone_surrogate": b'"\\ud800"',
    "bad_utf8": b'"\xc3\x28"',
    "nul_tail": b"{}\0x",
    "huge_number": b"[1e400,18446744073709551616,-9223372036854775809]",
    "byte_order_mark": b"\xef\xbb\xbf{}",
    "unterminated": b'{"a":"',
    "trailing_comma": b"[1,]",
}

CONFIG = {
    "nested": json.dumps({
        "architectures": ["XForCausalLM"], "eos_token_id": [1, 106], "vision_config": {"depth": 2},
        "text_config": {"hidden_size": 64, "rms_norm_eps": 1e-6, "hidden_act": "silu", "tie_word_embeddings": True,
                        "layer_types": ["full_attention", "sliding_attention"], "num_hidden_layers": 2,
                        "rope_parameters": {"full_attention": {"rope_theta": 1e6}}, "eos_token_id": 1}}).encode(),
    "flat": b'{"hidden_size":64,"num_hidden_layers":2,"eos_token_id":2,"bos_token_id":1,"pad_token_id":-1}',
    "generation": b'{"temperature":0.6,"top_k":20,"top_p":0.95,"min_p":0,"do_sample":true,"eos_token_id":[2,3],'
                  b'"repetition_penalty":1.05,"suppress_tokens":[5,6]}',
    "generation_rules": json.dumps({
        "begin_suppress_tokens": [3, -1], "bad_words_ids": [[5], [], [6, 7]], "sequence_bias": [[[5, 6], -1.5], [[7], 2]], "no_repeat_ngram_size": 2,
        "encoder_no_repeat_ngram_size": 1, "encoder_repetition_penalty": 1.5, "forced_bos_token_id": 4, "forced_eos_token_id": [2, 1],
        "min_length": 3, "min_new_tokens": 4, "exponential_decay_length_penalty": [1, 1.6], "stop_strings": ["#"], "typical_p": 0.9,
        "epsilon_cutoff": 0.1, "eta_cutoff": 0.2, "top_h": 0.4, "do_sample": True, "num_beams": 4, "temperature": 0.7, "eos_token_id": 1}).encode(),
    "generation_rules_wrong": b'{"bad_words_ids":[[1],2],"sequence_bias":[[[1]]],"exponential_decay_length_penalty":[1],"stop_strings":7}',
    "nulls": b'{"text_config":null,"hidden_size":null,"layer_types":null,"eos_token_id":null,"temperature":null}',
    "wrong_types": b'{"text_config":[],"hidden_size":"64","layer_types":{"0":"x"},"eos_token_id":[[1]],"temperature":"hot"}',
    "extreme_numbers": b'{"hidden_size":9223372036854775807,"num_hidden_layers":-1,"rms_norm_eps":1e308,"eos_token_id":4294967296}',
    "not_an_object": b"[]",
}


def state(length=0, max_tokens=300, dtype=2, n_data=1024) -> bytes:
    """A saved state behind magic and fingerprint, for the models of tests/fuzz/fuzz_sequence_file.cc: a ring of 1024 bytes, pages of 16384 (bf16); or, in
    the model of compressed rows, 2496 bytes of rings and open windows, from 4 tokens on two pages of 8192, from 128 on another of 1024."""
    return struct.pack("<IIqq", dtype, 0, max_tokens, length) + bytes(n_data)


SEQUENCE_FILE = {
    "empty_sequence": state(), "f32": state(dtype=0, n_data=2048), "two_pages": state(length=257, n_data=1024 + 2 * 16384), "short_ring": state(max_tokens=3, n_data=1024),
    "header_cut": state()[:20], "data_cut": state(n_data=1023), "data_extra": state(n_data=1025), "nothing": b"", "dtype_unknown": state(dtype=99),
    "dtype_f16": state(dtype=1), "length_negative": state(length=-1), "length_beyond_max": state(length=301), "length_beyond_context": state(length=400, max_tokens=500),
    "max_tokens_zero": state(max_tokens=0), "max_tokens_huge": state(max_tokens=2**62), "max_tokens_max": state(max_tokens=2**63 - 1), "lengths_huge": state(length=2**63 - 1, max_tokens=2**63 - 1),
    "compressed_empty": state(n_data=2496), "compressed_open": state(length=3, n_data=2496), "compressed_entries": state(length=5, n_data=2496 + 2 * 8192),
    "compressed_both": state(length=130, n_data=2496 + 2 * 8192 + 1024), "compressed_f32": state(length=5, dtype=0, n_data=3 * 1024 + 960 + 4 * 8192),
    "compressed_page_missing": state(length=4, n_data=2496 + 8192), "compressed_max_tokens_max": state(max_tokens=2**63 - 1, n_data=2496),
}


def write(path: pathlib.Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def main() -> None:
    for name, content in SAFETENSORS.items():
        write(CORPUS / "safetensors" / f"{name}.safetensors", content)
    for folder, files in CHECKPOINTS.items():
        for name, content in files.items():
            write(CORPUS / "checkpoints" / folder / name, content)
    for folder, files in CHECKPOINTS.items():
        if INDEX in files:
            write(CORPUS / "safetensors_index" / f"{folder}.json", files[INDEX])
    for kind, files in (("json", JSON), ("config", CONFIG)):
        for name, content in files.items():
            write(CORPUS / kind / f"{name}.json", content)
    for name, content in SEQUENCE_FILE.items():
        write(CORPUS / "sequence_file" / f"{name}.bin", content)


if __name__ == "__main__":
    main()
