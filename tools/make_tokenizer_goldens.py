#!/usr/bin/env python3
"""Makes tests/golden/text: the corpus, small tokenizers trained on it, and what Hugging Face's library gives for them.

    make_tokenizer_goldens.py [--real DIR]

With --real, also records goldens for DIR/gemma3/tokenizer.json and DIR/deepseek_v3/tokenizer.json; only hashes and the first
ids are kept, since those files are not ours. Needs the package `tokenizers`. Every text in the corpus is written here.
"""
import argparse
import json
import random
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

OUT = Path(__file__).resolve().parent.parent / "tests/golden/text"
SEPARATOR = "\x1e"  # between the corpus's records; in none of them
N_FIRST = 32

SENTENCES = """
The river was low that summer, and the old mill stood quite still.|She didn't know what he'd said; they've left, we'll see, I'm sure it's fine.
Every model reads its own past one token at a time.|A cache that forgets is worth more than a cache that lies.
Prices rose by 12.5% to $1,299.00 on 2024-03-31, i.e. about 3/4 of the plan's 1,732 units.|Call +44 20 7946 0000 before 5:30 p.m.!
Der Fluß war im Sommer niedrig, und die alte Mühle stand still.|Größere Wörter wie Donaudampfschifffahrtsgesellschaft übersteht sie auch.
L'été, la rivière était basse; le vieux moulin, lui, ne tournait plus.|Ça coûte 3 € à l'hôtel près de la forêt.
En verano el río bajaba lento y el molino viejo callaba.|¿Quién dijo que mañana no habrá señal? ¡Nadie!
No verão o rio corria baixo e o moinho não girava mais.|D'estate il fiume era basso, perché non pioveva più.
Летом река обмелела, и старая мельница стояла тихо.|Кто знает, сколько токенов помещается в память?
Влітку річка обміліла, і старий млин стояв тихо.|През лятото реката беше плитка.
夏の川は浅く、古い水車は止まっていた。|トークンを一つずつ読みながら、モデルは過去を覚えている。|東京で3時に会いましょう!
夏天河水很浅,老磨坊静静地立着。|模型一次读一个词元,缓存里留着它的过去。|今天是2024年3月31日,气温23度。
여름에는 강물이 얕았고 오래된 물레방아는 멈춰 있었다.|모델은 한 번에 하나의 토큰을 읽는다.
في الصيف كان النهر ضحلاً والطاحونة القديمة ساكنة.|كم رمزًا تتسع له الذاكرة؟ ١٢٣٤٥
בקיץ היה הנהר רדוד, והטחנה הישנה עמדה דוממת.|כמה אסימונים נכנסים לזיכרון?
गर्मियों में नदी उथली थी और पुरानी चक्की चुपचाप खड़ी थी।|मॉडल एक-एक करके शब्द पढ़ता है, १२३।
ฤดูร้อนแม่น้ำตื้นและโรงสีเก่าก็เงียบ|แบบจำลองอ่านทีละโทเค็น
Mùa hè sông cạn và cối xay cũ đứng im.|Yazın nehir sığdı, eski değirmen duruyordu; İstanbul'da ışık yandı.
Το καλοκαίρι το ποτάμι ήταν ρηχό και ο παλιός μύλος σιωπηλός.|Latem rzeka była płytka, a stary młyn stał cicho.
கோடையில் ஆறு ஆழமற்றதாக இருந்தது.|ವೇಸಿಗೆಯಲ್ಲಿ ನದಿ ಆಳವಿಲ್ಲ.|გაზაფხულზე მდინარე ადიდდა.|ამ ზაფხულს არ წვიმდა.
ក្នុងរដូវក្តៅទន្លេរាក់។|Ամռանը գետը ծանծաղ էր։|ᚠᛇᚻ ᛒᛦᚦ ᚠᚱᚩᚠᚢᚱ|𐌰𐌱𐌲 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛 𓀀𓂀
""".strip().replace("\n", "|").split("|")

CODE = [
    "def push(self, token):\n    \"\"\"Appends a token.\"\"\"\n    if token is None:\n        return -1\n    self.items.append(token)\n    return len(self.items)\n",
    "#include <vector>\n\nint main() {\n\tstd::vector<int> v{1, 2, 3};\n\tfor (auto& x : v) { x *= 2; }\n\treturn v[0] == 2 ? 0 : 1;\n}\n",
    "SELECT name, COUNT(*) AS n\r\nFROM tokens\r\nWHERE id >= 100 AND text LIKE '%a_b%'\r\nGROUP BY name;\r\n",
    "{\"model\": {\"layers\": 42, \"rope\": [1e6, 10000.0], \"name\": \"x\\u00e9\\n\"}, \"ok\": true, \"none\": null}\n",
    "<table>\n  <tr><td>cell</td><td>&amp;</td></tr>\n</table>\n<!-- note --><a href=\"https://example.org/?q=1&r=%20\">link</a>\n",
    "$ ls -la /tmp | grep -E '^d' && echo \"done: $?\" > out.txt 2>&1\n\t\t# tab\n",
    "fn main() -> Result<(), Box<dyn Error>> {\n        let x: &'static str = r#\"raw\"#;\n        println!(\"{x:?} {}\", x.len());\n        Ok(())\n}\n",
    "\\begin{align}\n  \\alpha_{i}^{2} &= \\frac{1}{2}\\sum_{k=0}^{n} x_k \\\\\n\\end{align}\n",
    "x = [[0.5, -1.25e-3, +7], (a+b)*c/d%e, ~f ^ g | h & i << 3]; y ||= z; s = 'it''s'\n",
]

