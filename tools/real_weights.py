#!/usr/bin/env python3
"""What fewer bits cost a trained model: Gemma 3 270M, from the GGUF file that a Python package carries.

    python tools/real_weights.py build/longhaul --model gemma.gguf
    python tools/real_weights.py build/longhaul --model FOLDER --tokens 512 "--weights q8" "--kv q8"

Two texts of this repository, a scripture and the documentation, are read in each way of keeping weights and state. Printed
are the mean and the largest Kullback-Leibler divergence of the next token from f32 throughout, how often the likeliest token
is the same, and by how much the perplexity differs. `./dev real` fetches the package (Gemma terms: neither it nor what is
made of it belongs into the repository) and runs this. Needs numpy.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
WAYS = [
    "--weights bf16 --kv f32",
    "--weights released --kv f32",
    "--weights released --kv f32 --inputs 12",
    "--weights q8 --kv f32",
    "--weights q8 --kv f32 --inputs 12",
    "--weights q4 --kv f32",
    "--weights f32 --kv bf16",
    "--weights f32 --kv q8",
]


def texts() -> dict[str, str]:
    documents = sorted((ROOT / "docs").glob("*.md"))
    return {
        "scripture": (ROOT / "models/demo/heldout.txt").read_text(encoding="utf-8"),
        "documents": "\n".join(d.read_text(encoding="utf-8") for d in documents),
    }


def run(command: list[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr.decode()}")
    return done.stdout


class Model:
    def __init__(self, program: str, model: str, work: Path):
        self.program, self.model, self.work = program, model, work

    def tokens(self, text: str, n: int) -> list[int]:
        """The first n ids of a text, as the program itself reads it."""
        path = self.work / "text"
        path.write_text(text[: 12 * n], encoding="utf-8")
        report = run([self.program, "score", self.model, "-f", str(path), "--window", "64", "--json"])
        return json.loads(report)["token_ids"][:n]

    def log_probabilities(self, ids: list[int], way: str) -> np.ndarray:
        """[tokens, vocabulary]"""
        tokens, out = self.work / "ids.json", self.work / "logits.safetensors"
        tokens.write_text(json.dumps(ids))
        run([self.program, "logits", self.model, "--tokens-file", str(tokens), "--output", str(out),
             "--context", str(max(len(ids), 16)), *way.split()])
        logits = read_logits(out).astype(np.float64)
        logits -= logits.max(-1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def read_logits(path: Path) -> np.ndarray:
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    info = json.loads(data[8 : 8 + size])["logits"]
    begin, end = info["data_offsets"]
    return np.frombuffer(data[8 + size + begin : 8 + size + end], np.float32).reshape(info["shape"])


def nll(log_p: np.ndarray, ids: list[int]) -> float:
    return float(-log_p[np.arange(len(ids) - 1), ids[1:]].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("ways", nargs="*", default=WAYS, help="options of the program, each set in quotes")
    parser.add_argument("--model", required=True, help="a model folder or a GGUF file")
    parser.add_argument("--tokens", type=int, default=256, help="of each text (default %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Model(args.program, args.model, Path(folder))
        print(f"{'text':10} {'options':42} {'KL':>9} {'largest':>8} {'same top':>8} {'perplexity':>10}")
        for name, text in texts().items():
            ids = model.tokens(text, args.tokens)
            exact = model.log_probabilities(ids, "--weights f32 --kv f32")
            p = np.exp(exact)
            for way in args.ways:
                own = model.log_probabilities(ids, way)
                kl = (p * (exact - own)).sum(-1)
                same = (exact.argmax(-1) == own.argmax(-1)).mean()
                change = np.expm1(nll(own, ids) - nll(exact, ids))
                print(f"{name:10} {way:42} {kl.mean():9.6f} {kl.max():8.4f} {same:8.3f} {change:+10.2%}", flush=True)


if __name__ == "__main__":
    main()
