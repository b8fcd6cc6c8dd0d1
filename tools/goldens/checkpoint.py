"""Writes a variant's model folder."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from . import weights
from .variants import Variant


def write(variant: Variant, seed: int, folder: Path) -> None:
    """Builds, fills and saves `variant` to `folder`, which is created."""
    model = variant.build()
    weights.fill(model, f"{variant.name} {seed}", variant.rule)
    model.to(variant.dtype)
    options = {"max_shard_size": variant.max_shard_size} if variant.max_shard_size else {}
    model.save_pretrained(folder, **options)
    # Not part of the layout: sampling defaults of the class, the same for every variant.
    (folder / "generation_config.json").unlink(missing_ok=True)
    if variant.extra_tensors:
        _add_tensors(folder / "model.safetensors", variant.extra_tensors(model, seed), variant.dtype)
    if variant.edit_config:
        path = folder / "config.json"
        config = variant.edit_config(json.loads(path.read_text()))
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _add_tensors(path: Path, extra: dict[str, torch.Tensor], dtype: torch.dtype) -> None:
    tensors = load_file(path)
    clash = sorted(set(tensors) & set(extra))
    if clash:
        raise ValueError(f"{path}: extra tensors would replace {clash}")
    tensors |= {name: t.to(dtype).contiguous() for name, t in extra.items()}
    save_file(tensors, path, metadata={"format": "pt"})


def size_bytes(folder: Path) -> int:
    """Bytes of the weights alone."""
    return sum(p.stat().st_size for p in folder.glob("model*.safetensors"))
