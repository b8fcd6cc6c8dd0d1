#include "base/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace longhaul {
namespace {

TEST(Json, KeepsOrderAndTypes) {
  const auto j = parse_json(R"({"b": 1, "a": [true, null, 1.5, "x"]})", "t");
  ASSERT_TRUE(j.ok());
  EXPECT_EQ(j->dump(), R"({"b":1,"a":[true,null,1.5,"x"]})");
  EXPECT_EQ(*j->find("b")->as_int(), 1);
  EXPECT_EQ(j->find("c"), nullptr);
}

// Python's integers have no bounds, and a number that nobody computes with is to stay as it was
// written.
TEST(Json, KeepsNumbersThatNoBinaryTypeHoldsAsText) {
  for (const char* number : {"0",
                             "-0",
                             "-0.0",
                             "1.0",
                             "0.1",
                             "0.1000",
                             "1E5",
                             "1e+20",
                             "1e-07",
                             "1e400",
                             "-1e400",
                             "1e-400",
                             "9007199254740993",
                             "9223372036854775807",
                             "9223372036854775808",
                             "-9223372036854775808",
                             "-9223372036854775809",
                             "18446744073709551615",
                             "18446744073709551616",
                             "123456789012345678901234567890",
                             "0.30000000000000004441"}) {
    const auto j = parse_json(std::string("[") + number + "]", "t");
    ASSERT_TRUE(j.ok()) << number << ": " << j.error().text();
    EXPECT_EQ(j->dump(), std::string("[") + number + "]");
    EXPECT_TRUE((*j->as_array())[0].is_number()) << number;
  }
  const std::string long_integer = "-" + std::string(4000, '9');
  EXPECT_EQ(parse_json(long_integer, "t")->dump(), long_integer);
  EXPECT_EQ(Json(uint64_t{18446744073709551615u}).dump(), "18446744073709551615");
}

TEST(Json, ReadsTheNearestDoubleOfANumberThatItKeepsAsText) {
  const auto number = [](std::string_view text) { return parse_json(text, "t")->number(); };
  EXPECT_EQ(number("18446744073709551616"), 0x1p64);
  EXPECT_EQ(number("0.1000"), 0.1);
  EXPECT_EQ(number("-0"), 0.0);
  EXPECT_EQ(number("1e400"), HUGE_VAL);
  EXPECT_EQ(number("-0.001e404"), -HUGE_VAL);
  EXPECT_EQ(number("1000e-400"), 0.0);
  EXPECT_EQ(number("0." + std::string(400, '0') + "1"), 0.0);
  EXPECT_EQ(number("1" + std::string(400, '0')), HUGE_VAL);
  const auto big = parse_json("18446744073709551616", "t"), fraction = parse_json("1E2", "t");
  EXPECT_EQ(big->as_int(), nullptr);
  EXPECT_EQ(big->as_double(), nullptr);
  ASSERT_NE(big->as_written(), nullptr);
  EXPECT_TRUE(big->as_written()->is_integer);
  EXPECT_FALSE(fraction->as_written()->is_integer);
  EXPECT_STREQ(big->type_name(), "a number");
}

TEST(Json, ReadsANumberFromItsText) {
  for (const char* text : {"", "-", "+1", "01", "1.", ".5", "1e", "1e+", "0x1", "1 ", " 1", "1_0",
                           "NaN", "Infinity", "1,5", "--1"}) {
    EXPECT_FALSE(Json::parse_number(text)) << text;
  }
  EXPECT_EQ(*Json::parse_number("12")->as_int(), 12);
  EXPECT_EQ(Json::parse_number(std::string(4300, '1'))->dump(), std::string(4300, '1'));
  for (const std::string& text :
       {std::string(4301, '1'), std::string("1e4910"), std::string("-1e99999999999999999999")}) {
    EXPECT_FALSE(Json::parse_number(text)) << text;
    EXPECT_FALSE(parse_json(text, "t").ok()) << text;
  }
  EXPECT_EQ(parse_json("1e-99999999999999999999", "t")->dump(), "1e-99999999999999999999");
  EXPECT_NE(parse_json(std::string(4301, '1'), "t").error().text().find("write it as a string"),
            std::string::npos);
}

TEST(Json, DumpsInThreeLayouts) {
  const auto j = parse_json(R"({"a": [], "b": {}, "c": [1, {"d": "\u00e9\n\u0001"}]})", "t");
  EXPECT_EQ(j->dump(), R"({"a":[],"b":{},"c":[1,{"d":"é\n\u0001"}]})");
  EXPECT_EQ(j->dump_spaced(), R"({"a": [], "b": {}, "c": [1, {"d": "é\n\u0001"}]})");
  EXPECT_EQ(j->dump(2),
            "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1,\n    {\n      \"d\": "
            "\"é\\n\\u0001\"\n    }\n  ]\n}");
}

TEST(Json, RefusesDuplicateKeys) {
  const auto j = parse_json(R"({"a": 1, "a": 2})", "config.json");
  ASSERT_FALSE(j.ok());
  EXPECT_EQ(j.error().code, ErrorCode::kCorruptFile);
  EXPECT_NE(j.error().text().find("config.json: key 'a' stands twice"), std::string::npos);
}

TEST(Json, RefusesDeepNesting) {
  const std::string deep(1000, '[');
  EXPECT_FALSE(parse_json(deep, "t").ok());
  EXPECT_TRUE(parse_json(std::string(64, '[') + std::string(64, ']'), "t").ok());
  EXPECT_FALSE(parse_json(std::string(65, '[') + std::string(65, ']'), "t").ok());
}

TEST(Json, NamesTheBytePositionOfASyntaxError) {
  const auto j = parse_json(R"({"a": })", "t");
  ASSERT_FALSE(j.ok());
  EXPECT_NE(j.error().text().find("at byte 7"), std::string::npos) << j.error().text();
}

TEST(Json, DoesNotStopAtANulByte) {
  using std::string_literals::operator""s;
  EXPECT_FALSE(parse_json("{}\0{\"a\":"s, "t").ok());
  EXPECT_FALSE(parse_json("{}\0"s, "t").ok());
}

TEST(Json, KeepsMessagesShortAndPrintable) {
  const auto j = parse_json("{\"a\": \"" + std::string(10000, 'x'), "t");
  ASSERT_FALSE(j.ok());
  EXPECT_LT(j.error().text().size(), 500u);
  EXPECT_NE(parse_json(R"({"\u001b": 1, "\u001b": 2})", "t").error().text().find("'\\x1b'"),
            std::string::npos);
}

}  // namespace
}  // namespace longhaul
