"""The environment in which transformers renders chat templates, with a fixed clock. Needs jinja2."""
import datetime
import json

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2026, 2, 3, 4, 5, 6)


class Raised(jinja2.exceptions.TemplateError):
    """What raise_exception() raises, told apart from Jinja's own errors."""


class Generation(Extension):
    """{% generation %} renders its body; transformers also notes where it stands."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])

    def raise_exception(message):
        raise Raised(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda format: NOW.strftime(format)
    return env


ENV = environment()


def render(source, context):
    """{"context", and "output" or "error" (with "raised")}."""
    try:
        return {"context": context, "output": ENV.from_string(source).render(**context)}
    except Raised as e:
        return {"context": context, "error": "raise_exception", "raised": str(e)}
    except Exception as e:  # noqa: BLE001  every failure of the reference must be one of ours
        return {"context": context, "error": type(e).__name__}
