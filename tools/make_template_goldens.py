#!/usr/bin/env python3
"""Renders the snippets and whole templates of tests/golden/template with Jinja2 and records what comes out.

    python3 tools/make_template_goldens.py

Snippets stand in tests/golden/template/snippets.txt, conversations in conversations_input.json beside it.
"""
import json
import pathlib
import sys

import jinja2

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from template_reference import render  # noqa: E402

FOLDER = pathlib.Path(__file__).parent.parent / "tests/golden/template"
ORIGIN = f"rendered by Jinja2 {jinja2.__version__} with tools/template_reference.py"

CONTEXT = {
    "name": "Ada", "n": 7, "neg": -7, "x": 2.5, "big": 9007199254740993, "huge": 123456789012345678901234567890,
    "sizes": {"id": 18446744073709551616, "low": -9223372036854775809, "two64": 2.0 ** 64, "exact": 2 ** 64, "wei": [10 ** 30, 1e30]}, "yes": True, "no": False, "nothing": None, "empty": "",
    "text": "  Hello, World!  ", "uni": "Zürich ß 東京 😀", "lines": "one\ntwo\r\nthree\n\nfive", "html": "<a href=\"x\">&'</a>",
    "xs": [3, 1, 2], "words": ["pear", "Apple", "fig", "apple"], "nested": [[1, 2], [3, [4, "five"]], []],
    "d": {"b": 1, "A": 2, "c": [1, {"k": None}]}, "items_key": {"items": "shadow", "get": 5, "x": 1},
    "users": [{"name": "Bob", "age": 30, "tags": ["a"]}, {"name": "alice", "age": 25, "tags": []}, {"name": "Carl", "age": 30}],
    "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi <there>"},
                 {"role": "assistant", "content": "<think>hm</think>Hello", "tool_calls": []}],
}


def snippets():
    """Snippets are separated by lines of a single '%%'; a snippet keeps its inner newlines."""
    text = (FOLDER / "snippets.txt").read_text(encoding="utf-8")
    return text.removesuffix("\n").split("\n%%\n")


def write(name, content):
    lines = json.dumps(content, ensure_ascii=False, indent=1)
    (FOLDER / name).write_text(lines + "\n", encoding="utf-8")


def names_in(source, context):
    return {k: v for k, v in context.items() if k in source}


def main():
    cases = [{"template": s, **render(s, names_in(s, CONTEXT))} for s in snippets()]
    write("cases.json", {"origin": ORIGIN, "cases": cases})
    conversations = json.loads((FOLDER / "conversations_input.json").read_text(encoding="utf-8"))
    templates = {}
    for path in sorted(FOLDER.glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        outcomes = {c["name"]: render(source, c["context"]) for c in conversations}
        templates[path.name] = {n: {k: v for k, v in o.items() if k != "context"} for n, o in outcomes.items()}
    write("conversations.json", {"origin": ORIGIN, "templates": templates})
    failed = sum("error" in c for c in cases)
    print(f"{len(cases)} snippets, {failed} of them errors; {len(templates)} templates over {len(conversations)} conversations")


if __name__ == "__main__":
    main()
