// Narrow float formats as storage: values are widened to f32 to compute; 16-bit ones are rounded to
// nearest even to store.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace longhaul {

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};
// OCP 8-bit floating point (OFP8, 2023) E4M3: no infinities, all ones is NaN.
struct e4m3 {
  uint8_t bits;
};
// OCP Microscaling Formats (MX, 2023): scales 2^(bits - 127), all ones is NaN; E2M1 elements, two
// to a byte, the low half first.
struct e8m0 {
  uint8_t bits;
};

inline float to_f32(bf16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }

inline bf16 to_bf16(float x) {
  const auto u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u)
    return {static_cast<uint16_t>((u >> 16) | 0x40u)};  // keep NaN a NaN
  return {static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

inline float to_f32(f16 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t magnitude = x.bits & 0x7fffu;
  if (magnitude >= 0x7c00u)
    return std::bit_cast<float>(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  if (magnitude < 0x0400u) {  // zero and subnormals: an integer count of 2^-24
    const float value = static_cast<float>(magnitude) * 0x1p-24f;
    return sign ? -value : value;
  }
  return std::bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
}

// To nearest even; what is beyond the largest becomes infinite, and a NaN stays one.
inline f16 to_f16(float x) {
  const uint32_t sign = std::bit_cast<uint32_t>(x) >> 16 & 0x8000u;
  const float magnitude = std::abs(x);
  if (std::isnan(x)) return {static_cast<uint16_t>(sign | 0x7e00u)};
  if (magnitude >= 65520.0f) return {static_cast<uint16_t>(sign | 0x7c00u)};
  if (magnitude < 0x1p-14f) {  // subnormal: a count of 2^-24
    const auto count = static_cast<uint32_t>(std::nearbyint(magnitude * 0x1p24f));
    return {static_cast<uint16_t>(sign | count)};
  }
  const auto u = std::bit_cast<uint32_t>(magnitude);
  const uint32_t rounded = (u + 0xfffu + (u >> 13 & 1u)) >> 13;
  return {static_cast<uint16_t>(sign | (rounded - (112u << 10)))};
}

inline float to_f32(e4m3 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x80u) << 24, magnitude = x.bits & 0x7fu;
  if (magnitude == 0x7fu) return std::numeric_limits<float>::quiet_NaN();
  if (magnitude < 8u)
    return std::bit_cast<float>(std::bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-9f) |
                                sign);
  return std::bit_cast<float>(sign | ((magnitude << 20) + (120u << 23)));
}

inline float to_f32(e8m0 x) {
  if (x.bits == 0xffu) return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0f, static_cast<int>(x.bits) - 127);
}

inline float e2m1_to_f32(uint8_t code) {
  constexpr float kMagnitudes[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  return code & 8u ? -kMagnitudes[code & 7u] : kMagnitudes[code & 7u];
}

}  // namespace longhaul
