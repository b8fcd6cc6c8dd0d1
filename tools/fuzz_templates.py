#!/usr/bin/env python3
"""Random templates from a grammar, rendered by Jinja2 and by golden_tests, to find where they differ.

    python3 tools/fuzz_templates.py build/tests/golden_tests [--cases 2000] [--seed 1]
"""
import argparse
import copy
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from template_reference import render  # noqa: E402

CONTEXT = {
    "a": 5, "b": -3, "f": 2.5, "s": "Hello, World", "u": "héé 東京", "e": "", "t": True, "z": None, "xs": [3, 1, 2],
    "ws": ["b", "A", "c", "a"], "d": {"k": 1, "B": [1, 2], "a": {"x": "y"}}, "ms": [{"r": "u", "c": " hi "}, {"r": "a", "c": None, "n": 2}],
    "nest": [[1, [2]], "q", None],
}
TEXT = ["s", "u", "e", "'x'", "'a b\\n c'", "' pad '", "'A-b'", "'1,2,,3'", "\"it's\""]
NUMBERS = ["a", "b", "f", "0", "1", "2", "-1", "2.0", "0.5", "7", "t"]
LISTS = ["xs", "ws", "ms", "nest", "[]", "[1, 'a']", "(1, 2)", "()", "range(3)|list", "range(4, 0, -1)|list", "ws|map('upper')|list"]
DICTS = ["d", "{}", "{'p': 1, 'q': none}", "ms[0]", "dict(m=2)"]
OTHER = ["z", "t", "false", "nope", "d.nope", "ms[1].c", "d.B", "nest[0][1]"]
TEXT_FILTERS = ["upper", "lower", "title", "capitalize", "trim", "length", "list", "string", "first", "last", "reverse", "int",
                "replace('l', 'L')", "replace('a', '', 1)", "default('dd')", "d('dd', true)", "tojson", "indent(2)", "indent(1, true)",
                "join('.')", "unique|list", "sort|join", "count", "trim('Hd')"]
LIST_FILTERS = ["length", "first", "last", "join(',')", "join", "list", "sort", "sort(reverse=true)", "unique|list", "reverse|list",
                "map('string')|list", "map(attribute='r')|list", "select|list", "reject('none')|list", "select('number')|list",
                "selectattr('c')|list", "rejectattr('n', 'defined')|list", "tojson", "tojson(indent=1)", "string",
                "map('length')|list", "default(1)", "map(attribute=0)|list",
                "map('default', 'q', true)|join('/')", "selectattr('r', '==', 'u')|map(attribute='c')|join"]
DICT_FILTERS = ["dictsort", "items|list", "length", "list", "tojson", "tojson(sort_keys=true)", "string", "first", "join('-')", "dictsort(by='value')",
                "dictsort(true, reverse=true)", "map('upper')|list"]
NUMBER_FILTERS = ["int", "string", "tojson", "default(3)", "length"]
METHODS = ["strip()", "lstrip('H ')", "rstrip('d')", "split()", "split(',')", "split('l', 1)", "upper()", "lower()", "title()",
           "capitalize()", "replace('l', '')", "startswith('H')", "endswith(('d', 'x'))", "join(['1', '2'])", "join(ws)", "strip(none)",
           "split(none, 1)"]
TESTS = ["defined", "undefined", "none", "string", "number", "mapping", "iterable", "sequence", "boolean", "true", "false", "integer", "float",
         "odd", "even", "eq 1", "ne 'x'", "lt 3", "ge 1", "in xs", "in 'Hello'", "equalto 'x'"]
BINARY = ["+", "-", "*", "/", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]


