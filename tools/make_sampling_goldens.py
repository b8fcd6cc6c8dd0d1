#!/usr/bin/env python3
"""Makes tests/golden/sampling: what the reference makes of logits and of the demo model under fields of generation_config.json.

    python tools/make_sampling_goldens.py

steps.json  a list of cases: `generation_config`, the `prompt` and the `answer` so far, `max_tokens` of the whole answer, `logits` [V]
            and `processed` [V] as the reference's logits processors leave them, null for minus infinity. Where do_sample is true its
            warpers ran too: tokens that are not null are those it draws from, by their scores.
demo.json   a list of cases: `generation_config`, `prompt`, `max_tokens`, and the `tokens` that generate() gives on models/demo in
            float32, greedily; `prompt` are ids.

Needs tools/requirements.txt; the product and its tests never need this script.
"""

import json
from pathlib import Path

import torch
import transformers

from goldens import reference

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "golden" / "sampling"
VOCAB, EOS = 24, [3, 7]
PROMPT, ANSWER = [2, 5, 9, 5, 11, 5, 9], [4, 11, 5, 9]

STEPS = {
    "none": {},
    "suppress": {"suppress_tokens": [1, 8]},
    "begin_suppress_later": {"begin_suppress_tokens": [1, 8]},
    "bad_words": {"bad_words_ids": [[6], [9, 12], [5, 9, 13], [9, 5, 14], [3], [4, 11, 5, 9, 15]]},
    "sequence_bias": {"sequence_bias": [[[6], 2.5], [[9, 12], -3.0], [[5, 9, 12], 1.25], [[2, 3, 4], 9.0], [[8], -0.5]]},
    "bias_and_bad_words": {"sequence_bias": [[[6], 2.0], [[9, 6], 1.0]], "bad_words_ids": [[9, 6]]},
    "no_repeat_1": {"no_repeat_ngram_size": 1},
    "no_repeat_2": {"no_repeat_ngram_size": 2},
    "no_repeat_3": {"no_repeat_ngram_size": 3},
    "no_repeat_40": {"no_repeat_ngram_size": 40},
    "encoder_no_repeat": {"encoder_no_repeat_ngram_size": 2},
    "repetition": {"repetition_penalty": 1.3},
    "repetition_below_one": {"repetition_penalty": 0.7},
    "encoder_repetition": {"encoder_repetition_penalty": 1.5},
    "both_repetitions": {"encoder_repetition_penalty": 1.5, "repetition_penalty": 1.2, "sequence_bias": [[[5], 1.0]]},
    "min_length": {"min_length": 12},
    "min_length_reached": {"min_length": 11},
    "min_new_tokens": {"min_new_tokens": 5},
    "min_new_tokens_reached": {"min_new_tokens": 4},
    "forced_eos_before_last": {"forced_eos_token_id": 7, "max_new_tokens": 6},
    "forced_eos_at_last": {"forced_eos_token_id": 7, "max_new_tokens": 5},
    "forced_eos_of_two": {"forced_eos_token_id": [7, 3], "max_new_tokens": 5},
    "decay": {"exponential_decay_length_penalty": [2, 1.4]},
    "decay_not_yet": {"exponential_decay_length_penalty": [4, 1.4]},
    "all": {"suppress_tokens": [1], "bad_words_ids": [[9, 12]], "no_repeat_ngram_size": 2, "repetition_penalty": 1.1,
            "sequence_bias": [[[9, 16], 4.0]], "exponential_decay_length_penalty": [1, 1.2]},
    "temperature": {"do_sample": True, "temperature": 0.6, "top_k": 0},
    "top_k": {"do_sample": True, "top_k": 5},
    "top_p": {"do_sample": True, "top_k": 0, "top_p": 0.8},
    "min_p": {"do_sample": True, "top_k": 0, "min_p": 0.1},
    "top_h": {"do_sample": True, "top_k": 0, "top_h": 0.4},
    "top_h_and_k": {"do_sample": True, "top_k": 3, "top_h": 0.7, "temperature": 1.3},
    "typical": {"do_sample": True, "top_k": 0, "typical_p": 0.5},
    "typical_narrow": {"do_sample": True, "top_k": 0, "typical_p": 0.2, "temperature": 1.5},
    "epsilon": {"do_sample": True, "top_k": 0, "epsilon_cutoff": 0.05},
    "eta": {"do_sample": True, "top_k": 0, "eta_cutoff": 0.3},
    "every_cut": {"do_sample": True, "top_k": 15, "top_p": 0.97, "min_p": 0.01, "typical_p": 0.9, "epsilon_cutoff": 0.01,
                  "eta_cutoff": 0.1, "temperature": 0.9},
}
# At the answer's first token.
FIRST = {
    "begin_suppress": ({"begin_suppress_tokens": [1, 8]}, PROMPT),
    "forced_bos_of_a_longer_prompt": ({"forced_bos_token_id": 4}, PROMPT),
    "forced_bos": ({"forced_bos_token_id": 4}, [2]),
    "forced_bos_and_begin_suppress": ({"forced_bos_token_id": 4, "begin_suppress_tokens": [4, 6]}, [2]),
}

