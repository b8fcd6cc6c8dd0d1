#!/usr/bin/env python3
"""The reference behind the command line of `longhaul logits`, to compare by hand and to test tools/parity.py itself.

    python tools/reference_logits.py logits MODEL --tokens-file F --output O.safetensors [--chunk N] [--decode-from K]

--weights and --kv are accepted and must be f32.
"""

import argparse
import json
import sys
from pathlib import Path

from safetensors.torch import save_file

from goldens import reference


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["logits"])
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("--tokens-file", type=Path, required=True, help="JSON array of token ids")
    parser.add_argument("--output", type=Path, required=True, help="safetensors file to write; tensor `logits` [T, vocab]")
    parser.add_argument("--chunk", type=int, help="tokens of a prefill step; all at once without it")
    parser.add_argument("--decode-from", type=int, help="from this position on, one token a step")
    parser.add_argument("--weights", choices=["f32"], default="f32")
    parser.add_argument("--kv", choices=["f32"], default="f32")
    return parser.parse_args()


def step_sizes(n_tokens: int, chunk: int | None, decode_from: int | None) -> list[int]:
    """How many tokens each step takes."""
    n_prefill = n_tokens if decode_from is None else min(decode_from, n_tokens)
    chunk = chunk or max(n_prefill, 1)
    sizes = [min(chunk, n_prefill - start) for start in range(0, n_prefill, chunk)]
    return sizes + [1] * (n_tokens - n_prefill)


def main() -> int:
    args = parse()
    reference.quiet()
    tokens = json.loads(args.tokens_file.read_text())
    model = reference.load(args.model)
    sizes = step_sizes(len(tokens), args.chunk, args.decode_from)
    save_file({"logits": reference.logits_in_steps(model, tokens, sizes)}, args.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
