#!/usr/bin/env python3
"""Runs `longhaul bench` and a peer's llama-bench in turn on the same weights and prints the ratios of their speeds.

    python3 tools/peers/compare.py --longhaul build/longhaul --checkpoint e2b-q4 --peer ik_llama.cpp/build/bin/llama-bench \\
        --peer-model e2b-q4_0.gguf --peer-flags "-rtr 1 -fa 1" --prompt 512,2048 --depth 0,4096,16384 --gen 64 --out results.json

A case is a prompt length (prefill from an empty context) or a depth (decoding with so many tokens of context behind). For each case, pairs of runs
are made, the peer first in every other one, each run a fresh process. Before, between and after the two runs the read bandwidth of the machine is
measured with the same instrument, `longhaul bench` of a tiny model: on shared machines it changes by the minute. A pair whose three bandwidths are more
than --tolerance percent apart does not count and another is tried. The ratio of a case is the median over its pairs of Longhaul's speed by the
peer's; the spread is the least and the greatest.

The JSON of --out is written anew after every pair: what was run with which versions and commands, every pair with speeds, bandwidths and peak resident
bytes, and the summaries. Exit status 0: every case has its pairs; 3: some have fewer; 2: something is missing or failed.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

DEMO = Path(__file__).resolve().parents[2] / "models" / "demo"


class Failed(Exception):
    pass


@dataclass(frozen=True)
class Case:
    kind: str  # prefill or decode
    size: int  # tokens of the prompt, or of the context behind

    def __str__(self) -> str:
        return f"{self.kind} {'of' if self.kind == 'prefill' else 'at'} {self.size}"


@dataclass
class Run:
    tokens_per_second: float
    peak_rss_bytes: int
    wall_seconds: float
    detail: dict = field(default_factory=dict)


@dataclass
class Pair:
    peer: Run
    longhaul: Run
    peer_first: bool
    read_bytes_per_second: list[float]  # before, between, after
    load_average: float
    kept: bool

    @property
    def ratio(self) -> float:
        return self.longhaul.tokens_per_second / self.peer.tokens_per_second


# Programs


def run_process(command: list[str]) -> tuple[str, int, float]:
    """Standard output, peak resident bytes and seconds of a program that must succeed."""
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            raise Failed(f"status {process.returncode} from: {shlex.join(command)}\n{err.read()[-2000:].strip()}")
        unit = 1 if sys.platform == "darwin" else 1024
        return out.read(), usage.ru_maxrss * unit, seconds


def parse_json(text: str, command: list[str]):
    starts = [i for i in (text.find("{"), text.find("[")) if i >= 0]  # some builds print a line before it
    try:
        return json.loads(text[min(starts) :])
    except (ValueError, IndexError) as error:
        raise Failed(f"no JSON from: {shlex.join(command)}\n{text[-500:]}") from error


class Longhaul:
    def __init__(self, args: argparse.Namespace):
        self._base = [str(args.longhaul), "bench"]
        self._threads = ["--threads", str(args.threads), "--json"]
        self._load = [str(args.checkpoint), "--weights", args.weights, *shlex.split(args.longhaul_flags)]
        self._generate, self._repeats, self._probe_model = args.gen, args.repeats, str(args.probe_model)
        self.version = run_process([str(args.longhaul), "--version"])[0].strip()

    def command(self, case: Case) -> list[str]:
        if case.kind == "prefill":  # the demand for a depth costs one token
            what = ["--prompt", str(case.size), "--repeats", str(self._repeats), "--depth", "0", "--gen", "1"]
        else:
            what = ["--prompt", "1", "--repeats", "1", "--depth", str(case.size), "--gen", str(self._generate)]
        return [*self._base, *self._load, *what, *self._threads]

    def run(self, case: Case) -> Run:
        command = self.command(case)
        text, rss, seconds = run_process(command)
        result = parse_json(text, command)
        row = result["prefill"][0] if case.kind == "prefill" else result["decode"][0]
        kept = {k: result[k] for k in ("kernels", "weights", "kv", "planned_total_bytes") if k in result}
        return Run(row["tokens_per_second"], rss, seconds, kept | row)

    def read_bandwidth(self) -> float:
        """Bytes per second, the best of the readings of one run; other programs only ever lower a reading."""
        command = [*self._base, self._probe_model, "--prompt", "1", "--repeats", "1", "--depth", "0", "--gen", "1", *self._threads]
        r = parse_json(run_process(command)[0], command)
        return max(r["roofline_before"]["read_bytes_per_second"], r["roofline_after"]["read_bytes_per_second"])


class Peer:
    def __init__(self, args: argparse.Namespace):
        self._base = [str(args.peer), "-m", str(args.peer_model), "-t", str(args.threads), "-o", "json", *shlex.split(args.peer_flags)]
        self._generate, self._repeats = args.gen, args.repeats
        help_text = subprocess.run([str(args.peer), "--help"], capture_output=True, text=True, check=False)
        self._has_gp = "-gp " in help_text.stdout + help_text.stderr  # ik_llama.cpp; llama.cpp has -d instead
        self.name, self.version = args.peer_name, "unknown"

    def command(self, case: Case) -> list[str]:
        if case.kind == "prefill":
            return [*self._base, "-r", str(self._repeats), "-p", str(case.size), "-n", "0"]
        if case.size == 0:
            return [*self._base, "-r", "1", "-p", "0", "-n", str(self._generate)]
        if self._has_gp:
            return [*self._base, "-r", "1", "-p", "0", "-n", "0", "-gp", f"{case.size},{self._generate}"]
        return [*self._base, "-r", "1", "-p", "0", "-n", str(self._generate), "-d", str(case.size)]

    def run(self, case: Case) -> Run:
        command = self.command(case)
        text, rss, seconds = run_process(command)
        results = parse_json(text, command)
        if not results:
            raise Failed(f"no result from: {shlex.join(command)}")
        row = results[-1]
        self.version = f"{self.name} build {row.get('build_commit', '?')} ({row.get('build_number', '?')})".strip()
        detail = {k: row[k] for k in ("samples_ts", "model_type", "model_size", "type_k", "type_v") if k in row}
        return Run(statistics.median(row["samples_ts"]), rss, seconds, detail)


# Pairs


def measure_pair(case: Case, peer: Peer, longhaul: Longhaul, peer_first: bool, tolerance: float) -> Pair:
    bandwidths, runs = [longhaul.read_bandwidth()], {}
    for side in (peer, longhaul) if peer_first else (longhaul, peer):
        runs[side] = side.run(case)
        bandwidths.append(longhaul.read_bandwidth())
    kept = min(bandwidths) >= (1 - tolerance / 100) * max(bandwidths)
    return Pair(runs[peer], runs[longhaul], peer_first, bandwidths, os.getloadavg()[0], kept)


def summary(case: Case, pairs: list[Pair]) -> dict:
    kept = [p for p in pairs if p.kept]
    out = {"case": str(case), "pairs_kept": len(kept), "pairs_dropped": len(pairs) - len(kept)}
    if kept:
        ratios = [p.ratio for p in kept]
        out |= {
            "ratio": {"median": statistics.median(ratios), "least": min(ratios), "greatest": max(ratios)},
            "peer_tokens_per_second": statistics.median(p.peer.tokens_per_second for p in kept),
            "longhaul_tokens_per_second": statistics.median(p.longhaul.tokens_per_second for p in kept),
            "read_bytes_per_second": statistics.median(b for p in kept for b in p.read_bytes_per_second),
            "peer_peak_rss_bytes": max(p.peer.peak_rss_bytes for p in kept),
            "longhaul_peak_rss_bytes": max(p.longhaul.peak_rss_bytes for p in kept),
        }
    return out


def table(summaries: list[dict]) -> str:
    lines = [
        "| case | peer, tokens/s | Longhaul, tokens/s | ratio, median (least to greatest) | pairs (dropped) | GB/s read | peak RSS, peer / Longhaul |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for s in summaries:
        count = f"{s['pairs_kept']} ({s['pairs_dropped']})"
        if "ratio" not in s:
            lines.append(f"| {s['case']} | | | | {count} | | |")
            continue
        r = s["ratio"]
        lines.append(
            f"| {s['case']} | {s['peer_tokens_per_second']:.1f} | {s['longhaul_tokens_per_second']:.1f} "
            f"| {r['median']:.2f} ({r['least']:.2f} to {r['greatest']:.2f}) | {count} | {s['read_bytes_per_second'] / 1e9:.1f} "
            f"| {s['peer_peak_rss_bytes'] / 1e9:.2f} / {s['longhaul_peak_rss_bytes'] / 1e9:.2f} GB |"
        )
    return "\n".join(lines)


def processor() -> str:
    try:
        names = [line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


class Record:
    """The JSON file, complete after every pair."""

    def __init__(self, path: Path | None, args: argparse.Namespace, peer: Peer, longhaul: Longhaul):
        self._path, self._args, self._peer, self._longhaul = path, args, peer, longhaul
        self._start = time.strftime("%Y-%m-%d %H:%M:%S %z")
        self.cases: dict[Case, list[Pair]] = {}

    def summaries(self) -> list[dict]:
        return [summary(case, pairs) for case, pairs in self.cases.items()]

    def save(self) -> None:
        if self._path is None:
            return
        about = {
            "started": self._start,
            "machine": {"processor": processor(), "system": platform.platform(), "threads": self._args.threads},
            "versions": {"longhaul": self._longhaul.version, "peer": self._peer.version},
            "tolerance_percent": self._args.tolerance,
        }
        cases = [
            summary(case, pairs)
            | {"commands": {"peer": shlex.join(self._peer.command(case)), "longhaul": shlex.join(self._longhaul.command(case))}}
            | {"pairs": [asdict(p) | {"ratio": p.ratio} for p in pairs]}
            for case, pairs in self.cases.items()
        ]
        partial = self._path.with_name(self._path.name + ".partial")
        partial.write_text(json.dumps(about | {"cases": cases}, indent=2) + "\n")
        os.replace(partial, self._path)


def compare(args: argparse.Namespace, cases: list[Case]) -> bool:
    """Whether every case got its pairs."""
    peer, longhaul = Peer(args), Longhaul(args)
    record = Record(args.out, args, peer, longhaul)
    for case in cases:
        pairs = record.cases.setdefault(case, [])
        while sum(p.kept for p in pairs) < args.pairs and len(pairs) < args.attempts * args.pairs:
            pair = measure_pair(case, peer, longhaul, len(pairs) % 2 == 0, args.tolerance)
            pairs.append(pair)
            record.save()
            bandwidths = ", ".join(f"{b / 1e9:.1f}" for b in pair.read_bytes_per_second)
            print(
                f"{case}: peer {pair.peer.tokens_per_second:.2f}, longhaul {pair.longhaul.tokens_per_second:.2f}, ratio {pair.ratio:.3f}; "
                f"{bandwidths} GB/s{'' if pair.kept else ', dropped'}",
                file=sys.stderr,
                flush=True,
            )
    print(f"Longhaul: {longhaul.version}. Peer: {peer.version}. {processor()}, {args.threads} threads.\n")
    print(table(record.summaries()))
    return all(s["pairs_kept"] >= args.pairs for s in record.summaries())


# Command line


def counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--longhaul", type=Path, required=True, help="the program")
    parser.add_argument("--checkpoint", type=Path, required=True, help="its model folder")
    parser.add_argument("--weights", default="auto", help="as `longhaul bench --weights` (default %(default)s)")
    parser.add_argument("--longhaul-flags", default="", help="more flags for `longhaul bench`")
    parser.add_argument("--peer", type=Path, required=True, help="llama-bench of llama.cpp or ik_llama.cpp")
    parser.add_argument("--peer-model", type=Path, required=True, help="the GGUF file that write_gguf.py made of the checkpoint")
    parser.add_argument("--peer-flags", default="", help='more flags for the peer, such as "-rtr 1 -fa 1"')
    parser.add_argument("--peer-name", default="", help="name and version to note, where the peer's build does not know its commit")
    parser.add_argument("--prompt", type=counts, default=[512, 2048], metavar="N,...", help="prompt lengths (default 512,2048)")
    parser.add_argument("--depth", type=counts, default=[0, 4096, 16384], metavar="N,...", help="depths of decoding (default 0,4096,16384)")
    parser.add_argument("--gen", type=int, default=64, help="tokens to decode (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="prefills of a run, of which the median counts (default %(default)s)")
    parser.add_argument("--pairs", type=int, default=5, help="pairs of each case (default %(default)s)")
    parser.add_argument("--attempts", type=int, default=3, help="give up on a case after so many times --pairs (default %(default)s)")
    parser.add_argument("--tolerance", type=float, default=5.0, help="percent by which a pair's bandwidths may differ (default %(default)s)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of both sides (default: the processors at hand)")
    parser.add_argument("--probe-model", type=Path, default=DEMO, help="the tiny model whose bench measures bandwidth (default models/demo)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args()


def check_presence(args: argparse.Namespace) -> None:
    hints = {
        "longhaul": "build it with ./dev build",
        "peer": "build the target llama-bench of llama.cpp or ik_llama.cpp and name the program here",
        "peer_model": "make it with tools/peers/write_gguf.py",
        "checkpoint": "make one with `longhaul synth`",
        "probe_model": "any small checkpoint will do",
    }
    for name, hint in hints.items():
        path = getattr(args, name)
        if not path.exists():
            raise Failed(f"--{name.replace('_', '-')}: there is no {path}; {hint}")
        if name in ("longhaul", "peer") and not (path.is_file() and os.access(path, os.X_OK)):
            raise Failed(f"--{name}: {path} is no program; {hint}")


def main() -> int:
    args = parse()
    cases = [Case("prefill", n) for n in args.prompt] + [Case("decode", d) for d in args.depth]
    try:
        check_presence(args)
        # A name without a folder would be looked up in PATH.
        args.longhaul, args.peer = args.longhaul.resolve(), args.peer.resolve()
        return 0 if compare(args, cases) else 3
    except (Failed, OSError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
