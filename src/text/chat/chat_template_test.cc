#include "text/chat/chat_template.h"

#include <gtest/gtest.h>

#include <thread>

namespace longhaul {
namespace {

Result<std::string> render(
    const std::string& source, const TemplateOptions& options = {},
    const Json& context = Json::object({{"xs", Json::Array{Json(1), Json(2)}}, {"s", "text"}})) {
  LH_TRY(const ChatTemplate t, ChatTemplate::parse(source, "t.jinja"));
  return t.render(context, options);
}

Error failure(const std::string& source, const TemplateOptions& options = {}) {
  auto got = render(source, options);
  EXPECT_FALSE(got.ok()) << source << " rendered " << got->size() << " bytes";
  return got.ok() ? Error{} : got.error();
}

TEST(ChatTemplate, ErrorsNameTemplateLineAndReason) {
  EXPECT_EQ(failure("a\nb {{ missing.x }}").message, "t.jinja:2: 'missing' is undefined");
  EXPECT_EQ(failure("\n{% if xs %}\n\n{{ s\n+ 1 }}{% endif %}").message,
            "t.jinja:5: cannot add 'str' and 'int'");
  EXPECT_EQ(failure("\n\n{% endfor %}").message,
            "t.jinja:3: 'endfor' without the tag that it belongs to");
  EXPECT_EQ(failure("{{ 1|nope }}").code, ErrorCode::kUnsupported);
  EXPECT_EQ(failure("{% include 'x' %}").code, ErrorCode::kUnsupported);
  EXPECT_EQ(failure("{{ (").code, ErrorCode::kCorruptFile);
  EXPECT_EQ(failure("{{ 1 // 0 }}").code, ErrorCode::kInvalidArgument);
}

TEST(ChatTemplate, RaisedMessagePassesThroughAlone) {
  const Error e = failure("x\n{{ raise_exception('roles must ' ~ s) }}");
  EXPECT_EQ(e.message, "roles must text");
  EXPECT_EQ(e.code, ErrorCode::kInvalidArgument);
}

TEST(ChatTemplate, ContextMustBeAnObjectOfBoundedDepth) {
  EXPECT_FALSE(render("x", {}, Json(Json::Array{})).ok());
  Json deep(1);
  for (int i = 0; i < 500; ++i) deep = Json(Json::Array{deep});
  const auto got = render("{{ deep }}", {}, Json::object({{"deep", deep}}));
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, ErrorCode::kOverBudget);
}

TEST(ChatTemplate, ClockCanBeSet) {
  std::tm t{};
  t.tm_year = 99, t.tm_mon = 11, t.tm_mday = 31;
  EXPECT_EQ(*render("{{ strftime_now('%Y-%m-%d %Q %') }}", {.now = [t] { return t; }}),
            "1999-12-31 %Q %");
  EXPECT_TRUE(render("{{ strftime_now('%c') }}").ok());
}

TEST(ChatTemplate, EachLimitStopsWhatItIsFor) {
  const auto code = [](const std::string& source, const TemplateLimits& limits) {
    return failure(source, {.limits = limits}).code;
  };
  const std::string loop = "{% for i in range(1000) %}{{ i }}{% endfor %}";
  EXPECT_TRUE(render(loop).ok());
  EXPECT_EQ(code(loop, {.max_steps = 1000}), ErrorCode::kOverBudget);
  // Each item has a scope of its own, whatever is done in it.
  EXPECT_EQ(code("{% for i in range(1000) %}{% endfor %}", {.max_steps = 3000}),
            ErrorCode::kOverBudget);
  EXPECT_EQ(code("{% for i in range(1000) if 0 %}{% endfor %}", {.max_steps = 3000}),
            ErrorCode::kOverBudget);
  EXPECT_EQ(code(loop, {.max_output_bytes = 2000}), ErrorCode::kOverBudget);
  EXPECT_EQ(code(loop, {.max_live_bytes = 5000}), ErrorCode::kOverBudget);
  EXPECT_EQ(code(loop, {.max_range = 999}), ErrorCode::kOverBudget);
  EXPECT_EQ(code("{{ ((((1)))) ~ (2 + (3 + (4 + 5))) }}", {.max_depth = 4}),
            ErrorCode::kOverBudget);
}

TEST(ChatTemplate, MemoryIsGivenBackWhenValuesGo) {
  // 2000 rounds of 100 kB each, alive one after the other.
  const std::string source =
      "{% set big = 'x' * 100000 %}{% for i in range(2000) %}{% set copy = big ~ i %}{% endfor "
      "%}ok";
  EXPECT_EQ(*render(source, {.limits = {.max_live_bytes = 2'000'000}}), "ok");
}

TEST(ChatTemplate, ObjectsThatHoldThemselvesAreTakenApart) {
  // The leak checker of the dev build is the judge.
  EXPECT_TRUE(
      render("{% set n = namespace() %}{% set n.me = n %}{% set n.list = [n, {'n': n}] %}").ok());
  EXPECT_TRUE(render("{% macro m() %}{{ m is defined }}{% endmacro %}{{ m() }}").ok());
  EXPECT_TRUE(
      render("{% set n = namespace() %}{% for x in [n] %}{% set n.l = loop %}{% endfor %}").ok());
}

// Each names what was asked for, and what there is in its place.
TEST(ChatTemplate, WhatIsLeftOutIsOneClearError) {
  struct Case {
    const char* source;
    const char* says;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"{{ xs|batch(2) }}", "'batch' is no filter of chat templates, which have: capitalize,"},
           {"{{ xs is sameas xs }}", "'sameas' is no test of chat templates, which have: defined,"},
           {"{% with a = 1 %}{% endwith %}",
            "'with' is no tag of chat templates, which have: break,"},
           {"{% include 'x' %}", "'include' is no tag of chat templates, which have: break, call,"},
           {"{{ joiner() }}", "'joiner' is no function of chat templates, which have: dict, name"},
           {"{{ s.isdigit() }}",
            "'isdigit' is no method of str of chat templates, which have: str"},
           {"{{ {}.copy() }}",
            "'copy' is no method of dict of chat templates, which have: get, it"},
           {"{% for x in xs %}{{ loop.depth }}{% endfor %}",
            "'depth' is no attribute of loop of chat templates, which have: index, index0,"},
           {"{% for x in xs recursive %}{% endfor %}", "a recursive loop is not supported"},
           {"{% for a, (b, c) in xs %}{% endfor %}", "a tuple of names in parentheses is not supp"},
           {"{% set x | upper %}{% endset %}", "a filter of a set block is not supported"},
           {"{% call(x) f() %}{% endcall %}", "a call block with parameters is not supported"},
           {"{% macro m() %}{{ varargs }}{% endmacro %}", "'varargs' of a macro is not supported"},
           {"{% macro m() %}{% endmacro %}{{ m.name }}", "'name' of a macro is not supported"},
           {"{{ 2 ** 3 }}", "'**' is not supported"},
           {"{{ 2.5 // 2 }}", "// and % of a float are not supported"},
           {"{{ '%s' % 1 }}", "'%' makes no text in chat templates"},
           {"{{ '1_0'|int }}", "int: '_' between digits is not supported"}}) {
    const Error e = failure(c.source);
    EXPECT_EQ(e.code, ErrorCode::kUnsupported) << c.source;
    EXPECT_EQ(e.message.find(c.says), std::string_view("t.jinja:1: ").size())
        << c.source << ": " << e.message;
  }
  EXPECT_EQ(failure("{{ 0x1F }}").message,
            "t.jinja:1: a number is digits, with a fraction or without, not '0...'");
}

