#!/usr/bin/env python3
"""Random differential test of the tokenizer against Hugging Face's.

    compare_tokenizer.py TOOL TOKENIZER_JSON [--seconds N] [--seed N] [--corpus FILE]

TOOL is the built tokenizer_tool. Texts are random cuts of the corpus, random mixtures of awkward characters, and special
tokens; ids are also decoded at random. Compares ids, decode() and the streaming decoder. Needs the package `tokenizers`.
"""
import argparse
import json
import random
import struct
import subprocess
import sys
import time
import unicodedata

from tokenizers import Tokenizer


class Tool:
    def __init__(self, binary, path):
        self.process = subprocess.Popen([binary, path, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _read(self, unit):
        out = self.process.stdout
        n = struct.unpack("<I", out.read(4))[0]
        return out.read(n * unit)

    def ask(self, flags, payload, n):
        self.process.stdin.write(struct.pack("<II", flags, n) + payload)
        self.process.stdin.flush()
        ids = self._read(4)
        return list(struct.unpack(f"<{len(ids) // 4}i", ids)), self._read(1).decode(), self._read(1).decode()

    def encode(self, text, flags):
        data = text.encode()
        return self.ask(flags, data, len(data))

    def decode(self, ids, flags):
        return self.ask(flags | 8, struct.pack(f"<{len(ids)}i", *ids), len(ids))


ALPHABETS = [
    "abcdefghijklmnopqrstuvwxyz",
    "aAbB eE.,;:!?'\"-_()[]{}<>/\\|@#$%^&*+=~`",
    "0123456789 .,",
    " \t\n\r\u00a0\u2028\u2029\u3000\u200b\u180e\u0085\u000b\u000c",
    "\n \n\r",
    "éèüßñçøåæœĀāČžſK\u0301\u0308\u0327\u0344\u0f73",
    "абвгдежзийклмнопрстуфхцчшщъыьэюя АБВГД",
    "अआइईउऊकखगघङचछजझञटठडढणािीुूेैोौ्ंः",
    "العربية مرحبا بالعالم ١٢٣",
    "日本語中文漢字ひらがなカタカナ。、！？〇々ー",
    "한국어안녕하세요세계",
    "ไทยสวัสดีชาวโลก",
    "😀😁👍🏽👩‍👩‍👧‍👦🇩🇪🇫🇷❤️\u200d\ufe0f🏳️‍🌈🧑🏿‍🚀",
    "▁▁ ▁<>_|｜",
    "\x00\x01\x02\x07\x08\x1b\x7f\u0080\u009f\ufeff\ufffd\ufffe\uffff\U0010ffff\U000e0001",
    "ᚠᚢᚦ𓀀𓀁𒀀𐍈𝔸𝕏①②Ⅷ½¾٣৪",
    "'s 't 're 've 'm 'll 'd 'S 'T 'Ve",
    "ÃÂâ€™Ġĉċ ĢģĤ",
]


class Texts:
    def __init__(self, rng, corpus, specials):
        self.rng, self.corpus, self.specials = rng, corpus, specials

    def any_char(self):
        # Python 3.11's Unicode is 14, PCRE2's on Debian 12: of later characters the libraries think differently.
        while True:
            c = chr(self.rng.choice([self.rng.randrange(0x20, 0xD800), self.rng.randrange(0xE000, 0x110000)]))
            if unicodedata.category(c) != "Cn":
                return c

    def piece(self):
        r = self.rng
        kind = r.random()
        if kind < 0.35 and self.corpus:
            at = r.randrange(len(self.corpus))
            return self.corpus[at:at + r.choice([1, 3, 10, 40, 200, 2000])]
        if kind < 0.65:
            alphabet = r.choice(ALPHABETS)
            return "".join(r.choice(alphabet) for _ in range(r.choice([1, 2, 5, 20, 60])))
        if kind < 0.75:
            return r.choice(r.choice(ALPHABETS)) * r.choice([1, 2, 3, 7, 16, 31, 32, 33, 70, 300])
        if kind < 0.85 and self.specials:
            special = r.choice(self.specials)
            return special if r.random() < 0.7 else special[:r.randrange(len(special) + 1)]
        if kind < 0.92:
            return "".join(self.any_char() for _ in range(r.randrange(6)))
        return " " * r.randrange(4)

    def text(self):
        return "".join(self.piece() for _ in range(self.rng.choice([1, 1, 2, 3, 6, 15])))


def fail(what, text, ours, theirs):
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    print(f"{what} differs at {at}: text {text!r}\n  ours   {ours[max(0, at - 3):at + 8]!r}\n  theirs {theirs[max(0, at - 3):at + 8]!r}")


def shrink(differs, items):
    """The items (characters or ids) that are left when none can be taken away without the difference going."""
    step = len(items) // 2
    while step:
        at = 0
        while at < len(items):
            fewer = items[:at] + items[at + step:]
            if differs(fewer):
                items = fewer
            else:
                at += step
        step //= 2
    return items


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tool")
    parser.add_argument("tokenizer_json")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", default="")
    parser.add_argument("--failures", type=int, default=10)
    args = parser.parse_args()

    oracle = Tokenizer.from_file(args.tokenizer_json)
    with open(args.tokenizer_json, encoding="utf-8") as f:
        added = json.load(f).get("added_tokens") or []
    corpus = open(args.corpus, encoding="utf-8", newline="").read() if args.corpus else ""
    rng = random.Random(args.seed)
    texts = Texts(rng, corpus, [token["content"] for token in added])
    # As plain text, ours also leaves the tokens that only added_tokens knows; Hugging Face's switch only the special ones.
    model_vocab = oracle.get_vocab(with_added_tokens=False)
    same_plain = all(t["special"] or t["content"] in model_vocab for t in added)
    tool = Tool(args.tool, args.tokenizer_json)
    vocab_size = oracle.get_vocab_size()
    end = time.monotonic() + args.seconds
    n = n_bytes = failures = 0
    while time.monotonic() < end and failures < args.failures:
        n += 1
        parse, add, skip = rng.random() < 0.8 or not same_plain, rng.random() < 0.3, rng.random() < 0.5
        flags = parse | add << 1 | skip << 2
        if rng.random() < 0.25:
            low, high = rng.choice([(0, vocab_size), (0, min(600, vocab_size)), (vocab_size // 2, vocab_size + 5)])
            text, ids = "(random ids)", [rng.randrange(low, high) for _ in range(rng.choice([1, 2, 5, 20, 100]))]
            if rng.random() < 0.5:
                ids += oracle.encode(texts.text()).ids
            ours_ids, ours, streamed = tool.decode(ids, flags)
        else:
            text = texts.text()
            n_bytes += len(text.encode())
            oracle.encode_special_tokens = not parse
            try:
                ids = oracle.encode(text, add_special_tokens=add).ids
            except BaseException as e:  # a panic of the library ("bad split") is no answer to compare with
                if type(e).__name__ != "PanicException":
                    raise
                continue
            ours_ids, ours, streamed = tool.encode(text, flags)
        if ours_ids != ids:
            failures += 1
            text = shrink(lambda t: tool.encode(t, flags)[0] != oracle.encode(t, add_special_tokens=add).ids, text)
            fail(f"ids (flags {flags})", text, tool.encode(text, flags)[0], oracle.encode(text, add_special_tokens=add).ids)
            continue
        theirs = oracle.decode(ids, skip_special_tokens=skip)
        if ours != theirs:
            failures += 1
            ids = shrink(lambda i: tool.decode(i, flags)[1] != oracle.decode(i, skip_special_tokens=skip), ids)
            fail("decode", ids, tool.decode(ids, flags)[1], oracle.decode(ids, skip_special_tokens=skip))
            continue
        if ours != streamed:
            failures += 1
            fail("streamed decode", f"{text!r} ids {ids}", streamed, ours)
    print(f"{args.tokenizer_json}: {n} cases, {n_bytes} bytes, {failures} differences")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
