#!/usr/bin/env python3
"""Runs the released encoder of the DSML prompt format over our own conversations and records the prompts.

    python3 tools/make_dsml_goldens.py path/to/encoding_dsv4.py

The fixed texts of the format are the model's and stay out of this repository: the encoder is run with texts of our own in their
place, those of tests/golden/dsml/prose.py. With --check the real texts are used and the digests of known prompts compared.
"""
import argparse
import hashlib
import importlib.util
import json
import pathlib
import random

FOLDER = pathlib.Path(__file__).parent.parent / "tests/golden/dsml"

TOOL = {"type": "function", "function": {"name": "add", "description": "Add", "parameters": {
    "type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]}}}
OTHER = {"type": "function", "function": {"name": "größe", "description": "Wie groß? \"x\"\n", "parameters": {"type": "object", "properties": {}}}}


def call(name, arguments, id=None):
    made = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return made if id is None else {"id": id, **made}


def user(text, **more):
    return {"role": "user", "content": text, **more}


def system(text, **more):
    return {"role": "system", "content": text, **more}


def assistant(text, reasoning=None, calls=None, **more):
    message = {"role": "assistant", "content": text, **more}
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    if calls is not None:
        message["tool_calls"] = calls
    return message


def tool(text, id):
    return {"role": "tool", "tool_call_id": id, "content": text}


CONVERSATIONS = {
    "empty": [],
    "one": [user("Hi")],
    "system": [system("Be brief."), user("Hi")],
    "no_text": [system(None), user("")],
    "turns": [user("u1"), assistant("a1", "r1"), user("u2"), assistant("a2", "r2"), user("u3")],
    "two_users": [user("u1"), user("u2"), assistant("a1"), user("u3")],
    "ends_with_assistant": [user("u1"), assistant("a1", "r1"), user("u2"), assistant("a2", "r2")],
    "unfinished": [user("u1"), assistant("a1 and", "r1", wo_eos=True)],
    "system_between": [user("u1"), system("S"), user("u2"), assistant("a"), system("T")],
    "call": [system("S", tools=[TOOL]), user("1+2?"), assistant("", "r", [call("add", '{"a": 1, "b": 2}', "c1")]), tool("3", "c1")],
    "calls_out_of_order": [system("S", tools=[TOOL, OTHER]), user("?"),
                           assistant("So:", "r", [call("add", '{"a": 1}', "c1"), call("add", '{"a": 2}', "c2"), call("größe", "{}", "c3")]),
                           tool("three", "c3"), tool("one", "c1"), user("and?"), tool("two", "c2"), tool("nobody's", "c9"),
                           assistant("done", "r2"), user("thanks")],
    "call_without_tools": [user("?"), assistant("", "r", [call("add", '{"a": 1}', "c1")]), tool("1", "c1"), assistant("one", "r2"), user("ok")],
    "argument_types": [user("?"), assistant("x", None, [
        call("f", '{"s": "a \\"q\\"\\n<b>", "i": -3, "f": 2.50, "e": 1e20, "small": 1e-7, "t": true, "n": null, "u": "é\\u4e2d😀",'
                  ' "l": [1, "é", {"k": []}], "o": {"a": {"b": "\\u0007\\u007f"}}, "x": {}}'),
        call("g", "no json"), call("h", "{}")])],
    "result_parts": [user("?"), assistant("", None, [call("f", "{}", "a")]),
                     {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "p"}, {"type": "image"}, {"type": "text", "text": "q"}]}],
    "developer": [system("S"), {"role": "developer", "content": "D1"}, assistant("a1", "r1"),
                  {"role": "developer", "content": "D2", "response_format": {"type": "object", "title": "é"}}],
    "developer_then_user": [{"role": "developer", "content": "D1"}, assistant("a1", "r1"), user("u")],
    "developer_tools": [{"role": "developer", "content": "D", "tools": [TOOL]}, assistant("a", "r"), user("u")],
    "reminder": [system("S"), user("u1"), {"role": "latest_reminder", "content": "today"}, assistant("a1", "r1"), user("u2"),
                 {"role": "latest_reminder", "content": "tomorrow"}],
    "response_format": [system("S", response_format={"a": [1, 2.0], "b": None}), user("u")],
    "tools_and_format": [system("S", tools=[OTHER], response_format={"a": 1}), user("u1"), assistant("a1", "r1"), user("u2")],
    "task_action": [user("u1"), assistant("a1", "r1"), user("u2", task="action")],
    "task_title": [user("u1", task="title"), assistant("a1", "r1")],
    "task_domain_then_user": [user("u1", task="domain"), user("u2")],
    "task_lost_in_a_merge": [user("?"), assistant("", None, [call("f", "{}", "a")]), tool("1", "a"), user("u", task="query")],
    "task_then_result": [user("u1", task="read_url"), tool("r", "x"), assistant("a", "r")],
    "tools_in_user": [user("u1", tools=[TOOL]), assistant("a1", "r1"), user("u2")],
}


def random_conversation(rng):
    """Any roles in any order: the rules of merging, dropping and opening turns against each other."""
    messages, ids = [], []
    for _ in range(rng.randrange(1, 8)):
        kind = rng.choice(["user", "user", "assistant", "assistant", "call", "tool", "tool", "system", "developer", "latest_reminder"])
        n = len(messages)
        if kind == "user":
            messages.append(user(f"u{n}", **({"task": rng.choice(["action", "query"])} if rng.random() < 0.15 else {})))
        elif kind == "assistant":
            messages.append(assistant(f"a{n}", f"r{n}" if rng.random() < 0.7 else None, **({"wo_eos": True} if rng.random() < 0.1 else {})))
        elif kind == "call":
            ids = [f"c{n}{k}" for k in range(rng.randrange(1, 4))]
            messages.append(assistant("", f"r{n}", [call("f", json.dumps({"k": k}), i if rng.random() < 0.9 else None) for k, i in enumerate(ids)]))
        elif kind == "tool":
            messages.append(tool(f"t{n}", rng.choice(ids + ["other"])))
        elif kind == "system":
            messages.append(system(f"s{n}", **({"tools": [TOOL]} if rng.random() < 0.2 else {})))
        else:
            messages.append({"role": kind, "content": f"{kind[0]}{n}"})
    return messages


MODES = [{"thinking_mode": "chat"}, {"thinking_mode": "thinking"}, {"thinking_mode": "thinking", "drop_thinking": False},
         {"thinking_mode": "thinking", "reasoning_effort": "high"}, {"thinking_mode": "thinking", "reasoning_effort": "max"},
         {"thinking_mode": "chat", "reasoning_effort": "max"}]

# Prompts with the real texts: UTF-8 bytes and SHA-256, from a description of the format that is independent of this script.
CALL_CASE = [system("S", tools=[TOOL]), user("1+2?"), assistant("", "r", [call("add", '{"a": 1, "b": 2}', "c1")]), tool("3", "c1")]
KNOWN = [
    ([user("Hi")], {"thinking_mode": "chat"}, 68, "43a8b16635804295c55163b61d2f612efd6764fb0f9c1ec0de24a86937fd16b8"),
    ([user("Hi")], {"thinking_mode": "thinking", "reasoning_effort": "max"}, 543,
     "1bcdbbd0c9b620fd93068a10a509094e488c017ec976e442aa0a0553b86d6d57"),
    (CALL_CASE, {"thinking_mode": "thinking"}, 1558, "3a692f05c4362b35b663279d425ab49d96b49e1f85e412767afd059f1e4639cd"),
]


def load(path):
    spec = importlib.util.spec_from_file_location("encoder", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", type=pathlib.Path)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    encoder = load(args.encoder)
    if args.check:
        for messages, mode, size, digest in KNOWN:
            prompt = encoder.encode_messages(messages, **mode).encode()
            assert (len(prompt), hashlib.sha256(prompt).hexdigest()) == (size, digest), (len(prompt), messages)
        print(f"{len(KNOWN)} known prompts agree")
        return
    prose = load(FOLDER / "prose.py")
    for name in ("REASONING_EFFORT_MAX", "TOOLS_TEMPLATE", "response_format_template"):
        setattr(encoder, name, getattr(prose, name))
    rng = random.Random(20260203)
    conversations = {**CONVERSATIONS, **{f"random_{i}": random_conversation(rng) for i in range(120)}}
    cases = []
    for i, (name, messages) in enumerate(conversations.items()):
        for mode in MODES if not name.startswith("random") else MODES[:3]:
            # The encoder changes what it is given.
            prompt = encoder.encode_messages(json.loads(json.dumps(messages)), **mode)
            cases.append({"name": name, "mode": mode, "prompt": prompt})
    content = {"origin": "prompts of the released encoder, with the fixed texts of prose.py; written by tools/make_dsml_goldens.py",
               "conversations": conversations, "cases": cases}
    lines = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace('{"name":', '\n{"name":')
    (FOLDER / "cases.json").write_text(lines + "\n", encoding="utf-8")
    print(f"{len(cases)} prompts")


if __name__ == "__main__":
    main()
