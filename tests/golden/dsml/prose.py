"""Texts of our own where the released file has the model's: same names, same places, other words.

REASONING_EFFORT_MAX = "not this one: it stands inside a string"
"""

eos: str = "end"

REASONING_EFFORT_MAX = (
    "Effort: \"all\" of it.\n"  # two literals, side by side
    'Leave no stone unturned.\n\n'
)

TOOLS_TEMPLATE = """## Functions

Write <{dsml_token}tool_calls> with string="true|false" to call one, {{like this}}; think inside {thinking_start_token}...{thinking_end_token}.

{tool_schemas}

That was all.
"""

response_format_template: str = (
    "## Shape:\n\nAnswer as \u00e9 says:\n{schema}"
)


def after(x):
    return f"{x}" + eos
