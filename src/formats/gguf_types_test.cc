#include "formats/gguf_types.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace longhaul {
namespace {

TEST(GgufTypes, AreListedOnceByNumber) {
  for (size_t i = 0; i < gguf_types().size(); ++i) {
    const GgufTypeInfo& row = gguf_types()[i];
    EXPECT_TRUE(i == 0 || gguf_types()[i - 1].type < row.type);
    EXPECT_EQ(&info_of(row.type), &row);
    const auto type = gguf_type_of(static_cast<uint32_t>(row.type), "m");
    ASSERT_TRUE(type.ok()) << type.error().text();
    EXPECT_EQ(*type, row.type);
  }
}

TEST(GgufTypes, CountBytesInBlocks) {
  const int64_t shape[] = {3, 512};
  EXPECT_EQ(*checked_nbytes(GgufType::kF32, shape, "m"), 3u * 512 * 4);
  EXPECT_EQ(*checked_nbytes(GgufType::kQ4_0, shape, "m"), 3u * 16 * 18);
  EXPECT_EQ(*checked_nbytes(GgufType::kQ4_K, shape, "m"), 3u * 2 * 144);
  EXPECT_EQ(*checked_nbytes(GgufType::kNVFP4, shape, "m"), 3u * 8 * 36);
}

TEST(GgufTypes, AreTheDtypesOfTheirNames) {
  for (const GgufTypeInfo& row : gguf_types()) {
    const auto dtype = dtype_of(row.type);
    const bool is_read = row.type != GgufType::kTQ1_0 && row.type != GgufType::kTQ2_0;
    ASSERT_EQ(dtype.has_value(), is_read) << row.name;
    if (!is_read) continue;
    EXPECT_STREQ(to_string(*dtype), row.name);
    EXPECT_EQ(block_of(*dtype).elements, row.block_elements) << row.name;
    EXPECT_EQ(block_of(*dtype).bytes, row.block_bytes) << row.name;
    EXPECT_EQ(is_quantised(*dtype), row.is_quantised()) << row.name;
  }
}

}  // namespace
}  // namespace longhaul
