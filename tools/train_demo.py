#!/usr/bin/env python3
"""Makes the demo model: a small Gemma 4 trained on the King James Bible.

    train_demo.py train    builds the tokenizer and the held-out text, and trains
    train_demo.py export   writes the weights of the last checkpoint, scores and describes them

Needs torch, transformers, tokenizers and safetensors, and the Debian packages bible-kjv and
bible-kjv-text. Training takes about 45 minutes on one CPU core.
"""

import argparse
import json
import math
import os
import time
from pathlib import Path

import torch
from safetensors.torch import save_file

from demo import batches, card, corpus, model as demo, optimizer, tokenizer as tok

WINDOW = 512


def rate(step, progress, warmup=100):
    """The learning rate at a step, as a share of its peak: warm-up, a plateau, linear decay."""
    return min((step + 1) / warmup, 1.0, (1 - progress) / 0.7)


def write_atomically(path, write):
    """Writes a file beside its place, readable to all, then moves it there."""
    part = path.with_name(path.name + ".part")
    write(part)
    part.chmod(0o644)
    os.replace(part, path)


def score(model, ids, window=WINDOW):
    """Negative log-likelihood (nats, summed) of the tokens, in windows that each start with bos.

    The ids are cut in consecutive windows of window - 1 tokens, each with a bos in front; every
    token is predicted from the bos and the tokens before it in its window.
    """
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(ids), window - 1):
            row = torch.tensor([[tok.BOS, *ids[start : start + window - 1]]])
            logits = model(input_ids=row, use_cache=False).logits[0, :-1].double()
            total -= logits.log_softmax(-1).gather(1, row[0, 1:, None]).sum().item()
    return total


def prepare(args):
    """Writes tokenizer, configuration and held-out text; returns (training chapters, tokenizer)."""
    args.out.mkdir(parents=True, exist_ok=True)
    args.work.mkdir(parents=True, exist_ok=True)
    train, heldout = corpus.split_heldout(corpus.load_chapters(args.reader))
    tokenizer, state = tok.build(corpus.plain_text(train), demo.SHAPE["vocab_size"])
    tok.save(state, args.out)
    demo.write_config(args.out)
    (args.out / "heldout.txt").write_text(corpus.plain_text(heldout), encoding="utf-8")
    return train, tokenizer


def train(args):
    """Trains the model and saves checkpoints into the work folder."""
    chapters, tokenizer = prepare(args)
    heldout = tok.encode(tokenizer, (args.out / "heldout.txt").read_text(encoding="utf-8"))
    data = batches.Batches(chapters, tokenizer, args.batch, args.length, args.seed)
    print(f"{len(data.stream)} training tokens, {len(heldout)} held-out tokens", flush=True)

    model = demo.new_model(args.seed)
    optimizers = optimizer.build(model, args.matrix_rate, args.other_rate)
    compute = torch.compile(demo.training_loss, dynamic=False) if args.compile else demo.training_loss
    checkpoint = args.work / "checkpoint.pt"
    first, spent = 0, 0.0
    if args.resume and checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        for opt, state in zip(optimizers, saved["optimizers"]):
            opt.load_state_dict(state)
        first, spent = saved["step"], saved["seconds"]
        for _ in range(first):
            data.next()

    def save(step):
        state = {
            "model": model.state_dict(),
            "optimizers": [opt.state_dict() for opt in optimizers],
            "step": step,
            "tokens": step * args.batch * args.length,
            "seconds": spent + time.time() - began,
            "batch": args.batch,
            "length": args.length,
            "stream": len(data.stream),
        }
        write_atomically(checkpoint, lambda path: torch.save(state, path))

    began = saved_at = time.time()
    mean = None
    step = first
    while True:
        progress = max(step / args.steps, (spent + time.time() - began) / (60 * args.minutes))
        if progress >= 1:
            break
        share = rate(step, progress)
        for opt in optimizers:
            for group in opt.param_groups:
                group["lr"] = group["peak"] * share
        loss = compute(model, torch.from_numpy(data.next()))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for opt in optimizers:
            opt.step()
            opt.zero_grad(set_to_none=True)
        mean = loss.item() if mean is None else 0.95 * mean + 0.05 * loss.item()
        if step % 20 == 0:
            elapsed = time.time() - began
            speed = (step + 1 - first) * args.batch * args.length / elapsed
            print(f"step {step} loss {mean:.4f} rate {share:.3f} {speed:.0f} tokens/s {elapsed:.0f} s", flush=True)
        if (step + 1) % args.score_every == 0:
            # Scored through the training path (no cache, shared keys and values) in f32.
            model.set_attn_implementation("eager")
            nll = score(model, heldout[: 8 * (WINDOW - 1)]) / min(len(heldout), 8 * (WINDOW - 1))
            model.set_attn_implementation("demo_banded")
            print(f"step {step + 1} held-out loss {nll:.4f}", flush=True)
        if time.time() - saved_at > args.save_every:
            save(step + 1)
            saved_at = time.time()
        step += 1
    save(step)


