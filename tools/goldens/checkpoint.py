"""Writes a variant's model folder."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from . import weights
from .variants import Tensors, Variant


def write(variant: Variant, seed: int, folder: Path) -> None:
    """Builds, fills and saves `variant` to `folder`, which is created, as the reference reads it."""
    model = variant.build()
    weights.fill(model, f"{variant.weights_of or variant.name} {seed}", variant.rule)
    exact = {n: t.clone() for n, t in model.state_dict().items() if n.rsplit(".", 1)[-1] in variant.f32_leaves}
    model.to(variant.dtype)
    for name, value in exact.items():
        owner, _, leaf = name.rpartition(".")
        getattr(model.get_submodule(owner), leaf).data = value
    options = variant.save_options | ({"max_shard_size": variant.max_shard_size} if variant.max_shard_size else {})
    model.save_pretrained(folder, **options)
    # Not part of the layout: sampling defaults of the class, the same for every variant.
    (folder / "generation_config.json").unlink(missing_ok=True)
    if variant.extra_tensors:
        _add_tensors(folder / "model.safetensors", variant.extra_tensors(model, seed), variant.dtype)
    if variant.edit_tensors:
        _write_tensors(folder, variant.edit_tensors(load_file(folder / "model.safetensors")))
    if variant.edit_config:
        _write_config(folder, variant.edit_config(_read_config(folder)))


def respell(variant: Variant, folder: Path) -> None:
    """Rewrites `folder` in the variant's spelling, after which the reference may be unable to read it."""
    if variant.respell is None:
        return
    config, tensors = variant.respell(_read_config(folder), load_file(folder / "model.safetensors"))
    _write_config(folder, config)
    _write_tensors(folder, tensors)


def _read_config(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


def _write_config(folder: Path, config: dict) -> None:
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _write_tensors(folder: Path, tensors: Tensors) -> None:
    contiguous = {name: t.clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    save_file(contiguous, folder / "model.safetensors", metadata={"format": "pt"})


def _add_tensors(path: Path, extra: Tensors, dtype: torch.dtype) -> None:
    tensors = load_file(path)
    clash = sorted(set(tensors) & set(extra))
    if clash:
        raise ValueError(f"{path}: extra tensors would replace {clash}")
    tensors |= {name: t.to(dtype).contiguous() for name, t in extra.items()}
    save_file(tensors, path, metadata={"format": "pt"})


def size_bytes(folder: Path) -> int:
    """Bytes of the weights alone."""
    return sum(p.stat().st_size for p in folder.glob("model*.safetensors"))
