#!/usr/bin/env python3
"""Compares `longhaul logits` with Hugging Face transformers in f32 on fresh random checkpoints.

    python tools/parity.py build/longhaul                          every family, every variant, one seed
    python tools/parity.py build/longhaul --seeds 5 --first-seed 100
    python tools/parity.py build/longhaul --family gemma --variant 26b --keep

For each variant a checkpoint is made in a temporary folder and asked in one pass, in chunks of awkward sizes, and token by
token from some position on. Every logit must be within --tolerance of the reference. The text is a prompt longer than three
windows plus the reference's greedy continuation of 64 tokens, and the engine's argmax must be the reference's choice at each
of the 64 positions: with the choices fed back this is the same as an identical greedy text. Variants come from
tools/goldens/families; a new family is a new module there. Exit status 1 if anything differs or fails.
"""

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

from goldens import checkpoint, families, reference, store
from goldens.variants import Variant

MIN_MARGIN = 2e-3
MIN_CHOICE_GAP = 2e-5
MAX_ATTEMPTS = 40


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("longhaul", nargs="+", help="the program, and words to put before its arguments if any")
    parser.add_argument("--seeds", type=int, default=1, help="fresh seeds per variant (default %(default)s)")
    parser.add_argument("--first-seed", type=int, default=1, help="the first of them (default %(default)s)")
    parser.add_argument("--family", action="append", help="only this family (repeatable)")
    parser.add_argument("--variant", action="append", help="only this variant (repeatable)")
    parser.add_argument("--tolerance", type=float, default=2e-4, help="largest allowed difference (default %(default)s)")
    parser.add_argument("--timeout", type=float, default=300, help="seconds one call may take (default %(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a variant that failed")
    return parser.parse_args()


@dataclasses.dataclass(frozen=True)
class Case:
    """A checkpoint with its question and the reference's answer."""

    folder: Path
    seed: int
    n_prompt: int
    tokens: list[int]
    choices: list[int]
    logits: torch.Tensor
    noise: float


def make_case(variant: Variant, seed: int, folder: Path) -> Case:
    """Writes the checkpoint; takes the first of several sub-seeds where no greedy choice and no choice of experts or entries is a near tie."""
    for attempt in range(MAX_ATTEMPTS):
        sub_seed = seed * 1000 + attempt
        shutil.rmtree(folder, ignore_errors=True)
        checkpoint.write(variant, sub_seed, folder)
        model = reference.load(folder, variant.amend)
        prompt = variant.prompts(sub_seed)[-1]
        (continuation,) = reference.greedy(model, [prompt])
        with store.ChoiceGap(model, variant.scores) as gap:
            forced = reference.teacher_forced(model, prompt, continuation)
        if forced.margin < MIN_MARGIN or gap.smallest < MIN_CHOICE_GAP or forced.choices != continuation:
            continue
        checkpoint.respell(variant, folder)
        tokens = prompt + continuation[:-1]
        (folder / "tokens.json").write_text(json.dumps(tokens))
        return Case(folder, sub_seed, len(prompt), tokens, continuation, forced.logits, rounding_noise(model, tokens, forced.logits))
    raise RuntimeError(f"{variant.name}: no clear case in {MAX_ATTEMPTS} attempts from seed {seed}")


@torch.no_grad()
def rounding_noise(model, tokens: list[int], want: torch.Tensor) -> float:
    """How far the reference's logits move when the embeddings change in their last bit: what no engine can beat."""
    weight = reference.text_model(model).embed_tokens.weight
    saved = weight.clone()
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    weight.mul_(1 + 6e-8 * noise)
    moved = float((reference.logits(model, tokens) - want).abs().max())
    weight.copy_(saved)
    return moved


