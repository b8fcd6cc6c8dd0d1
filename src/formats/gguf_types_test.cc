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

}  // namespace
}  // namespace longhaul
