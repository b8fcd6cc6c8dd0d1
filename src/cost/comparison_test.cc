#include "cost/comparison.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "cost/cost_testing.h"

namespace longhaul {
namespace {

using testing::HasSubstr;
using testing::Not;

Comparison comparison(const char* model, const char* against, const PlanRequest& request) {
  auto c = compare(described(model), described(against), request);
  EXPECT_TRUE(c.ok()) << (c.ok() ? "" : c.error().text());
  return c.ok() ? std::move(*c) : Comparison{};
}

ComparedFigure figure(const std::vector<ComparedFigure>& figures, std::string_view key) {
  const auto found = std::find_if(figures.begin(), figures.end(),
                                  [&](const ComparedFigure& f) { return key == f.key; });
  EXPECT_NE(found, figures.end()) << key;
  return found == figures.end() ? ComparedFigure{} : *found;
}

void expect_published(const char* model, double flops, double raw_flops, double kv,
                      double bf16_kv) {
  SCOPED_TRACE(model);
  const auto figures = compared_figures(comparison(model, "deepseek-v3.2", {.context = 1 << 20}));
  EXPECT_NEAR(figure(figures, "decode_fp8_equivalent_flops").ratio(), flops, 5e-5);
  EXPECT_NEAR(figure(figures, "decode_flops").ratio(), raw_flops, 5e-5);
  EXPECT_NEAR(figure(figures, "released_growing_state_bytes").ratio(), kv, 5e-5);
  EXPECT_NEAR(figure(figures, "growing_state_bytes").ratio(), bf16_kv, 5e-5);
}

// The report's rounded claims at 1M tokens, and the same in raw FLOPs and bf16.
TEST(Comparison, GivesThePublishedSharesOfV32) {
  expect_published("deepseek-v4-pro", 0.2655, 0.2610, 0.1047, 0.1147);    // 27 % and 10 %
  expect_published("deepseek-v4-flash", 0.1008, 0.1210, 0.0731, 0.0801);  // 10 % and 7 %
}

TEST(Comparison, ValuesAreThoseOfThePlans) {
  for (const char* model : {"deepseek-v4-pro", "deepseek-v4-flash"}) {
    const Json golden = cost_golden(model), other = cost_golden("deepseek-v3.2");
    for (const char* context : {"4096", "1048576"}) {
      SCOPED_TRACE(std::string(model) + " " + context);
      const auto figures =
          compared_figures(comparison(model, "deepseek-v3.2", {.context = std::stoll(context)}));
      const auto expect = [&](const char* key, const auto& value) {
        EXPECT_EQ(figure(figures, key).model, value(golden)) << key;
        EXPECT_EQ(figure(figures, key).against, value(other)) << key;
      };
      const auto plain = [&](const char* name) {
        return [=](const Json& g) { return number(*g.find("contexts")->find(context), name); };
      };
      const auto released = [&](const char* name) {
        return [=](const Json& g) {
          return number(*g.find("released")->find("contexts")->find(context), name);
        };
      };
      expect("decode_flops", plain("decode_flops"));
      expect("state_bytes", plain("kv_bf16"));
      expect("decode_fp8_equivalent_flops", released("fp8_equivalent_flops"));
      expect("growing_state_bytes", released("growing_bf16"));
      expect("released_growing_state_bytes", released("growing"));
      expect("released_state_bytes", released("state"));
      expect("released_decode_read_cache_bytes", released("cache_read"));
      expect("state_bytes_per_token", [](const Json& g) { return number(g, "growth_per_token"); });
      expect("released_state_bytes_per_token",
             [](const Json& g) { return number(*g.find("released"), "growth_per_token"); });
      EXPECT_EQ(figure(figures, "decode_read_bytes").model,
                number(*golden.find("contexts")->find(context)->find("decode_read"), "1"));
    }
  }
}

TEST(Comparison, AModelAgainstItselfIsTheSameButForItsEdits) {
  for (const ComparedFigure& f :
       compared_figures(comparison("gemma-4-E2B", "gemma-4-E2B", {.context = 4096})))
    EXPECT_EQ(f.ratio(), 1.0) << f.key;
  const auto figures = compared_figures(
      comparison("gemma-4-E2B", "gemma-4-E2B", {.context = 131072, .what_if = {"no-kv-sharing"}}));
  EXPECT_NEAR(figure(figures, "state_bytes").ratio(), 7.0 / 3, 1e-12);
}

TEST(Comparison, ReportNamesEveryConvention) {
  const Comparison c = comparison("deepseek-v4-pro", "deepseek-v3.2", {.context = 1 << 20});
  const std::string text = comparison_report(c);
  for (const ComparedFigure& f : compared_figures(c)) EXPECT_THAT(text, HasSubstr(f.convention));
  EXPECT_THAT(text, HasSubstr("deepseek-v4-pro against deepseek-v3.2\ncontext 1M"));
  EXPECT_THAT(text, HasSubstr("beyond the 163,840 positions deepseek-v3.2 was made for"));
  EXPECT_THAT(text, HasSubstr("26.55 %"));
  EXPECT_THAT(text, HasSubstr("10.47 %"));
  EXPECT_THAT(text, HasSubstr("5,031.4375 B"));
  EXPECT_THAT(comparison_report(comparison("deepseek-v4-pro", "deepseek-v3.2", {.context = 4096})),
              Not(HasSubstr("beyond")));
}

// At one token a compressed cache holds no entry yet: its share of something, or something's share
// of it, is no number.
TEST(Comparison, NothingHasNoShare) {
  for (const auto& [model, against] :
       {std::pair{"deepseek-v4-pro", "gemma-4-E2B"}, std::pair{"gemma-4-E2B", "deepseek-v4-pro"}}) {
    const Comparison c = comparison(model, against, {.context = 1});
    const std::string report = comparison_report(c), json = comparison_json(c).dump();
    EXPECT_THAT(report, HasSubstr(" - "));
    for (const std::string& text : {report, json}) {
      EXPECT_THAT(text, Not(HasSubstr("inf "))) << text;
      EXPECT_THAT(text, Not(HasSubstr("infx"))) << text;
      EXPECT_THAT(text, Not(HasSubstr("nan"))) << text;
    }
  }
}

TEST(Comparison, JsonHasTheStableKeys) {
  const Json json = comparison_json(comparison("deepseek-v4-flash", "deepseek-v3.2",
                                               {.context = 1 << 20, .what_if = {"no-top-k"}}));
  std::vector<std::string> keys, figures;
  for (const auto& [key, value] : *json.as_object()) keys.push_back(key);
  EXPECT_THAT(keys, testing::UnorderedElementsAre("model", "against", "context", "batch", "weights",
                                                  "against_weights", "kv", "what_if", "figures"));
  for (const auto& [key, value] : *json.find("figures")->as_object()) {
    figures.push_back(key);
    std::vector<std::string> parts;
    for (const auto& [part, unused] : *value.as_object()) parts.push_back(part);
    EXPECT_THAT(parts, testing::UnorderedElementsAre("model", "against", "ratio", "convention"))
        << key;
  }
  EXPECT_THAT(figures, testing::UnorderedElementsAre(
                           "decode_flops", "decode_fp8_equivalent_flops", "growing_state_bytes",
                           "released_growing_state_bytes", "state_bytes", "released_state_bytes",
                           "state_bytes_per_token", "released_state_bytes_per_token",
                           "decode_read_cache_bytes", "released_decode_read_cache_bytes",
                           "decode_read_bytes"));
  EXPECT_EQ(integer(*json.find("figures")->find("released_growing_state_bytes"), "against"),
            50402951168u);
  EXPECT_EQ(number(*json.find("figures")->find("released_state_bytes_per_token"), "model"),
            3514.25);
}

TEST(Comparison, AWrongRequestIsAnError) {
  EXPECT_FALSE(compare(described("gemma-4-E2B"), described("gemma-4-E4B"), {.context = 0}).ok());
  EXPECT_FALSE(
      compare(described("gemma-4-E2B"), described("gemma-4-E4B"), {.what_if = {"no-such"}}).ok());
}

}  // namespace
}  // namespace longhaul
