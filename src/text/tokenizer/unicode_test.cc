#include "text/tokenizer/unicode.h"

#include <gtest/gtest.h>

#include <string>

#include "base/utf8.h"

namespace longhaul {
namespace {

TEST(Utf8, FindsTheFirstIllFormedByte) {
  EXPECT_FALSE(find_invalid_utf8("plain ascii, longer than a word, é中😀"));
  EXPECT_EQ(find_invalid_utf8("0123456789\xff"), 10u);
  EXPECT_EQ(find_invalid_utf8("é\xe4\xb8"), 2u);
  EXPECT_EQ(find_invalid_utf8("\xed\xa0\x80"), 0u);  // a surrogate
}

TEST(Utf8, RepairsEachMaximalPartAndHoldsAnUnfinishedTail) {
  std::string bytes = "a\xf0\x9f\x98x\xff\xe4\xb8", out;
  move_decoded_utf8(bytes, out, false);
  EXPECT_EQ(out, "a\uFFFDx\uFFFD");
  EXPECT_EQ(bytes, "\xe4\xb8");
  move_decoded_utf8(bytes, out, true);
  EXPECT_EQ(out, "a\uFFFDx\uFFFD\uFFFD");
  EXPECT_TRUE(bytes.empty());
}

TEST(Unicode, NormalizesToEachForm) {
  const std::string text = "e\u0301\ufb01\u1e9b\u0323";
  EXPECT_EQ(*normalize_unicode(text, UnicodeForm::kNfc), "\u00e9\ufb01\u1e9b\u0323");
  EXPECT_EQ(*normalize_unicode(text, UnicodeForm::kNfd), "e\u0301\ufb01\u017f\u0323\u0307");
  EXPECT_EQ(*normalize_unicode(text, UnicodeForm::kNfkc), "\u00e9fi\u1e69");
  EXPECT_EQ(*normalize_unicode(text, UnicodeForm::kNfkd), "e\u0301fis\u0323\u0307");
}

TEST(Unicode, LongRunsOfMarksAreNotQuadratic) {
  std::string text = "a";
  for (int i = 0; i < 300000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0323";
  const auto out = normalize_unicode(text, UnicodeForm::kNfd);
  ASSERT_TRUE(out.ok());
  EXPECT_EQ(out->size(), text.size());
  EXPECT_EQ(out->substr(1, 2), "\u0323");
}

}  // namespace
}  // namespace longhaul