def export(args):
    """Writes the last checkpoint as bf16 safetensors, and the model card with its figures."""
    saved = torch.load(args.work / "checkpoint.pt", weights_only=True)
    demo.write_config(args.out)
    weights = {
        name: value.detach().to(torch.bfloat16).contiguous()
        for name, value in saved["model"].items()
        if name != "lm_head.weight"
    }
    path = args.out / "model.safetensors"
    write_atomically(path, lambda part: save_file(weights, str(part), metadata={"format": "pt"}))

    model, tokenizer = demo.load(args.out), tok.load(args.out)
    text = (args.out / "heldout.txt").read_text(encoding="utf-8")
    ids = tok.encode(tokenizer, text)
    difference = demo.check_equivalence(model, torch.tensor([[tok.BOS, *ids[:255]]]))
    print(f"largest logit difference between the ways to compute: {difference:.2e}")
    if difference > 1e-3:
        raise SystemExit("the training path does not compute what the library computes")
    total = score(model, ids)
    figures = {
        "heldout_tokens": len(ids),
        "heldout_nll": round(total / len(ids), 4),
        "heldout_perplexity": round(math.exp(total / len(ids)), 4),
        "heldout_bits_per_byte": round(total / math.log(2) / len(text.encode("utf-8")), 4),
        "window": WINDOW,
    }
    (args.out / "card.json").write_text(json.dumps(figures, indent=2) + "\n")
    samples = card.write(args.out, model, tokenizer, saved, figures)
    size = sum(file.stat().st_size for file in args.out.iterdir())
    for name, sample in samples.items():
        print(f"{name}: {sample}")
    print(json.dumps(figures, indent=2))
    print(f"{size} bytes in all")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["train", "export"])
    parser.add_argument("--out", type=Path, default=Path("models/demo"), help="model folder")
    parser.add_argument("--work", type=Path, default=Path("build/demo"), help="folder for checkpoints")
    parser.add_argument("--reader", default="bible", help="program of the bible-kjv package")
    parser.add_argument("--steps", type=int, default=1400, help="steps of the whole training")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="end sooner, after this time; the rate decays by then"
    )
    parser.add_argument("--batch", type=int, default=12, help="sequences in a step")
    parser.add_argument("--length", type=int, default=512, help="tokens in a sequence")
    parser.add_argument("--matrix-rate", type=float, default=0.02, help="Muon's peak learning rate")
    parser.add_argument("--other-rate", type=float, default=0.003, help="AdamW's peak learning rate")
    parser.add_argument("--seed", type=int, default=1611)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save-every", type=float, default=180, help="seconds between checkpoints")
    parser.add_argument("--score-every", type=int, default=200, help="steps between held-out scores")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="do not use torch.compile")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    {"train": train, "export": export}[args.command](args)


if __name__ == "__main__":
    main()
