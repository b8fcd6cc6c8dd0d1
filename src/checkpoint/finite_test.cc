#include "checkpoint/finite.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <vector>

#include "base/numbers.h"

namespace longhaul {
namespace {

template <class Bits>
std::optional<int64_t> first(DType dtype, std::vector<Bits> bits) {
  return first_not_finite(dtype, reinterpret_cast<const std::byte*>(bits.data()),
                          static_cast<int64_t>(bits.size()));
}

TEST(Finite, FindsWhatIsInfiniteOrNoNumber) {
  EXPECT_EQ(first<uint16_t>(DType::kBF16, {0x3f80, 0x7f7f, 0xff7f, 0x0001}), std::nullopt);
  EXPECT_EQ(first<uint16_t>(DType::kBF16, {0x3f80, 0x7f80}), 1);
  EXPECT_EQ(first<uint16_t>(DType::kBF16, {0xff80}), 0);
  EXPECT_EQ(first<uint16_t>(DType::kBF16, {0x3f80, 0x3f80, 0x7fc0}), 2);
  EXPECT_EQ(first<uint16_t>(DType::kF16, {0x7bff, 0xfbff, 0x7f00}), 2);
  EXPECT_EQ(first<uint16_t>(DType::kF16, {0x7c00}), 0);
  EXPECT_EQ(first<uint32_t>(DType::kF32, {0x7f7fffffu, 0x7fc00000u}), 1);
  EXPECT_EQ(first<uint32_t>(DType::kF32, {}), std::nullopt);
}

TEST(Finite, FindsTheFirstOfManyWhereverItStands) {
  constexpr int64_t kN = 3 * 4096 + 17;
  for (const int64_t at : {int64_t{0}, int64_t{4095}, int64_t{4096}, kN - 1}) {
    std::vector<float> floats(kN, 1.0f);
    floats[static_cast<size_t>(at)] = std::numeric_limits<float>::infinity();
    floats.back() = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(first_not_finite(DType::kF32, reinterpret_cast<const std::byte*>(floats.data()), kN),
              at);
  }
}

}  // namespace
}  // namespace longhaul
