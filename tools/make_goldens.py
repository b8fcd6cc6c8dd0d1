#!/usr/bin/env python3
"""Makes the golden data under tests/golden: tiny random checkpoints and the reference's logits for them.

    python tools/make_goldens.py                       every variant of every family
    python tools/make_goldens.py --family gemma --variant e2b --variant 26b
    python tools/make_goldens.py --check               only checks what is there

A variant's folder holds config.json, model*.safetensors, golden.safetensors and ORIGIN.txt; tests/golden/README.md
describes the tensors. Needs tools/requirements.txt; the product and its tests never need this script.
"""

import argparse
import sys
from pathlib import Path

from goldens import families, reference, store

ROOT = Path(__file__).resolve().parent.parent


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", action="append", help="only this family (repeatable)")
    parser.add_argument("--variant", action="append", help="only this variant (repeatable)")
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "golden", help="where the families' folders are")
    parser.add_argument("--check", action="store_true", help="check the stored goldens against the reference, make nothing")
    return parser.parse_args()


def main() -> int:
    args = parse()
    reference.quiet()
    problems = []
    for family, module in families.all_families().items():
        if args.family and family not in args.family:
            continue
        for variant in module.golden_variants():
            if args.variant and variant.name not in args.variant:
                continue
            folder = args.out / family / variant.name
            if not args.check:
                store.make(variant, folder, f"tests/golden/{family}/{variant.name}")
            report = store.check(variant, folder)
            print(report.line(), flush=True)
            problems += [f"{family}/{variant.name}: {p}" for p in report.problems]
    for problem in problems:
        print(f"problem: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
