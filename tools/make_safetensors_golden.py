#!/usr/bin/env python3
"""Writes tests/golden/safetensors/all_dtypes.safetensors with the official Python library (needs torch and safetensors).

Every tensor's bytes count up: byte i of tensor number t, in order of names, is (i + 16 t) mod 256; booleans are i mod 2.
"""
import pathlib

import torch
from safetensors.torch import save_file

TARGET = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "safetensors" / "all_dtypes.safetensors"
DTYPES = {"BF16": torch.bfloat16, "BOOL": torch.bool, "F16": torch.float16, "F32": torch.float32, "F64": torch.float64,
          "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "F8_E8M0": torch.float8_e8m0fnu, "I16": torch.int16,
          "I32": torch.int32, "I64": torch.int64, "I8": torch.int8, "U16": torch.uint16, "U32": torch.uint32,
          "U64": torch.uint64, "U8": torch.uint8}

tensors = {}
for number, (name, dtype) in enumerate(sorted(DTYPES.items())):
    n_bytes = 6 * torch.empty(0, dtype=dtype).element_size()
    counting = torch.arange(n_bytes) % 2 if dtype is torch.bool else (torch.arange(n_bytes) + 16 * number) % 256
    tensors[name] = counting.to(torch.uint8).view(dtype).reshape(2, 3)
save_file(tensors, TARGET, metadata={"format": "pt"})
