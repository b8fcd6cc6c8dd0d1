"""The model card: README.md with the recipe, the figures and two sample continuations."""

import re
import textwrap
from pathlib import Path

import torch

from . import model as demo, tokenizer as tok

PROMPT = "In the beginning"
CHAT_PROMPT = "The LORD is my"
SAMPLE_TOKENS = 120

TEXT = """\
# Longhaul demo model

A very small Gemma 4 language model that continues text in the style of the King James Bible. It
exists so that Longhaul can be tried and tested without a download: it has every feature of the
dense Gemma 4 text architecture (sliding and full layers of different head width, shared keys and
values, per-layer embeddings, double-wide MLPs, layer scalars, soft-capped logits) in
{megabytes:.1f} MB. It has the words and the cadence of scripture but no sense of its own, and greedy decoding
soon repeats itself; it is fit for demonstration only.

## Architecture

| Property | Value |
|---|---|
| Class | `Gemma4ForCausalLM` (`gemma4_text`) |
| Parameters | {parameters:,} (bf16) |
| Vocabulary | {vocab_size}, BPE with byte fallback |
| Hidden width | {hidden_size} |
| Layers | {num_hidden_layers}: twice (3 sliding, 1 full) |
| Sliding window | {sliding_window} |
| Query heads / key-value heads | {num_attention_heads} / {num_key_value_heads} |
| Head width, sliding / full | {head_dim} / {global_head_dim} |
| Layers that share keys and values | the last {num_kv_shared_layers} |
| MLP width, own / shared layers | {intermediate_size} / {double} (double wide) |
| Per-layer embedding width | {hidden_size_per_layer_input} |
| Rotary base, sliding / full | 10,000 / 1,000,000 (a quarter of the width rotates) |
| Logit soft cap | 30 |
| Embeddings | tied with the output |
| Position limit in the configuration | {max_position_embeddings} (trained on {length}) |

## Data

The King James Version of the Bible, as packaged in Debian's `bible-kjv-text`. The translation was
published in 1611 and its copyright has expired; the text is in the public domain. Every 100th
chapter, starting with the 50th, is held out: these {heldout_chapters} chapters are `heldout.txt`
({heldout_bytes:,} bytes) and were used for neither the tokenizer nor the weights:
{heldout_list}.

Chapters are running text under a heading (`Genesis 1`, an empty line, the verses as one
paragraph). About one sequence in eight is a conversation in the chat format, made from the same
verses: the user gives the first words of a verse, the model answers with the verse, at times with
the next one too.

## Training

`tools/train_demo.py` makes the model from scratch: {steps:,} steps of {batch} sequences of
{length} tokens, {tokens:,} tokens in all (about {rounds:.0f} passes over the text), in
{minutes:.0f} minutes on one shared CPU core. Matrices of the layers are trained with Muon, all other
parameters with AdamW; the learning rate warms up, stays, and decays linearly to zero. The
computation is bf16 with f32 parameters; the layer scalars are trained too. The script's
default of more steps makes a better model.

## Held-out perplexity

| Figure | Value |
|---|---|
| Tokens predicted | {heldout_tokens:,} |
| Mean negative log-likelihood (nats per token) | {heldout_nll:.4f} |
| Perplexity | {heldout_perplexity:.4f} |
| Bits per byte | {heldout_bits_per_byte:.4f} |

How it is measured: `heldout.txt` is tokenized once, as a whole, without `<bos>`. The token ids are
cut in consecutive windows of {content} tokens (the last one is shorter). Each window is scored by
itself with one `<bos>` in front, {window} tokens at most, so that each token of the file is
predicted exactly once. The negative log-likelihoods of all tokens are averaged. The exported bf16
weights are used, and the computation is f32. `card.json` holds the same figures.

## Samples

Greedy, from `{prompt}`:

> {greedy}

Sampled (temperature 0.7, top-k 40, top-p 0.95), from the same words:

> {sampled}

Chat, sampled in the same way; the user says `{chat_prompt}`:

> {chat}
"""


def generate(model, tokenizer, ids, sample, seed=1):
    """Continues the ids; returns the text of the continuation."""
    torch.manual_seed(seed)
    options = {"temperature": 0.7, "top_k": 40, "top_p": 0.95} if sample else {}
    if not sample:
        model.generation_config.temperature = None
        model.generation_config.top_k = None
        model.generation_config.top_p = None
    with torch.no_grad():
        output = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=SAMPLE_TOKENS,
            do_sample=sample,
            **options,
        )
    return tokenizer.decode(output[0, len(ids) :].tolist(), skip_special_tokens=True)


def quote(text):
    """The text as the inside of a Markdown quotation."""
    return re.sub(r"\n", "\n> ", text.strip())


def write(folder, model, tokenizer, saved, figures):
    """Writes README.md; returns the samples."""
    folder = Path(folder)
    heldout = (folder / "heldout.txt").read_text(encoding="utf-8")
    headings = re.findall(r"(?:^|\n\n)([1-3]?[A-Za-z ]+ \d+)\n\n", heldout)
    ids = [tok.BOS, *tok.encode(tokenizer, PROMPT)]
    chat = f"<bos><|turn>user\n{CHAT_PROMPT}<turn|>\n<|turn>model\n"
    samples = {
        "greedy": PROMPT + generate(model, tokenizer, ids, False),
        "sampled": PROMPT + generate(model, tokenizer, ids, True),
        "chat": generate(model, tokenizer, tok.encode(tokenizer, chat), True),
    }
    weights = folder / "model.safetensors"
    text = TEXT.format(
        **demo.SHAPE,
        **figures,
        **{name: quote(sample) for name, sample in samples.items()},
        parameters=sum(value.numel() for value in model.parameters()) + len(model.model.layers),
        megabytes=weights.stat().st_size / 1e6,
        double=2 * demo.SHAPE["intermediate_size"],
        length=saved["length"],
        batch=saved["batch"],
        steps=saved["step"],
        tokens=saved["tokens"],
        rounds=saved["tokens"] / saved["stream"],
        minutes=saved["seconds"] / 60,
        heldout_chapters=len(headings),
        heldout_bytes=len(heldout.encode("utf-8")),
        heldout_list=textwrap.fill(", ".join(headings), 99),
        content=figures["window"] - 1,
        prompt=PROMPT,
        chat_prompt=CHAT_PROMPT,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    return samples
