"""A small tokenizer of Gemma's kind: BPE over "▁"-normalised text with byte fallback."""

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<|turn>", "<turn|>"]
PAD, EOS, BOS, UNK, TURN_START, TURN_END = range(6)

CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
    {%- if message['role'] == 'assistant' -%}
        {%- set role = 'model' -%}
    {%- elif message['role'] == 'developer' -%}
        {%- set role = 'system' -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{- '<|turn>' + role + '\\n' -}}
    {%- if message['content'] is string -%}
        {{- message['content'] | trim -}}
    {%- else -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'text' -%}
                {{- item['text'] | trim -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{- '<turn|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- '<|turn>model\\n' -}}
{%- endif -%}
"""


def learn_merges(text, size):
    """Learns `size` tokens from the text; returns (tokens, merges) without specials and bytes.

    The text is cut into words, single digits, line breaks and punctuation marks first, so each
    token is a piece of one word (with the space before it), and BPE over uncut text, as Gemma
    does it, gives the same segmentation.
    """
    learner = Tokenizer(models.BPE())
    learner.normalizer = normalizers.Replace(" ", "▁")
    learner.pre_tokenizer = pre_tokenizers.Split(
        Regex(r"▁?[A-Za-z]+|▁?[0-9]|\n+|[^A-Za-z0-9\n]"), behavior="isolated"
    )
    alphabet = [chr(code) for code in range(32, 127)] + ["\n", "▁"]
    alphabet.remove(" ")
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, max_token_length=16, show_progress=False
    )
    learner.train_from_iterator([text], trainer)
    state = json.loads(learner.to_str())["model"]
    tokens = sorted(state["vocab"], key=state["vocab"].get)
    return tokens, state["merges"]


def build(text, vocab_size):
    """Builds the tokenizer: specials, 256 byte tokens, then the learned tokens."""
    byte_tokens = [f"<0x{value:02X}>" for value in range(256)]
    tokens, merges = learn_merges(text, vocab_size - len(SPECIAL) - len(byte_tokens))
    vocab = {token: index for index, token in enumerate(SPECIAL + byte_tokens + tokens)}
    if len(vocab) != vocab_size:
        raise SystemExit(f"the vocabulary has {len(vocab)} tokens, not {vocab_size}")
    bos = {"SpecialToken": {"id": "<bos>", "type_id": 0}}
    state = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for index, token in enumerate(SPECIAL)
        ],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"String": " "},
            "behavior": "MergedWithPrevious",
            "invert": False,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                bos,
                {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "<bos>", "type_id": 1}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {"<bos>": {"id": "<bos>", "ids": [BOS], "tokens": ["<bos>"]}},
        },
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [list(pair) for pair in merges],
        },
    }
    return Tokenizer.from_str(json.dumps(state)), state


def save(state, folder):
    """Writes tokenizer.json, tokenizer_config.json and chat_template.jinja."""
    folder = Path(folder)
    text = json.dumps(state, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(text + "\n", encoding="utf-8")
    config = {
        "tokenizer_class": "GemmaTokenizer",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "mask_token": None,
        "sot_token": "<|turn>",
        "eot_token": "<turn|>",
        "add_bos_token": True,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
        "padding_side": "left",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)


def load(folder):
    """Loads tokenizer.json of a model folder."""
    return Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))


def encode(tokenizer, text):
    """Token ids of the text, without a bos in front."""
    return tokenizer.encode(text, add_special_tokens=False).ids
