#include "longhaul/units.h"

#include <gtest/gtest.h>

namespace longhaul {
namespace {

TEST(Human, GroupsDigits) {
  EXPECT_EQ(format_exact(0), "0");
  EXPECT_EQ(format_exact(999), "999");
  EXPECT_EQ(format_exact(1000), "1,000");
  EXPECT_EQ(format_exact(811597824), "811,597,824");
}

TEST(Human, BytesInBinaryUnits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.00 KiB");
  EXPECT_EQ(format_bytes(811597824), "774.0 MiB");
  EXPECT_EQ(format_bytes(1024ull * 1024 * 1024 - 1), "1.00 GiB");  // never "1024.0 MiB"
}

TEST(Human, CountsAndFlops) {
  EXPECT_EQ(format_count(35), "35");
  EXPECT_EQ(format_count(4628569344.0), "4.63 B");
  EXPECT_EQ(format_si(19.71e9, "FLOP"), "19.7 GFLOP");
  EXPECT_EQ(format_si(0.5, "FLOP"), "0.50 FLOP");
}

TEST(Human, TokensAreShortWhereWhole) {
  EXPECT_EQ(format_tokens(131072), "128K");
  EXPECT_EQ(format_tokens(1 << 20), "1M");
  EXPECT_EQ(format_tokens(5000), "5,000");
  EXPECT_EQ(format_tokens(0), "0");
}

TEST(Human, ParsesCounts) {
  EXPECT_EQ(*parse_count("4096"), 4096);
  EXPECT_EQ(*parse_count("0"), 0);
  EXPECT_EQ(*parse_count("128k"), 131072);
  EXPECT_EQ(*parse_count("128K"), 131072);
  EXPECT_EQ(*parse_count("1M"), 1 << 20);
  EXPECT_EQ(*parse_count("1.5k"), 1536);
  EXPECT_EQ(*parse_count("9223372036854775807"), INT64_MAX);
}

TEST(Human, RefusesWhatIsNoCount) {
  for (const char* text : {"", "k", "-1", "+1", "1e3", "1.3k", "12 3", ".", "1.2.3", "nan", "inf",
                           "0x10", "4kk", "1GB", "9223372036854775808", "99999999999999999999",
                           "9007199254740992k", "9999999999.5g"}) {
    EXPECT_FALSE(parse_count(text).ok()) << text;
  }
}

// CLI11 #801, cligen #35: a number that does not fit was taken for the largest that does.
TEST(Human, TellsWhatIsTooLarge) {
  for (const char* text :
       {"9223372036854775808", "99999999999999999999", "9007199254740992k", "9999999999.5g"}) {
    EXPECT_NE(
        parse_count(text).error().text().find("is too large: expected at most 9223372036854775807"),
        std::string::npos)
        << text;
  }
  for (const char* text : {"99999999TiB", "99999999999999999999", "16777216TiB", "99999999.5tb"}) {
    EXPECT_NE(parse_bytes(text).error().text().find(
                  "is too large: expected at most 9223372036854775807 bytes"),
              std::string::npos)
        << text;
  }
  EXPECT_LT(parse_count(std::string(100000, '9')).error().text().size(), 200u);
}

TEST(Human, ParsesBytes) {
  EXPECT_EQ(*parse_bytes("1000"), 1000u);
  EXPECT_EQ(*parse_bytes("24GiB"), 24ull << 30);
  EXPECT_EQ(*parse_bytes("24 gib"), 24ull << 30);
  EXPECT_EQ(*parse_bytes("24G"), 24ull << 30);
  EXPECT_EQ(*parse_bytes("1.5GB"), 1500000000u);
  EXPECT_EQ(*parse_bytes("1TB"), 1000000000000u);
  EXPECT_EQ(*parse_bytes("512kb"), 512000u);
  EXPECT_EQ(*parse_bytes("7b"), 7u);
  for (const char* text : {"", "GiB", "-1GiB", "24XB", "1e9", "16777216TiB"})
    EXPECT_FALSE(parse_bytes(text).ok()) << text;
}

}  // namespace
}  // namespace longhaul
