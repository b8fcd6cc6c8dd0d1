// Block formats: what a panel of quantised weights looks like. Quantiser, kernels, loader and planner all go by this file.
//
// A panel (16 outputs, panels.h) is a header, then one block after another, each of 128 inputs of all 16 outputs; K is padded with
// zeros to whole blocks. A group is 32 inputs of a block: what shares a scale, in the weights and in the inputs they meet.
//
//            header            block                              weight of output o and input i, in group g
//   kQ8      16 f32 factors    4 x 16 scale bytes, 2048 codes     factor[o] * scale(byte[g][o]) * (code - 128)
//   kQ4      16 f32 factors    4 x 16 scale bytes, 1024 bytes     factor[o] * scale(byte[g][o]) * kQ4Levels[code]
//   kF4      16 f32 factors    4 x 16 scale bytes, 1024 bytes     factor[o] * scale(byte[g][o]) * kF4Levels[code]
//   kF8E4M3  a f32 a block     2048 codes                         header[block] * e4m3(code)
//
// kF4 is MXFP4 (OCP Microscaling Formats 1.0): E2M1 codes, E8M0 scales. Its levels are doubled to be integers, its factors are 1/2.
// kF8E4M3 is E4M3 without infinities, scaled by squares of 128 x 128: the 16 outputs of a panel lie in one square.
// The first three hold integers of 8 bits, of which exact sums are made with inputs quantised to 8 bits, group by group.
//
// Codes stand in lines of 64 bytes, output by output, so that a line is what one dot instruction (or two) eats:
//   8-bit integers   4 inputs a line: byte  (i / 4) * 64 + o * 4 + i % 4  of the codes
//   4-bit codes      8 inputs a line: byte  (i / 8) * 64 + o * 4 + i % 4, in the low half where i % 8 < 4
//   E4M3             4 inputs a line: byte  (i / 4) * 64 + o / 4 * 16 + i % 4 / 2 * 8 + o % 4 * 2 + i % 2
// The last order turns into pairs of bf16 by interleaving low and high bytes within each 16 of them.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/checked_math.h"
#include "tensor/dtype.h"

namespace longhaul {

inline constexpr int64_t kPanel = 16;  // outputs of a panel
inline constexpr int64_t kQuantGroup = 32;
inline constexpr int64_t kQuantBlock = 128;
inline constexpr int64_t kBlockGroups = kQuantBlock / kQuantGroup;

// The codes of integers are 0 .. 255 and mean 128 less: the dot instruction multiplies unsigned by signed bytes.
inline constexpr int kCodeOffset = 128;

// Found by Lloyd's method on groups of 32 normal numbers with the best scale for each, 0 held fixed: squared errors are 20 % below
// those of 16 even steps (30 % where tails are as heavy as Laplace's). tools/quant_levels.py. Ascending.
inline constexpr std::array<int8_t, 16> kQ4Levels = {-127, -100, -80, -63, -49, -35, -23, -11, 0, 13, 26, 39, 54, 70, 91, 120};
inline constexpr std::array<int8_t, 16> kF4Levels = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

inline constexpr bool is_integer_format(DType d) { return d == DType::kQ8 || d == DType::kQ4 || d == DType::kF4; }
inline constexpr bool is_block_format(DType d) { return is_integer_format(d) || d == DType::kF8E4M3; }

inline constexpr int64_t blocks_of(int64_t k) { return ceil_div(k, kQuantBlock); }

inline constexpr int64_t panel_header_bytes(DType d, int64_t k) {
  constexpr int64_t kLineBytes = 64;
  return is_integer_format(d) ? kLineBytes : round_up(blocks_of(k) * static_cast<int64_t>(sizeof(float)), kLineBytes);
}
inline constexpr int64_t block_scale_bytes(DType d) { return is_integer_format(d) ? kBlockGroups * kPanel : 0; }
inline constexpr int64_t block_bytes(DType d) {
  return block_scale_bytes(d) + kPanel * kQuantBlock / (d == DType::kQ4 || d == DType::kF4 ? 2 : 1);
}
inline constexpr int64_t block_panel_bytes(DType d, int64_t k) { return panel_header_bytes(d, k) + blocks_of(k) * block_bytes(d); }

// A scale byte is the top of a f32's bits: E8M0 the exponent, else 4 bits of exponent and 4 of mantissa at the low end of f32's range
// (2^-126 .. 2^-111), where 0 is zero and 1 .. 15 do not occur. The factors bring the range back to where the weights are.
inline constexpr int scale_shift(DType d) { return d == DType::kF4 ? 23 : 19; }
inline float scale_of(DType d, uint8_t byte) { return std::bit_cast<float>(static_cast<uint32_t>(byte) << scale_shift(d)); }
inline constexpr uint8_t kLeastScale = 16;

inline constexpr int64_t code_at(DType d, int64_t o, int64_t i) {  // byte within the codes of a block
  if (d == DType::kF8E4M3) return i / 4 * 64 + o / 4 * 16 + i % 4 / 2 * 8 + o % 4 * 2 + i % 2;
  return i / (d == DType::kQ8 ? 4 : 8) * 64 + o * 4 + i % 4;
}

// 4 bits of exponent (bias 7) and 3 of mantissa; 0x7f and 0xff are NaN. Every value is a bf16.
inline float e4m3_to_f32(uint8_t code) {
  const uint32_t magnitude = code & 0x7fu, sign = static_cast<uint32_t>(code & 0x80u) << 24;
  if (magnitude == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000u);
  const float value = magnitude < 8 ? static_cast<float>(magnitude) * 0x1p-9f : std::bit_cast<float>((magnitude << 20) + (120u << 23));
  return sign != 0 ? -value : value;
}

// A row of inputs for the integer formats: 128 of them to 8 bits, each group with its scale. `correction` is what takes the offset
// of the codes out of a group's sum: -kCodeOffset times the sum of its input codes.
struct InputBlock {
  std::array<int8_t, kQuantBlock> codes;  // -127 .. 127
  std::array<float, kBlockGroups> scale;  // input = scale * code
  std::array<int32_t, kBlockGroups> correction;
};
static_assert(sizeof(InputBlock) == 160);

// A group of inputs all smaller than this becomes zeros: 127 / x would leave f32's range.
inline constexpr float kLeastInput = 0x1p-100f;

}  // namespace longhaul
