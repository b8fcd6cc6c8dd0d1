#include "kernels/kv/row_coding.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/walsh_hadamard.h"

namespace longhaul {
namespace {

constexpr int64_t kFp8Group = 64;
constexpr float kMaxE4M3 = 448.0f, kMaxE2M1 = 6.0f;

float largest(const float* x, int64_t n) {
  float most = 0.0f;
  for (int64_t i = 0; i < n; ++i)
    most = std::max(most, std::abs(x[i]));  // what is no number is passed over
  return std::min(most, 0x1p126f);
}

// The byte of the least power of two that is not below ratio.
uint8_t scale_byte(float ratio) {
  int exponent;
  // ratio = mantissa 2^exponent, mantissa in [1/2, 1)
  const float mantissa = std::frexp(ratio, &exponent);
  return static_cast<uint8_t>(std::clamp(exponent - (mantissa == 0.5f ? 1 : 0) + 127, 0, 254));
}

// The nearest E4M3 code of a magnitude up to 448: its step is 1/8 of its power of two, at least
// 2^-9.
uint8_t e4m3_code(float x) {
  const float magnitude = std::min(std::abs(x), kMaxE4M3);
  if (!(magnitude >= 0.0f)) return 0;
  int exponent = 0;
  if (magnitude > 0x1p-6f) std::frexp(magnitude, &exponent);
  const int step = magnitude > 0x1p-6f ? exponent - 4 : -9;
  // Codes count the steps: rounding up to the next power of two gives that power's first code.
  const auto code = static_cast<uint8_t>(
      (step + 9) * 8 + static_cast<int>(std::nearbyint(std::ldexp(magnitude, -step))));
  return std::signbit(x) ? static_cast<uint8_t>(code | 0x80u) : code;
}

// The nearest of 0, 0.5, 1, 1.5, 2, 3, 4, 6; halfway to the even code.
uint8_t e2m1_code(float x) {
  constexpr float kBorders[] = {0.25f, 0.75f, 1.25f, 1.75f,
                                2.5f,  3.5f,  5.0f};  // between code i and i + 1
  const float magnitude = std::abs(x);
  uint8_t code = 0;
  for (uint8_t i = 0; i < 7; ++i) {
    if (magnitude > kBorders[i] || (magnitude == kBorders[i] && i % 2 == 1))
      code = static_cast<uint8_t>(i + 1);
  }
  return std::signbit(x) ? static_cast<uint8_t>(code | 8u) : code;
}

struct Fp8Parts {
  int64_t coded, scales_at;
};

Fp8Parts parts_of(const RowFormat& format, int64_t channels) {
  const int64_t coded = channels - format.bf16_tail;
  return {coded, coded + 2 * format.bf16_tail};
}

}  // namespace

void encode_fp8_row(const RowFormat& format, const float* x, int64_t channels, std::byte* out) {
  const Fp8Parts p = parts_of(format, channels);
  for (int64_t group = 0; group * kFp8Group < p.coded; ++group) {
    const int64_t begin = group * kFp8Group, n = std::min(kFp8Group, p.coded - begin);
    const uint8_t scale = scale_byte(std::max(largest(x + begin, n), 1e-4f) / kMaxE4M3);
    const float inverse = 1.0f / to_f32(e8m0{scale});
    for (int64_t i = begin; i < begin + n; ++i)
      out[i] = static_cast<std::byte>(e4m3_code(x[i] * inverse));
    out[p.scales_at + group] = static_cast<std::byte>(scale);
  }
  for (int64_t i = 0; i < format.bf16_tail; ++i) {
    const bf16 value = to_bf16(x[p.coded + i]);
    std::memcpy(out + p.coded + 2 * i, &value, sizeof value);
  }
}

void decode_fp8_row(const RowFormat& format, const std::byte* row, int64_t channels, bf16* out) {
  const Fp8Parts p = parts_of(format, channels);
  const auto* codes = reinterpret_cast<const uint8_t*>(row);
  for (int64_t group = 0; group * kFp8Group < p.coded; ++group) {
    const int64_t begin = group * kFp8Group, end = std::min(begin + kFp8Group, p.coded);
    const float scale = to_f32(e8m0{codes[p.scales_at + group]});
    // Exponent and mantissa put at the low end of f32's range, subnormal codes as subnormal floats:
    // one product brings all to their place.
    for (int64_t i = begin; i < end; ++i) {
      const uint32_t code = codes[i];
      const float value = std::bit_cast<float>((code & 0x7fu) << 20) * 0x1p120f * scale;
      out[i].bits =
          static_cast<uint16_t>((std::bit_cast<uint32_t>(value) >> 16) | (code & 0x80u) << 8);
    }
  }
  std::memcpy(out + p.coded, row + p.coded, static_cast<size_t>(2 * format.bf16_tail));
}

Fp4Group encode_fp4_group(const float* x) {
  Fp4Group g;
  g.scale = scale_byte(std::max(largest(x, kFp4Group), kMaxE2M1 * 0x1p-126f) / kMaxE2M1);
  const float inverse = 1.0f / to_f32(e8m0{g.scale});
  for (int64_t i = 0; i < kFp4Group; ++i)
    g.codes[static_cast<size_t>(i)] = e2m1_code(x[i] * inverse);
  return g;
}

void hadamard(float* x, int64_t n) {
  LH_DCHECK(std::has_single_bit(static_cast<uint64_t>(n)));
  walsh_hadamard(x, n);
  const float scale = 1.0f / std::sqrt(static_cast<float>(n));
  for (int64_t i = 0; i < n; ++i) x[i] *= scale;
}

int64_t rotated_run(int64_t n) { return std::min(n & -n, kLongestRun); }

void rotate_row(float* x, int64_t n) {
  const int64_t length = rotated_run(n);
  for (int64_t first = 0; first < n; first += length) hadamard(x + first, length);
}

}  // namespace longhaul
