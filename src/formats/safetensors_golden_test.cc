// A file written by the official Python library (safetensors 0.8.0) with
// tools/make_safetensors_golden.py, November 2026.

#include <gtest/gtest.h>

#include <string>

#include "formats/safetensors.h"

namespace longhaul {
namespace {

TEST(SafetensorsGolden, ReadsEveryTypeThatTheOfficialLibraryWrites) {
  const auto source = open_safetensors(std::string(LH_SOURCE_DIR) +
                                       "/tests/golden/safetensors/all_dtypes.safetensors");
  ASSERT_TRUE(source.ok()) << source.error().text();
  const char* names[] = {"BF16", "BOOL", "F16", "F32", "F64", "F8_E4M3", "F8_E5M2", "F8_E8M0",
                         "I16",  "I32",  "I64", "I8",  "U16", "U32",     "U64",     "U8"};
  ASSERT_EQ(source->all().size(), std::size(names));
  for (size_t t = 0; t < std::size(names); ++t) {
    const TensorInfo* tensor = source->find(names[t]);
    ASSERT_NE(tensor, nullptr) << names[t];
    EXPECT_STREQ(to_string(tensor->dtype), names[t]);
    EXPECT_EQ(tensor->shape, (std::vector<int64_t>{2, 3}));
    ASSERT_EQ(tensor->bytes.size(), 6 * bytes_per_element(tensor->dtype));
    for (size_t i = 0; i < tensor->bytes.size(); ++i) {
      const size_t expected = tensor->dtype == DType::kBool ? i % 2 : (i + 16 * t) % 256;
      ASSERT_EQ(std::to_integer<size_t>(tensor->bytes[i]), expected) << names[t] << " byte " << i;
    }
  }
}

}  // namespace
}  // namespace longhaul
