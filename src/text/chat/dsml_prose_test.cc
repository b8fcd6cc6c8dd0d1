#include "text/chat/dsml_prose.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "text/chat/python_strings.h"

namespace longhaul {
namespace {

using ::testing::HasSubstr;

std::string value(const std::string& source) {
  const auto got = python_string_constant(source, "NAME", "f.py");
  return got.ok() ? *got : "error: " + got.error().text();
}

TEST(PythonStrings, LiteralsStandSideBySide) {
  EXPECT_EQ(value("NAME = 'a'"), "a");
  EXPECT_EQ(value("NAME: str = \"a\" 'b'  # c\n"), "ab");
  EXPECT_EQ(value("NAME = (\n  'a'  # one\n\n  \"b\"\n)\nx = 1"), "ab");
  EXPECT_EQ(value("NAME = \"\"\"a\n'b' \"c\"\nd\\\ne\"\"\"\n"), "a\n'b' \"c\"\nde");
  EXPECT_EQ(value("NAME='''a'''\r\n"), "a");
  EXPECT_EQ(value("NAME = '''a\r\nb'''\r\n"), "a\nb");
  EXPECT_EQ(value("NAME = u'a' \\\n 'b'"), "ab");
  EXPECT_EQ(value("NAME = ''"), "");
}

TEST(PythonStrings, EscapesAreThoseOfPython) {
  EXPECT_EQ(value(R"(NAME = 'a\n\t\\\'\"\x41\u00e9\U0001F600\101\0z\q')"),
            "a\n\t\\'\"Aé😀A" + std::string(1, '\0') + "z\\q");
  EXPECT_EQ(value(R"(NAME = r'a\n\'b')"), R"(a\n\'b)");
  for (const char* bad :
       {R"('\xZ1')", R"('\u12')", R"('\ud800')", R"('\U00110000')", R"('\N{BULLET}')"}) {
    EXPECT_THAT(value(std::string("NAME = ") + bad), HasSubstr("plain string literals")) << bad;
  }
}

TEST(PythonStrings, OnlyTheTopLevelAssigns) {
  EXPECT_EQ(value("'''\nNAME = 'doc'\n'''\n# NAME = 'c'\n  NAME = 'in'\nNAMES = 'x'\nNAME == "
                  "'y'\nf(NAME)\nNAME = 'a'\n"),
            "a");
  EXPECT_THAT(value("x = 'NAME = 1'"), HasSubstr("no assignment to 'NAME'"));
  EXPECT_THAT(value("NAME = 'a'\nNAME = 'b'"), HasSubstr("assigned twice"));
}

TEST(PythonStrings, AnythingButLiteralsIsRefused) {
  for (const char* bad :
       {"NAME = f'{x}'", "NAME = b'x'", "NAME = 'a' + 'b'", "NAME = x", "NAME = ('a', 'b')",
        "NAME = ('a'", "NAME = 'a'.upper()", "NAME = ()", "NAME =", "NAME = ('a'\n) + eos"}) {
    EXPECT_THAT(value(bad), HasSubstr("plain string literals")) << bad;
  }
  EXPECT_THAT(value("x = 'open"), HasSubstr("does not end"));
  EXPECT_THAT(value("x = '''open\n"), HasSubstr("does not end"));
  EXPECT_THAT(value("NAME = '\xff'"), HasSubstr("not UTF-8"));
}

TEST(FormatText, PlacesAreFilledAndBracesEscaped) {
  const auto text = FormatText::parse("{{a}} {x}{y}{x}", {"x"}, {"y"}, "t");
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->filled({{"x", "{y}"}, {"y", "2"}}), "{a} {y}2{y}");
  EXPECT_THAT(FormatText::parse("{z}", {}, {}, "t").error().text(),
              HasSubstr("unknown place '{z}'"));
  EXPECT_THAT(FormatText::parse("{x!r}", {"x"}, {}, "t").error().text(),
              HasSubstr("unknown place"));
  EXPECT_THAT(FormatText::parse("none", {"x"}, {}, "t").error().text(),
              HasSubstr("no place '{x}'"));
  for (const char* bad : {"{", "}", "a{x", "{x{y}}", "}{"})
    EXPECT_FALSE(FormatText::parse(bad, {"x"}, {"y"}, "t").ok()) << bad;
}

constexpr const char* kPython = R"(REASONING_EFFORT_MAX = (
    "Think long.\n\n"
)
TOOLS_TEMPLATE = """Call with <{dsml_token}x>, {{}}:
{tool_schemas}
"""
response_format_template: str = "Shape: {schema}"
)";

TEST(DsmlProse, IsReadFromItsFile) {
  const auto prose = DsmlProse::parse(kPython, "f.py");
  ASSERT_TRUE(prose.ok()) << prose.error().text();
  EXPECT_EQ(prose->max_effort, "Think long.\n\n");
  EXPECT_EQ(prose->tools.filled({{"tool_schemas", "S"}, {"dsml_token", "D"}}),
            "Call with <Dx>, {}:\nS\n");
  EXPECT_EQ(prose->response_format.filled({{"schema", "S"}}), "Shape: S");
}

TEST(DsmlProse, ErrorsNameTheFileAndTheConstant) {
  EXPECT_THAT(DsmlProse::parse("", "f.py").error().text(),
              HasSubstr("f.py: no assignment to 'REASONING_EFFORT_MAX'"));
  std::string other = kPython;
  other.replace(other.find("{schema}"), 8, "{shape}");
  EXPECT_THAT(DsmlProse::parse(other, "f.py").error().text(),
              HasSubstr("f.py: response_format_template: an unknown place '{shape}'"));
  EXPECT_THAT(DsmlProse::parse("REASONING_EFFORT_MAX = ''", "f.py").error().text(),
              HasSubstr("has 0 bytes"));
}

}  // namespace
}  // namespace longhaul
