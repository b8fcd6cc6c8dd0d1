#include "base/json.h"

#include <gtest/gtest.h>

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

TEST(Json, RefusesDuplicateKeys) {
  const auto j = parse_json(R"({"a": 1, "a": 2})", "config.json");
  ASSERT_FALSE(j.ok());
  EXPECT_EQ(j.error().code, ErrorCode::kCorruptFile);
  EXPECT_NE(j.error().message.find("config.json: key 'a' stands twice"), std::string::npos);
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
  EXPECT_NE(j.error().message.find("at byte 7"), std::string::npos) << j.error().message;
}

TEST(Json, DoesNotStopAtANulByte) {
  using std::string_literals::operator""s;
  EXPECT_FALSE(parse_json("{}\0{\"a\":"s, "t").ok());
  EXPECT_FALSE(parse_json("{}\0"s, "t").ok());
}

TEST(Json, KeepsMessagesShortAndPrintable) {
  const auto j = parse_json("{\"a\": \"" + std::string(10000, 'x'), "t");
  ASSERT_FALSE(j.ok());
  EXPECT_LT(j.error().message.size(), 500u);
  EXPECT_NE(parse_json(R"({"\u001b": 1, "\u001b": 2})", "t").error().message.find("'\\x1b'"), std::string::npos);
}

}  // namespace
}  // namespace longhaul