TEST(ChatTemplate, ContextMustBeUtf8) {
  for (const Json& context :
       {Json::object({{"s", "\xff"}}), Json::object({{"d", Json::object({{"\xff", 1}})}})}) {
    const auto got = render("x", {}, context);
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(ChatTemplate, ALongChainOfObjectsGoesWithoutDeepRecursion) {
  const std::string chain =
      "{% set n = namespace() %}{% for i in range(20000) %}{% set m = namespace(before=n.last) %}"
      "{% set n.last = m %}{% endfor %}ok";
  EXPECT_EQ(*render(chain), "ok");
}

TEST(ChatTemplate, DeepRecursionIsAnErrorNotACrash) {
  EXPECT_EQ(
      failure(
          "{% macro m(n) %}{% if true %}{{ [m(n + 1)]|join }}{% endif %}{% endmacro %}{{ m(0) }}")
          .code,
      ErrorCode::kOverBudget);
}

TEST(ChatTemplate, RendersFromManyThreadsAtOnce) {
  const auto t = ChatTemplate::parse(
      "{% macro m(x) %}<{{ x }}>{% endmacro %}{% for x in xs %}{{ m(x * k) }}{% endfor %}", "t");
  ASSERT_TRUE(t.ok());
  std::vector<std::thread> threads;
  std::vector<std::string> out(4);
  for (int k = 0; k < 4; ++k) {
    threads.emplace_back([&, k] {
      const Json context = Json::object({{"xs", Json::Array{Json(1), Json(2)}}, {"k", k}});
      for (int i = 0; i < 50; ++i) out[static_cast<size_t>(k)] = *t->render(context);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(out[3], "<3><6>");
}

}  // namespace
}  // namespace longhaul