def ways(variant: Variant, n_prompt: int) -> dict[str, list[str]]:
    """Column of the table -> extra arguments: sizes that divide nothing and straddle the window."""
    w = variant.window
    return {
        "whole": [],
        "chunk": ["--chunk", str(max(w - 1, 3))],
        "chunk+1": ["--chunk", str(w + 1), "--decode-from", str(n_prompt)],
        "decode": ["--decode-from", str(max(w // 2, 1))],
    }


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One way of asking: the largest difference and its position, or an error."""

    difference: float = float("inf")
    position: int = -1
    n_right_choices: int = 0
    error: str = ""


def ask(args: argparse.Namespace, case: Case, extra: list[str]) -> Outcome:
    """Runs the program once and compares."""
    output = case.folder / "out.safetensors"
    output.unlink(missing_ok=True)
    command = args.longhaul + ["logits", str(case.folder), "--tokens-file", str(case.folder / "tokens.json"),
                               "--output", str(output), "--weights", "f32", "--kv", "f32", *extra]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=args.timeout)
    except subprocess.TimeoutExpired:
        return Outcome(error=f"no answer in {args.timeout:g} s")
    except OSError as error:
        return Outcome(error=str(error))
    if done.returncode != 0:
        return Outcome(error=f"exit status {done.returncode}: {done.stderr.strip()[-500:]}")
    try:
        got = load_file(output)["logits"]
    except Exception as error:  # a broken file is a finding, whatever the reader raises
        return Outcome(error=f"output: {error}")
    if got.shape != case.logits.shape or got.dtype != torch.float32:
        return Outcome(error=f"logits are {got.dtype} {list(got.shape)}, wanted float32 {list(case.logits.shape)}")
    if not torch.isfinite(got).all():
        return Outcome(error="logits are not all finite")
    by_position = (got - case.logits).abs().amax(-1)
    choices = got[case.n_prompt - 1 :].argmax(-1).tolist()
    right = sum(a == b for a, b in zip(choices, case.choices))
    return Outcome(float(by_position.max()), int(by_position.argmax()), right)


def compare(args: argparse.Namespace, label: str, variant: Variant, case: Case) -> bool:
    """All ways of one case; prints a row of the table, and the errors below it."""
    outcomes = {name: ask(args, case, extra) for name, extra in ways(variant, case.n_prompt).items()}
    good = all(not o.error and o.difference <= args.tolerance and o.n_right_choices == len(case.choices) for o in outcomes.values())
    cells = ["error".ljust(14) if o.error else f"{o.difference:.1e} @{o.position}".ljust(14) for o in outcomes.values()]
    greedy = "-" if any(o.error for o in outcomes.values()) else f"{min(o.n_right_choices for o in outcomes.values())}/{len(case.choices)}"
    verdict = "ok" if good else "FAIL"
    print(f"{label:24} {case.seed:7} {len(case.tokens):4}  {case.noise:.0e}  {' '.join(cells)} {greedy:6} {verdict}", flush=True)
    for name, outcome in outcomes.items():
        if outcome.error:
            print(f"    {name}: {outcome.error}", flush=True)
    return good


def main() -> int:
    args = parse()
    reference.quiet()
    print(f"{'variant':24} {'seed':>7} {'T':>4}  noise  {'whole':14} {'chunk':14} {'chunk, decode':14} {'decode':14} greedy", flush=True)
    n_cases = n_failed = 0
    for family, module in families.all_families().items():
        if args.family and family not in args.family:
            continue
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            for variant in module.parity_variants(seed):
                if args.variant and variant.name not in args.variant:
                    continue
                folder = Path(tempfile.mkdtemp(prefix=f"parity-{variant.name}-"))
                good = compare(args, f"{family}/{variant.name}", variant, make_case(variant, seed, folder / "model"))
                n_cases, n_failed = n_cases + 1, n_failed + (not good)
                if args.keep and not good:
                    print(f"    kept {folder}")
                else:
                    shutil.rmtree(folder)
    print(f"{n_cases} cases, {n_failed} failed, tolerance {args.tolerance:g}")
    return 1 if n_failed or not n_cases else 0


if __name__ == "__main__":
    sys.exit(main())
