// E4M3 without infinities (OCP 8-bit floating point), scaled by squares of 128 x 128: the 16
// outputs of a panel lie in one square.
//   header  a f32 a block
//   block   2048 codes                          weight = header[block] * e4m3(code)
// Codes stand 4 inputs a line: byte  i / 4 * 64 + o / 4 * 16 + i % 4 / 2 * 8 + o % 4 * 2 + i % 2,
// which turns into pairs of bf16 by interleaving low and high bytes within each 16 of them.
#pragma once

#include <bit>

#include "kernels/codecs/codec.h"
#include "kernels/codecs/quant_blocks.h"

namespace longhaul {

struct E4m3Blocks {
  static constexpr int64_t kScaleBytes = 0;
  static constexpr PanelLayout kLayout = {
      .block_inputs = kQuantBlock,
      .block_bytes = kByteCodes,
      .header_bytes_per_block = static_cast<int64_t>(sizeof(float))};

  static constexpr int64_t code_at(int64_t o, int64_t i) {
    return i / 4 * 64 + o / 4 * 16 + i % 4 / 2 * 8 + o % 4 * 2 + i % 2;
  }
};

// 4 bits of exponent (bias 7) and 3 of mantissa; 0x7f and 0xff are NaN. Every value is a bf16.
inline float e4m3_to_f32(uint8_t code) {
  const uint32_t magnitude = code & 0x7fu, sign = static_cast<uint32_t>(code & 0x80u) << 24;
  if (magnitude == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000u);
  const float value = magnitude < 8 ? static_cast<float>(magnitude) * 0x1p-9f
                                    : std::bit_cast<float>((magnitude << 20) + (120u << 23));
  return sign != 0 ? -value : value;
}

}  // namespace longhaul
