// Renders what Jinja2 has rendered: tests/golden/template/*.json, written by
// tools/make_template_goldens.py with the environment of transformers' chat templates.
#include "text/chat/chat_template.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace longhaul {
namespace {

const std::string kFolder = LH_SOURCE_DIR "/tests/golden/template/";

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

Json read_json(const std::string& path) {
  auto json = parse_json(read_file(path), path, {.max_depth = 200});
  EXPECT_TRUE(json.ok()) << (json.ok() ? "" : json.error().text());
  return json.ok() ? *json : Json();
}

// The moment that the goldens were rendered at: 2026-02-03 04:05:06, a Tuesday.
std::tm fixed_clock() {
  std::tm t{};
  t.tm_year = 126, t.tm_mon = 1, t.tm_mday = 3, t.tm_hour = 4, t.tm_min = 5, t.tm_sec = 6,
  t.tm_wday = 2, t.tm_yday = 33;
  return t;
}

Result<std::string> render(const std::string& source, const std::string& where, const Json& context,
                           const TemplateLimits& limits = {}) {
  LH_TRY(const ChatTemplate t, ChatTemplate::parse(source, where));
  return t.render(context, {.limits = limits, .now = fixed_clock});
}

// Wanted is {"output": ...}, or {"error": ...} for what Jinja2 refuses, with "raised" for the
// message of raise_exception().
void check(const std::string& source, const std::string& name, const Json& context,
           const Json& wanted) {
  const auto got = render(source, name, context);
  if (const Json* output = wanted.find("output")) {
    ASSERT_TRUE(got.ok()) << name << ": " << source << "\n  " << got.error().text();
    EXPECT_EQ(*got, *output->as_string()) << name << ": " << source;
    return;
  }
  ASSERT_FALSE(got.ok()) << name << ": " << source << "\n  rendered '" << *got
                         << "', the reference fails with " << wanted.find("error")->dump();
  if (const Json* raised = wanted.find("raised")) {
    EXPECT_EQ(got.error().message, *raised->as_string());
    EXPECT_EQ(got.error().code, ErrorCode::kInvalidArgument);
  } else {
    EXPECT_EQ(got.error().text().rfind(name, 0), 0u)
        << "the message does not name the template: " << got.error().text();
  }
}

void check_cases(const std::string& path) {
  const Json cases = read_json(path);
  ASSERT_NE(cases.find("cases"), nullptr);
  int n = 0;
  for (const Json& c : *cases.find("cases")->as_array()) {
    check(*c.find("template")->as_string(), "case " + std::to_string(n++), *c.find("context"), c);
  }
  EXPECT_GT(n, 0);
}

TEST(ChatTemplateGolden, SnippetsRenderAsJinja2DoesThem) { check_cases(kFolder + "cases.json"); }

TEST(ChatTemplateGolden, WholeTemplatesRenderAsJinja2DoesThem) {
  const Json all = read_json(kFolder + "conversations.json");
  const Json conversations = read_json(kFolder + "conversations_input.json");
  ASSERT_NE(all.find("templates"), nullptr);
  for (const auto& [file, renderings] : *all.find("templates")->as_object()) {
    const std::string source = read_file(kFolder + file);
    for (const Json& c : *conversations.as_array()) {
      const std::string& name = *c.find("name")->as_string();
      check(source, file + "/" + name, *c.find("context"), *renderings.find(name));
    }
  }
}

TEST(ChatTemplateGolden, EveryMalformedTemplateIsAnError) {
  int n = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(LH_SOURCE_DIR "/tests/corpus/template")) {
    ++n;
    const auto got = render(read_file(entry.path()), entry.path().filename(), Json::object({}),
                            {.max_steps = 300'000});
    EXPECT_FALSE(got.ok()) << entry.path() << " renders";
    if (got.ok()) continue;
    EXPECT_EQ(got.error().text().rfind(entry.path().filename().string() + ":", 0), 0u)
        << got.error().text();
  }
  EXPECT_GE(n, 40);
}

// For tools/fuzz_templates.py: cases that a generator wrote a moment ago.
TEST(ChatTemplateGolden, CasesNamedByTheEnvironmentRenderAlike) {
  const char* path = std::getenv("LONGHAUL_TEMPLATE_CASES");
  if (!path) GTEST_SKIP() << "LONGHAUL_TEMPLATE_CASES names no file";
  check_cases(path);
}

}  // namespace
}  // namespace longhaul