AWKWARD = [
    "", " ", "\n", "\t", "\r\n", "a", "▁", "▁▁▁", " ▁ ▁▁ x▁y", "é", "e\u0301", "\u0301", "a\u0315\u0300\u05ae\u0344b\u0f73\u0f71\u0f80",
    "\x00", "a\x00b", "\x01\x02\x7f\x80\x9f", "\ufeffBOM", "\ufffd\ufffd", "\u200b\u200c\u200d\u2060", "\u2028x\u2029y\u0085z",
    "x\u00a0y\u3000z\u180ew\u1680v", "👍🏽", "👩‍👩‍👧‍👦 family", "🇩🇪🇫🇷🇯🇵", "❤️‍🔥", "🏳️‍🌈🏴‍☠️", "1️⃣2️⃣", "\U0010ffff\U000e0001\ue000\uffff",
    "ÃÂâ€™ mojibake Ã©", "ĠĊ ġ Ģ Ń", "<0x41><0x0A><0xFF>", "<0x", "<unk>", "<pad> <eos>", "<bos>x<eos>", "a<unk>b", "<|start|><|end|>",
    "<|start|>user\nHi<|end|>\n", "  <|end|>  ", "word<sw>word <sw> <sw>", " <both> \n <both>", "<|star", "<|start|", "<|<|start|>|>",
    "<｜User｜>你好<｜Assistant｜><think>推理</think>", "<｜begin▁of▁sentence｜>", "<start_of_turn>user\nhi<end_of_turn>\n", "<unused0><unused99>",
    "don't DON'T can’t I'm 'sup 'LL", "1234567890 12 345 6,789.01 ½ Ⅷ ² ٣", "ﬁ ﬂ ① ㍿ Å Å", "ﷺ", "İi̇ıI ß ẞ ſ K",
    "http://a.b/c?d=e&f=%F0%9F#g", "a" * 1000, "ab" * 700, "é" * 500, "中" * 500, "😀" * 300, "\u0301" * 300, "= " * 200, "()" * 300, "0" * 400,
]


def build_corpus():
    rng = random.Random(20240331)
    pick = lambda items: items[int(rng.random() * len(items))]
    records = list(AWKWARD)
    for n in range(1, 71):
        records += ["\n" * n, " " * n, "x" + "\n" * n + "y", "a" + " " * n + "b", "\t" * n + "c", "\r\n" * n + "."]
        records.append(" " * n + "\n" + "  " * (n % 5) + "q" + "\n " * (n % 7))
    records += SENTENCES + CODE + [" ".join(SENTENCES), "\n\n".join(CODE)]
    words = [w for s in SENTENCES for w in s.split()]
    marks = ["👍🏽", "😀", "🇯🇵", "—", "…", "“", "”", "e\u0301", "\u00a0", "▁", "<|end|>", "<sw>", "\t", "\u200d", "\x07", "%", "#", "1024", "3.14"]
    for _ in range(420):
        parts = []
        for _ in range(int(rng.random() * 90) + 1):
            r = rng.random()
            parts.append(pick(words) if r < 0.86 else pick(marks) if r < 0.93 else str(int(rng.random() * 10 ** int(1 + rng.random() * 9))))
            r = rng.random()
            parts.append(" " if r < 0.85 else "" if r < 0.9 else "\n" if r < 0.95 else " " * int(rng.random() * 9) + "\n" * int(rng.random() * 4))
        records.append("".join(parts))
    for _ in range(120):
        records.append("".join(pick(CODE) if rng.random() < 0.6 else pick(SENTENCES) + "\n" for _ in range(int(rng.random() * 7) + 1)))
    for _ in range(150):
        picks = []
        while len(picks) < 60:
            c = int(rng.random() ** 2 * 0x30000)
            if not 0xD800 <= c < 0xE000 and c != 0x1E and unicode_14(chr(c)):
                picks.append(chr(c))
        records.append("".join(picks))
    assert not any(SEPARATOR in r for r in records)
    return records


def unicode_14(c):
    """Whether every library in use knows the character: newer ones differ between releases of PCRE2."""
    import unicodedata
    return unicodedata.category(c) != "Cn"


