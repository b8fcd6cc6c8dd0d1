"""N = 1"""
REASONING_EFFORT_MAX = ("a\n" 'b')  # c
TOOLS_TEMPLATE = """{dsml_token} {{}} {tool_schemas}"""
response_format_template: str = r"{schema}\d"
N = u"\u00e9\x41\101{a}"
