"""Random weights that depend on nothing but the tensor's name and a seed.

transformers' own initialisation (std 0.02, unit norms, unit scalars) leaves whole branches of a model with no visible
influence on the logits, so a port that skips them would pass. Here every part has an effect of order one.
"""

import hashlib
import math
from typing import Callable

import numpy as np
import torch

# A family's rule: (name, shape, generator) -> values, or None to fall through to the general rule.
Rule = Callable[[str, tuple[int, ...], np.random.Generator], "np.ndarray | None"]


def generator(name: str, seed: int | str) -> np.random.Generator:
    """A counter-based generator keyed by SHA-256 of the seed and the name."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def general_rule(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Vectors around 1; matrices and stacks of matrices ([..., out, in]) with std 1/sqrt(fan in)."""
    if len(shape) == 1:
        return rng.uniform(0.5, 1.5, shape)
    return rng.standard_normal(shape) / math.sqrt(shape[-1])


def make_tensor(name: str, shape: tuple[int, ...], seed: int | str, rule: Rule) -> torch.Tensor:
    """One tensor, f32."""
    values = rule(name, shape, generator(name, seed))
    if values is None:
        values = general_rule(name, shape, generator(name, seed))
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


@torch.no_grad()
def fill(model: torch.nn.Module, seed: int | str, rule: Rule) -> None:
    """Overwrites every parameter and saved buffer of `model`, except 0-d ones (clipping bounds of towers) and integers without a rule."""
    tied = set(getattr(model, "all_tied_weights_keys", {}) or {})
    for name, tensor in model.state_dict().items():
        if name in tied or tensor.ndim == 0:
            continue
        if not tensor.is_floating_point():
            values = rule(name, tuple(tensor.shape), generator(name, seed))
            if values is not None:
                tensor.copy_(torch.from_numpy(values))
            continue
        tensor.copy_(make_tensor(name, tuple(tensor.shape), seed, rule))
