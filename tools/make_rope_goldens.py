#!/usr/bin/env python3
"""Makes tests/golden/rope_by_length: tiny checkpoints whose angles differ with the length of the whole text.

    python tools/make_rope_goldens.py

The rope_types `dynamic` and `longrope` turn by angles that the reference chooses anew in every pass, from the largest position
in it; keys of earlier passes stay as they were turned. So a prompt in one pass and the same text token by token differ, and a
golden has both. A variant's folder holds config.json, model.safetensors, ORIGIN.txt and answers.safetensors with, for each text N:

  prompt.N   [T] i32     token ids
  whole.N    [T, V] f32  logits of one pass
  decoded.N  [T, V] f32  logits where the first `split.N` tokens come in one pass, the others one by one
  split.N    [1] i32

Needs tools/requirements.txt; the product and its tests never need this script.
"""

import dataclasses
import datetime
import shutil
import tempfile
from pathlib import Path

import safetensors
import torch
import transformers
from safetensors.torch import save_file

from goldens import checkpoint, reference
from goldens.families import gemma, laguna, zaya
from goldens.variants import Variant

ROOT = Path(__file__).resolve().parent.parent
SEED = 1
LENGTHS = (10, 13, 21)  # around limits of 10 and 12

ORIGIN = """tests/golden/rope_by_length/{name}: {about}.

Made by tools/make_rope_goldens.py with transformers {transformers}, torch {torch}, safetensors {safetensors}, on {date}.
Weights: random, from SHA-256 of the variant's name, seed {seed} and each tensor's name, in float32. Eager attention.
The reference was amended (forget_angles in that script): it keeps angles of the longest text so far for later texts, and its longrope
fails in the second pass beyond the limit; here each pass chooses its angles as the first pass of a fresh model does.
"""


def dynamic(**more) -> dict:
    return {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 3.0} | more


def longrope(pairs: int, **more) -> dict:
    return {"rope_type": "longrope", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 10,
            "short_factor": [1.0 + 0.1 * i for i in range(pairs)], "long_factor": [2.0 + 0.7 * i for i in range(pairs)]} | more


def plain(**more) -> dict:
    return {"rope_type": "default", "rope_theta": 50.0} | more


def variants() -> list[Variant]:
    """Every family whose angles may follow the length."""
    z = gemma.Size(hidden=16, mlp=16, heads=2, vocab=64)
    small = dataclasses.replace(laguna.TINY, hidden=16, mlp=16, experts=3, vocab=64)
    half = {"partial_rotary_factor": 0.5}
    ropes = lambda full, sliding: {"rope_parameters": {gemma.FULL: full, gemma.SLIDING: sliding}}  # noqa: E731
    return [
        gemma.gemma3("gemma3_dynamic", "Gemma 3, dynamic on full layers", z, lambda: gemma.causal(
            gemma.gemma3_text(z, "sf", max_position_embeddings=12, **ropes(dynamic(), plain())))),
        gemma.gemma3("gemma3_longrope", "Gemma 3, longrope on both kinds of layers, one with the attention_factor that follows", z, lambda:
                     gemma.causal(gemma.gemma3_text(z, "sf", **ropes(longrope(4), longrope(4, attention_factor=1.1))))),
        gemma.gemma4("gemma4_dynamic", "Gemma 4, dynamic on both kinds of layers, whose heads differ", z, lambda: gemma.causal(
            gemma.gemma4_text(z, "sf", max_position_embeddings=12, **ropes(dynamic(factor=2.0), dynamic())))),
        laguna.laguna("laguna", "Laguna, longrope on half of the full layer's heads, dynamic on the sliding one's", small, laguna.config(
            small, "fs", [2, 4], max_position_embeddings=12, **ropes(longrope(2, **half), dynamic(partial_rotary_factor=1.0)))),
        zaya.zaya("zaya", "ZAYA1, dynamic on half of the heads", zaya.Size(experts=2), zaya.config(
            zaya.Size(experts=2), "hs", max_position_embeddings=12,
            rope_parameters={zaya.HYBRID: dynamic(**half), zaya.SLIDING: plain(**half)}), dtype=torch.float32, f32_leaves=()),
    ]


def forget_angles(model: transformers.PreTrainedModel) -> None:
    """Before each pass every kind of layer is as in a fresh model; what was longer is forgotten."""
    rotary = reference.text_model(model).rotary_emb

    def forget(_module, _inputs):
        for kind in rotary.layer_types:
            if hasattr(rotary, f"{kind}_long_inv_freq"):
                delattr(rotary, f"{kind}_long_inv_freq")
            setattr(rotary, f"{kind}_max_seq_len_cached", rotary.original_max_seq_len)
            setattr(rotary, f"{kind}_inv_freq", getattr(rotary, f"{kind}_original_inv_freq"))

    rotary.register_forward_pre_hook(forget)


def make(variant: Variant, folder: Path) -> None:
    variant = dataclasses.replace(variant, lengths=LENGTHS)
    with tempfile.TemporaryDirectory() as temporary:
        built = Path(temporary) / variant.name
        checkpoint.write(variant, SEED, built)
        model = reference.load(built, forget_angles)
        answers = {}
        for i, prompt in enumerate(variant.prompts(SEED)):
            split = max(1, len(prompt) - 4)
            answers[f"prompt.{i}"] = torch.tensor(prompt, dtype=torch.int32)
            answers[f"split.{i}"] = torch.tensor([split], dtype=torch.int32)
            answers[f"whole.{i}"] = reference.logits(model, prompt)
            answers[f"decoded.{i}"] = reference.logits_in_steps(model, prompt, [split] + [1] * (len(prompt) - split))
        apart = max(float((answers[f"whole.{i}"] - answers[f"decoded.{i}"]).abs().max()) for i in range(len(LENGTHS)))
        if not 1e-2 < apart < 100:
            raise RuntimeError(f"{variant.name}: one pass and several are {apart} apart, which tells nothing")
        print(f"{variant.name:16} one pass and several are up to {apart:.2f} apart")
        save_file(answers, built / "answers.safetensors", metadata={"format": "pt"})
        (built / "ORIGIN.txt").write_text(ORIGIN.format(
            name=variant.name, about=variant.about, transformers=transformers.__version__, torch=torch.__version__,
            safetensors=safetensors.__version__, date=datetime.date.today().isoformat(), seed=SEED))
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(built, folder)
        for file in folder.iterdir():
            file.chmod(0o644)


def main() -> None:
    reference.quiet()
    for variant in variants():
        make(variant, ROOT / "tests" / "golden" / "rope_by_length" / variant.name)


if __name__ == "__main__":
    main()