# The small trained model, from two prompts: fields that change what it would write.
DEMO = [
    {},
    {"begin_suppress_tokens": [370]},
    {"begin_suppress_tokens": [370, 617], "suppress_tokens": [274]},
    {"bad_words_ids": [[370, 360], [617], [274, 539]]},
    {"sequence_bias": [[[370], -4.0], [[274], 1.5], [[360, 1129], -8.0]]},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3, "repetition_penalty": 1.2},
    {"repetition_penalty": 1.5},
    {"encoder_repetition_penalty": 2.0},
    {"encoder_no_repeat_ngram_size": 1},
    {"min_new_tokens": 6, "sequence_bias": [[[1], 30.0]]},
    {"exponential_decay_length_penalty": [1, 2.5]},
    {"min_length": 25, "sequence_bias": [[[1], 30.0]]},
    {"forced_eos_token_id": 1},
    {"suppress_tokens": [1, 5], "sequence_bias": [[[5], 50.0]]},
]
N_DEMO = 24


class Vocabulary(transformers.GenerationMixin):
    """What _get_logits_processor asks of a model."""

    config = transformers.Gemma3TextConfig(vocab_size=VOCAB)


def processed(settings: dict, prompt: list[int], answer: list[int], logits: torch.Tensor, max_tokens: int) -> list[float | None]:
    """What generate() would choose the next token from."""
    config = transformers.GenerationConfig(**({"eos_token_id": EOS, "top_k": 0} | settings))
    config.max_length = len(prompt) + max_tokens
    config._eos_token_tensor = torch.tensor(EOS)
    processors = Vocabulary()._get_logits_processor(
        config, input_ids_seq_length=len(prompt), encoder_input_ids=torch.tensor([prompt]), device="cpu")
    scores = processors(torch.tensor([prompt + answer]), logits[None].clone())[0]
    return [None if s == float("-inf") else s for s in scores.tolist()]


def step_cases() -> list[dict]:
    generator = torch.Generator().manual_seed(1)
    cases = [(name, settings, PROMPT, ANSWER) for name, settings in STEPS.items()]
    cases += [(name, settings, prompt, []) for name, (settings, prompt) in FIRST.items()]
    cases.append(("forced_bos_and_begin_suppress_second", FIRST["forced_bos_and_begin_suppress"][0], [2], [4]))
    out = []
    for name, settings, prompt, answer in cases:
        logits = torch.randn(VOCAB, generator=generator) * 2
        max_tokens = settings.get("max_new_tokens", 40)
        out.append({"name": name, "generation_config": {"eos_token_id": EOS} | settings, "prompt": prompt, "answer": answer,
                    "max_tokens": max_tokens, "logits": logits.tolist(), "processed": processed(settings, prompt, answer, logits, max_tokens)})
    return out


def demo_cases() -> list[dict]:
    folder = ROOT / "models" / "demo"
    model = reference.load(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    out = []
    for text in ("In the beginning", "And the king said unto"):
        prompt = tokenizer(text).input_ids
        for settings in DEMO:
            written = {"bos_token_id": 2, "eos_token_id": [1, 5], "pad_token_id": 0} | settings
            tokens = model.generate(torch.tensor([prompt]), generation_config=transformers.GenerationConfig(**written), do_sample=False,
                                    max_new_tokens=N_DEMO)[0, len(prompt):].tolist()
            out.append({"generation_config": written, "prompt": prompt, "max_tokens": N_DEMO, "tokens": tokens})
    return out


def write(name: str, cases: list[dict]) -> None:
    lines = ",\n".join(json.dumps(case) for case in cases)
    made_by = f"tools/make_sampling_goldens.py, transformers {transformers.__version__}, torch {torch.__version__}"
    (OUT / name).write_text(f'{{"made_by": "{made_by}",\n"cases": [\n{lines}\n]}}\n')
    print(f"{name}: {len(cases)} cases")


def main() -> None:
    reference.quiet()
    OUT.mkdir(parents=True, exist_ok=True)
    write("steps.json", step_cases())
    write("demo.json", demo_cases())


if __name__ == "__main__":
    main()
