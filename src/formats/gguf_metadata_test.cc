#include "formats/gguf_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "formats/gguf_testing.h"

namespace longhaul {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

// A file of one key, which stays as long as the value that is asked of it.
class GgufMetadataTest : public ::testing::Test {
 protected:
  const GgufValue& value(const std::string& entry) {
    text_ = GgufTestFile{.values = {entry}}.text();
    auto parsed = parse_gguf_header(std::as_bytes(std::span(text_)), "m");
    EXPECT_TRUE(parsed.ok()) << parsed.error().text();
    metadata_ = std::move(parsed->metadata);
    return *metadata_.find("k");
  }
  template <class T>
  const GgufValue& value(GgufValueType type, T number) {
    return value(gguf_value("k", type, number));
  }
  const GgufValue& array(GgufValueType type, uint64_t size, std::string_view elements) {
    return value(raw_array("k", static_cast<uint32_t>(type), size, elements));
  }

 private:
  std::string text_;
  GgufMetadata metadata_;
};

TEST_F(GgufMetadataTest, ReadsAnIntegerOfAnyWidth) {
  EXPECT_THAT(value(GgufValueType::kU8, uint8_t{255}).as_int(), Optional(255));
  EXPECT_THAT(value(GgufValueType::kI8, int8_t{-128}).as_int(), Optional(-128));
  EXPECT_THAT(value(GgufValueType::kU16, uint16_t{65535}).as_int(), Optional(65535));
  EXPECT_THAT(value(GgufValueType::kI16, int16_t{-32768}).as_int(), Optional(-32768));
  EXPECT_THAT(value(GgufValueType::kU32, 0xffffffffu).as_int(), Optional(0xffffffffLL));
  EXPECT_THAT(value(GgufValueType::kI32, -1).as_int(), Optional(-1));
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  EXPECT_THAT(value(GgufValueType::kI64, -kMax - 1).as_int(), Optional(-kMax - 1));
  EXPECT_THAT(value(GgufValueType::kU64, uint64_t{kMax}).as_int(), Optional(kMax));
  EXPECT_EQ(value(GgufValueType::kU64, uint64_t{1} << 63).as_int(), std::nullopt);
}

TEST_F(GgufMetadataTest, ReadsAFloatOfAnyWidth) {
  EXPECT_THAT(value(GgufValueType::kF32, 0.1f).as_float(), Optional(double{0.1f}));
  EXPECT_THAT(value(GgufValueType::kF64, 0.1).as_float(), Optional(0.1));
  EXPECT_TRUE(std::isnan(*value(GgufValueType::kF32, std::nanf("")).as_float()));
}

TEST_F(GgufMetadataTest, ReadsABoolThatStandsAsAnInteger) {
  EXPECT_THAT(value(GgufValueType::kBool, char{1}).as_bool(), Optional(true));
  EXPECT_THAT(value(GgufValueType::kBool, char{0}).as_bool(), Optional(false));
  EXPECT_THAT(value(GgufValueType::kU8, uint8_t{1}).as_bool(), Optional(true));
  EXPECT_THAT(value(GgufValueType::kI64, int64_t{0}).as_bool(), Optional(false));
  EXPECT_EQ(value(GgufValueType::kU8, uint8_t{2}).as_bool(), std::nullopt);
  EXPECT_EQ(value(GgufValueType::kI32, -1).as_bool(), std::nullopt);
}

TEST_F(GgufMetadataTest, GivesNothingForAnotherKind) {
  EXPECT_EQ(value(GgufValueType::kF32, 2.0f).as_int(), std::nullopt);
  EXPECT_EQ(value(GgufValueType::kF64, 1.0).as_bool(), std::nullopt);
  EXPECT_EQ(value(GgufValueType::kBool, char{1}).as_int(), std::nullopt);
  EXPECT_EQ(value(GgufValueType::kU32, 2u).as_float(), std::nullopt);
  EXPECT_EQ(value(GgufValueType::kU32, 2u).as_string(), std::nullopt);
  EXPECT_EQ(value(GgufValueType::kU32, 2u).as_ints(), std::nullopt);
  EXPECT_EQ(value(gguf_text("k", "2")).as_int(), std::nullopt);
  EXPECT_EQ(value(gguf_text("k", "2")).as_float(), std::nullopt);
  EXPECT_EQ(value(gguf_text("k", "")).as_bool(), std::nullopt);
  EXPECT_EQ(value(gguf_text("k", "2")).as_strings(), std::nullopt);
  EXPECT_EQ(array(GgufValueType::kU32, 1, raw(2u)).as_int(), std::nullopt);
  EXPECT_EQ(array(GgufValueType::kString, 1, raw_string("a")).as_string(), std::nullopt);
}

// ggml-org/llama.cpp #24888, #26690: arrays that were read with a wider stride than they have.
TEST_F(GgufMetadataTest, ReadsAnArrayByTheTypeOfItsElements) {
  EXPECT_THAT(*array(GgufValueType::kU8, 3, "\1\2\xff").as_ints(), ElementsAre(1, 2, 255));
  EXPECT_THAT(*array(GgufValueType::kI64, 2, raw(int64_t{-1}) + raw(int64_t{7})).as_ints(),
              ElementsAre(-1, 7));
  EXPECT_EQ(array(GgufValueType::kU8, 3, "\1\2\3").as_floats(), std::nullopt);
  EXPECT_EQ(array(GgufValueType::kU64, 2, raw(uint64_t{1}) + raw(~uint64_t{0})).as_ints(),
            std::nullopt);
  EXPECT_THAT(*array(GgufValueType::kF32, 2, raw(1.5f) + raw(-2.0f)).as_floats(),
              ElementsAre(1.5, -2.0));
  EXPECT_THAT(*array(GgufValueType::kF64, 1, raw(0.1)).as_floats(), ElementsAre(0.1));
  EXPECT_THAT(*array(GgufValueType::kBool, 2, std::string_view("\1\0", 2)).as_bools(),
              ElementsAre(true, false));
  EXPECT_THAT(*array(GgufValueType::kU32, 2, raw(1u) + raw(0u)).as_bools(),
              ElementsAre(true, false));
  EXPECT_EQ(array(GgufValueType::kU32, 2, raw(1u) + raw(2u)).as_bools(), std::nullopt);
}

TEST_F(GgufMetadataTest, ReadsStringsInPlace) {
  EXPECT_THAT(value(gguf_text("k", "\xe2\x96\x81of")).as_string(),
              Optional(std::string_view("\xe2\x96\x81of")));
  EXPECT_THAT(value(gguf_text("k", "")).as_string(), Optional(std::string_view()));
  const GgufValue& strings = array(
      GgufValueType::kString, 4,
      raw_string("a") + raw_string("") + raw_string(std::string_view("b\0c", 3)) + raw_string(""));
  EXPECT_THAT(*strings.as_strings(), ElementsAre("a", "", std::string_view("b\0c", 3), ""));
  EXPECT_EQ(strings.size(), 4u);
  EXPECT_THAT(*array(GgufValueType::kString, 0, "").as_strings(), ElementsAre());
  EXPECT_EQ(array(GgufValueType::kString, 0, "").as_ints(), std::nullopt);
}

TEST_F(GgufMetadataTest, NamesItsType) {
  EXPECT_EQ(value(GgufValueType::kU16, uint16_t{1}).type_name(), "u16");
  EXPECT_EQ(array(GgufValueType::kString, 0, "").type_name(), "array of string");
}

TEST(GgufMetadata, FindsKeysWhateverTheirOrder) {
  GgufTestFile file;
  for (const char* key : {"c", "a", "d", "b"}) file.values.push_back(gguf_text(key, key));
  const std::string text = file.text();
  const auto parsed = parse_gguf_header(std::as_bytes(std::span(text)), "m");
  ASSERT_TRUE(parsed.ok()) << parsed.error().text();
  EXPECT_EQ(parsed->metadata.values.size(), 4u);
  for (const char* key : {"a", "b", "c", "d"})
    EXPECT_THAT(parsed->metadata.find(key)->as_string(), Optional(std::string_view(key)));
  EXPECT_EQ(parsed->metadata.find("e"), nullptr);
  EXPECT_EQ(parsed->metadata.find(""), nullptr);
}

}  // namespace
}  // namespace longhaul