def byte_level(records):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    qwen = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"(?:\r?\n)+(?!\r?\n)"), "merged_with_next"),
        pre_tokenizers.Split(Regex(qwen), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(records, trainers.BpeTrainer(vocab_size=1200, initial_alphabet=alphabet, show_progress=False))
    tokenizer.add_special_tokens(["<|start|>", "<|end|>", AddedToken("<both>", lstrip=True, rstrip=True, normalized=False)])
    tokenizer.add_tokens([AddedToken("<sw>", single_word=True, normalized=False), AddedToken("</think>", normalized=True),
                          AddedToken("caf\u00e9", normalized=True)])
    return json.loads(tokenizer.to_str())


def gemma_like(records):
    """A vocabulary as SentencePiece's BPE gives it: every split of every token is a merge, ranked by the product."""
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    byte_tokens = [f"<0x{b:02X}>" for b in range(256)]
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    text = [r.replace("\n", " ").replace("\t", " ") for r in records[:-150]]
    trained.train_from_iterator(text, trainers.BpeTrainer(vocab_size=1400, limit_alphabet=400, special_tokens=specials + byte_tokens,
                                                          show_progress=False))
    vocab = json.loads(trained.to_str())["model"]["vocab"]
    runs = [c * n for c in "\n▁\t" for n in range(1 if c != "▁" else 2, 9)]
    for run in runs:
        vocab.setdefault(run, len(vocab))
    merges = []
    for token in sorted(vocab, key=vocab.get):
        if token in specials or token in byte_tokens:
            continue
        merges += [[token[:i], token[i:]] for i in range(1, len(token)) if token[:i] in vocab and token[i:] in vocab]
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [{"id": vocab[t], "content": t, **plain, "special": t in specials} for t in specials + runs]
    bos = {"SpecialToken": {"id": "<bos>", "type_id": 0}}
    a = {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": sorted(added, key=lambda t: t["id"]),
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "post_processor": {"type": "TemplateProcessing", "single": [bos, a], "pair": [bos, a, bos, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<bos>": {"id": "<bos>", "ids": [vocab["<bos>"]], "tokens": ["<bos>"]}}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                                                     {"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": True, "byte_fallback": True, "ignore_merges": False, "vocab": vocab, "merges": merges},
    }


def llama_like(gemma):
    """Llama 2's pipeline on the same vocabulary, with merges as texts, but some byte tokens taken away."""
    t = json.loads(json.dumps(gemma))
    t["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                                                           {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
    t["pre_tokenizer"] = None
    t["decoder"]["decoders"].append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    t["model"]["merges"] = [" ".join(m) for m in t["model"]["merges"]]
    for b in range(0xF0, 0xF8):
        t["model"]["vocab"][f"<gone{b}>"] = t["model"]["vocab"].pop(f"<0x{b:02X}>")
    return t


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def fnv_ids(ids):
    return fnv(b"".join(i.to_bytes(4, "little") for i in ids))


def random_ids(seed, vocab_size, n=40):
    """The test computes the same: a 64-bit linear congruential generator, upper half. Every fourth id is a small one."""
    ids, state = [], seed
    for i in range(n):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2 ** 64
        ids.append((state >> 33) % (min(600, vocab_size) if i % 4 == 3 else vocab_size))
    return ids


def goldens(name, path, records):
    tokenizer = Tokenizer.from_file(str(path))
    size = tokenizer.get_vocab_size()
    encoded, decoded = [], []
    for record in records:
        ids = tokenizer.encode(record, add_special_tokens=False).ids
        encoded.append([len(ids), fnv_ids(ids), fnv(tokenizer.decode(ids, skip_special_tokens=False).encode()), ids[:N_FIRST]])
    for seed in range(200):
        ids = random_ids(seed, size)
        decoded.append([fnv(tokenizer.decode(ids, skip_special_tokens=False).encode()),
                        fnv(tokenizer.decode(ids, skip_special_tokens=True).encode())])
    whole = "\n".join(records)
    ids = tokenizer.encode(whole, add_special_tokens=True).ids
    out = {"tokenizer": name, "origin": f"tools/make_tokenizer_goldens.py, tokenizers {tokenizers.__version__}", "vocab_size": size,
           "whole": [len(ids), fnv_ids(ids)], "texts": encoded, "random": decoded}
    text = json.dumps(out).replace("], [", "],\n[")
    (OUT / f"{name}.golden.json").write_text(text + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--real", type=Path)
    args = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    records = build_corpus()
    (OUT / "corpus.txt").write_bytes(SEPARATOR.join(records).encode())
    gemma = gemma_like(records)
    small = {"small_byte_level": byte_level(records), "small_gemma": gemma, "small_llama": llama_like(gemma)}
    for name, value in small.items():
        path = OUT / f"{name}.tokenizer.json"
        path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
        goldens(name, path, records)
    if args.real:
        for name in ("gemma3", "deepseek_v3"):
            goldens(name, args.real / name / "tokenizer.json", records)


if __name__ == "__main__":
    main()