class Generator:
    """Avoids what Jinja2's compiler gets wrong: a context name that is set further down."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def pick(self, options):
        return self.r.choice(options)

    def text(self, depth):
        if depth <= 0 or self.r.random() < 0.3:
            return self.pick(TEXT)
        return self.pick([
            lambda: f"{self.text(depth - 1)}.{self.pick(METHODS)}",
            lambda: f"({self.text(depth - 1)}|{self.pick(TEXT_FILTERS)})",
            lambda: f"({self.any(depth - 1)} ~ {self.any(depth - 1)})",
            lambda: f"{self.text(depth - 1)}[{self.slice()}]",
            lambda: f"({self.text(depth - 1)} + {self.text(depth - 1)})",
        ])()

    def number(self, depth):
        if depth <= 0 or self.r.random() < 0.3:
            return self.pick(NUMBERS)
        return self.pick([
            lambda: f"({self.number(depth - 1)} {self.pick(BINARY[:4])} {self.number(depth - 1)})",
            lambda: f"({self.number(depth - 1)}|{self.pick(NUMBER_FILTERS)})",
            lambda: f"(-{self.number(depth - 1)})",
            lambda: f"{self.pick(LISTS)}[{self.pick(['0', '-1', '1', '9'])}]",
        ])()

    def slice(self):
        part = lambda: self.pick(["", "0", "1", "2", "-1", "-2", "9", "-9"])  # noqa: E731
        return self.pick([part() or "0", f"{part()}:{part()}", f"{part()}:{part()}:{self.pick(['', '1', '2', '-1', '-2'])}"])

    def sequence(self, depth):
        if depth <= 0 or self.r.random() < 0.3:
            return self.pick(LISTS)
        return self.pick([
            lambda: f"({self.sequence(depth - 1)}|{self.pick(LIST_FILTERS)})",
            lambda: f"{self.sequence(depth - 1)}[{self.slice()}]",
            lambda: f"[{self.any(depth - 1)}, {self.any(depth - 1)}]",
            lambda: f"({self.sequence(depth - 1)} + {self.sequence(depth - 1)})",
            lambda: f"({self.pick(DICTS)}|{self.pick(DICT_FILTERS)})",
            lambda: f"{self.pick(DICTS)}.{self.pick(['items()', 'keys()', 'values()', 'get(1)', 'get(0, 2)'])}|list",
            lambda: f"{self.text(depth - 1)}.split({self.pick(['', repr(','), repr('l')])})",
        ])()

    def any(self, depth):
        kind = self.pick([self.text, self.number, self.sequence, self.other])
        return kind(depth)

    def other(self, depth):
        if depth <= 0 or self.r.random() < 0.3:
            return self.pick(OTHER + DICTS)
        return self.pick([
            lambda: f"({self.any(depth - 1)} {self.pick(BINARY)} {self.any(depth - 1)})",
            lambda: f"({self.any(depth - 1)} is {self.pick(['', 'not '])}{self.pick(TESTS)})",
            lambda: f"({self.any(depth - 1)} if {self.any(depth - 1)} else {self.any(depth - 1)})",
            lambda: f"(not {self.any(depth - 1)})",
            lambda: f"({self.any(depth - 1)}|{self.pick(TEXT_FILTERS + LIST_FILTERS + DICT_FILTERS)})",
            lambda: "{" + f"'k': {self.any(depth - 1)}, 1: {self.any(depth - 1)}" + "}",
            lambda: f"({self.number(0)} < {self.number(0)} <= {self.number(0)})",
        ])()

    def space(self):
        return self.pick(["", "", " ", "\n", "  \n", "\n  ", "\n\n", "text", " t "])

    def tag(self, body):
        return "{%" + self.pick(["", "", "-", "+"]) + f" {body} " + self.pick(["", "", "-", "+"]) + "%}"

    def statement(self, depth):
        if depth <= 0 or self.r.random() < 0.35:
            return "{{" + self.pick(["", "-"]) + f" {self.any(2)} " + self.pick(["", "-"]) + "}}"
        return self.pick([
            lambda: self.tag(f"if {self.any(1)}") + self.body(depth - 1) + self.tag("else") + self.body(depth - 1) + self.tag("endif"),
            lambda: self.tag(f"for v in {self.sequence(1)}") + self.body(depth - 1) + "{{ loop.index }}{{ v }}" + self.tag("endfor"),
            lambda: self.tag(f"for v in {self.sequence(1)} if v {self.pick(['', 'is string', '!= 1', 'is defined'])}") + "{{ loop.last }}"
            + self.tag("if loop.index0 == 1") + self.tag(self.pick(["break", "continue"])) + self.tag("endif") + "{{ v }}"
            + self.tag("else") + self.body(depth - 1) + self.tag("endfor"),
            lambda: self.tag(f"for k, v in {self.pick(DICTS)}.items()") + "{{ k }}={{ v }}" + self.tag("endfor"),
            lambda: self.tag(f"set {self.pick(['p', 'q', 'w'])} = {self.any(2)}") + self.body(depth - 1),
            lambda: self.tag("set q") + self.body(depth - 1) + self.tag("endset") + "{{ q|length }}",
            lambda: self.tag(f"set ns = namespace(c={self.any(1)})") + self.tag("for v in xs") + self.tag("set ns.c = [ns.c, v]") + self.tag("endfor") + "{{ ns.c }}",
            lambda: self.tag("macro m(x, y=1)") + "({{ x }}" + self.body(depth - 1) + "{{ y }})" + self.tag("endmacro")
            + "{{ m(" + self.any(1) + self.pick(["", ", 2", ", y=3"]) + ") }}",
            lambda: self.tag(f"filter {self.pick(['upper', 'trim', 'replace(1, 2)', 'indent(1)'])}") + self.body(depth - 1) + self.tag("endfilter"),
            lambda: "{#" + self.pick(["", "-"]) + " c " + self.pick(["", "-"]) + "#}",
            lambda: self.tag("raw") + self.pick([" {{ x }} ", "\n", "  {% y %}\n "]) + self.tag("endraw"),
        ])()

    def body(self, depth):
        return "".join(self.space() + self.statement(depth) for _ in range(self.r.randint(1, 3))) + self.space()


def comparable(case):
    """Not so: objects printed by address, and what the engine leaves out (Markup, bounds of a sliced range)."""
    left_out = (" at 0x", "generator object", "<bound", "<function", "Markup(", "range(")
    return not any(mark in case.get("output", "") for mark in left_out)


def big_integers(case):
    """Python's integers grow; ours are an error."""
    digits = "".join(c if c.isdigit() else " " for c in case.get("output", "")).split()
    return any(len(d) > 18 for d in digits)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("golden_tests")
    options.add_argument("--cases", type=int, default=2000)
    options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    g = Generator(options.seed)
    cases = []
    while len(cases) < options.cases:
        source = g.body(3)
        # A copy: Jinja2's indent() appends to a list that it is given.
        case = {"template": source, **render(source, copy.deepcopy(CONTEXT)), "context": CONTEXT}
        if "error" in case and g.r.random() < 0.7:
            continue  # errors are the easy half
        if comparable(case) and not big_integers(case) and len(case.get("output", "")) < 20000:
            cases.append(case)
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as f:
        json.dump({"cases": cases}, f, ensure_ascii=False)
        f.flush()
        env = {**os.environ, "LONGHAUL_TEMPLATE_CASES": f.name}
        sys.exit(subprocess.run([options.golden_tests, "--gtest_filter=*NamedByTheEnvironment*"], env=env, check=False).returncode)


if __name__ == "__main__":
    main()
