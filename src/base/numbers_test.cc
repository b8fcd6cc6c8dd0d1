// The narrow formats against their definitions, code by code.
#include "base/numbers.h"

#include <gtest/gtest.h>

namespace longhaul {
namespace {

float e4m3_value(int code) { return to_f32(e4m3{static_cast<uint8_t>(code)}); }
float e8m0_value(int code) { return to_f32(e8m0{static_cast<uint8_t>(code)}); }

// (-1)^s 2^(e - 7) (1 + m / 8), without exponent 2^-6 m / 8; no infinities, all ones is NaN.
TEST(Numbers, E4M3) {
  for (int code = 0; code < 256; ++code) {
    const int exponent = code >> 3 & 15, mantissa = code & 7;
    if ((code & 127) == 127) {
      EXPECT_TRUE(std::isnan(e4m3_value(code))) << code;
      continue;
    }
    const double magnitude = exponent == 0 ? std::ldexp(mantissa / 8.0, -6)
                                           : std::ldexp(1 + mantissa / 8.0, exponent - 7);
    EXPECT_EQ(e4m3_value(code), code < 128 ? magnitude : -magnitude) << code;
    EXPECT_EQ(std::signbit(e4m3_value(code)), code >= 128) << code;
  }
  EXPECT_EQ(e4m3_value(126), 448.0f);
  EXPECT_EQ(e4m3_value(254), -448.0f);
  EXPECT_EQ(e4m3_value(1), 0x1p-9f);
}

TEST(Numbers, E8M0) {
  EXPECT_EQ(std::bit_cast<uint32_t>(e8m0_value(0)), 0x00400000u);  // 2^-127, a subnormal
  EXPECT_EQ(e8m0_value(1), 0x1p-126f);
  EXPECT_EQ(e8m0_value(127), 1.0f);
  EXPECT_EQ(e8m0_value(128), 2.0f);
  EXPECT_EQ(e8m0_value(254), 0x1p127f);
  EXPECT_TRUE(std::isnan(e8m0_value(255)));
  for (int code = 1; code < 255; ++code)
    EXPECT_EQ(e8m0_value(code), 2.0f * e8m0_value(code - 1)) << code;
}

TEST(Numbers, E2M1) {
  const float values[] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  for (uint8_t code = 0; code < 8; ++code) {
    EXPECT_EQ(e2m1_to_f32(code), values[code]);
    EXPECT_EQ(e2m1_to_f32(code | 8u), -values[code]);
    EXPECT_TRUE(std::signbit(e2m1_to_f32(code | 8u)));
  }
}

TEST(Numbers, F16KeepsEveryValue) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const f16 x{static_cast<uint16_t>(bits)};
    if (std::isnan(to_f32(x)))
      EXPECT_TRUE(std::isnan(to_f32(to_f16(to_f32(x)))));
    else
      EXPECT_EQ(to_f16(to_f32(x)).bits, bits);
  }
}

TEST(Numbers, F16IsRoundedToNearestEven) {
  EXPECT_EQ(to_f16(1.0f + 0x1p-11f).bits, to_f16(1.0f).bits);
  EXPECT_EQ(to_f16(1.0f + 0x1.8p-10f).bits, to_f16(1.0f + 0x1p-9f).bits);
  EXPECT_EQ(to_f16(1.0f + 0x1.002p-11f).bits, to_f16(1.0f + 0x1p-10f).bits);
  EXPECT_EQ(to_f16(0x1p-25f).bits, 0u);
  EXPECT_EQ(to_f16(0x1.8p-24f).bits, 2u);
  EXPECT_EQ(to_f16(65519.0f).bits, to_f16(65504.0f).bits);
  EXPECT_EQ(to_f16(-65520.0f).bits, 0xfc00u);
}

}  // namespace
}  // namespace longhaul
