#include "text/tokenizer/regex.h"

#include <gtest/gtest.h>

#include <string>

namespace longhaul {
namespace {

std::optional<MatchRange> find(std::string_view pattern, std::string_view text) {
  const auto regex = Regex::compile(pattern, "test");
  EXPECT_TRUE(regex.ok()) << regex.error().text();
  RegexScratch scratch;
  const auto match = regex->find(text, 0, scratch);
  EXPECT_TRUE(match.ok());
  return *match;
}

TEST(Regex, MeansWhatItMeansToOniguruma) {
  EXPECT_FALSE(find(R"(\s)", "\u180e"));   // PCRE2's own \s matches it
  EXPECT_TRUE(find(R"(^\w$)", "\u0301"));  // marks are word characters
  EXPECT_TRUE(find(R"(^\w$)", "\u00b2"));
  EXPECT_FALSE(find(R"(\p{Han})", "\u3001"));  // script, not script extensions
  EXPECT_TRUE(find(R"(^\p{Letter}$)", "é"));
  EXPECT_FALSE(find(R"(\h)", " "));
  EXPECT_TRUE(find(R"(^\h{,2}$)", "fF"));
  EXPECT_TRUE(find(R"(^\u00e9\x{4e2d}$)", "é中"));
  EXPECT_TRUE(find("b$", "ab\ncd"));  // anchors are per line
  EXPECT_FALSE(find(R"(\v)", "\n"));
}

TEST(Regex, RefusesWhatItWouldMisread) {
  for (const char* pattern :
       {"[a&&b]", "[a[b]]", "[[:alpha:]]", R"((a)\1)", "(?m:a)", "(?<n>a)", R"(\p{Alpha})", R"(\X)",
        "a{1,2}+", R"(\)", "[a", R"(\p{L)", R"(\xff)", R"(\K)"}) {
    const auto translated = translate_regex(pattern);
    ASSERT_FALSE(translated.ok()) << pattern << " became " << *translated;
    EXPECT_EQ(translated.error().code, ErrorCode::kUnsupported);
  }
}

TEST(Regex, AMatchThatNeverEndsIsAnError) {
  const auto regex = Regex::compile("(a+)+[bd]", "test.json: field");
  ASSERT_TRUE(regex.ok());
  RegexScratch scratch;
  const auto match = regex->find(std::string(40, 'a') + "c", 0, scratch);
  ASSERT_FALSE(match.ok());
  EXPECT_NE(match.error().text().find("test.json: field"), std::string::npos);
}

TEST(Regex, LongRunsStayWithinTheLimits) {
  const std::string text(size_t{12} << 20, ' ');
  const auto match = find(R"(\s*[\r\n]+|\s+(?!\S)|\s+)", text);
  ASSERT_TRUE(match);
  EXPECT_EQ(match->end, text.size());
}

}  // namespace
}  // namespace longhaul
