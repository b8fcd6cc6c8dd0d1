// Block formats: what a panel of quantised weights looks like. Quantiser, kernels, loader and
// planner all go by this file.
//
// A panel (16 outputs, panels.h) is a header, then one block after another, each of 128 inputs of
// all 16 outputs; K is padded with zeros to whole blocks. A group is 32 inputs of a block.
//
//            header            block                                            weight of output o
//            and input i, in group g
//   kQ8      none              16 f32 scales, 2048 codes                        scale[o] * (code -
//   128) kQ4      none              16 bf16 scales, 16 multipliers, 1024 bytes       scale[o] *
//   multiplier[o][g] * kQ4Levels[code] kF4      16 f32 factors    4 x 16 scale bytes, 1024 bytes
//   factor[o] * 2^(byte[g][o] - 127) * kF4Levels[code] kF8E4M3  a f32 a block     2048 codes
//   header[block] * e4m3(code)
//
// Multipliers are 4 bits a group, 16 bits an output: multiplier times level is an integer of 8
// bits, so a whole block has one scale, as in kQ8, and exact sums run over all of it; only kF4's
// run over groups. kF4 is MXFP4 (OCP Microscaling Formats 1.0): E2M1 codes, E8M0 scales. Its levels
// are doubled to be integers, its factors are 1/2. kF8E4M3 is E4M3 without infinities, scaled by
// squares of 128 x 128: the 16 outputs of a panel lie in one square. The first three meet inputs
// quantised to 8 bits.
//
// Codes stand in lines of 64 bytes, output by output, so that a line is what one dot instruction
// (or two) eats:
//   8-bit integers   4 inputs a line: byte  (i / 4) * 64 + o * 4 + i % 4  of the codes
//   4-bit codes      8 inputs a line: byte  (i / 8) * 64 + o * 4 + i % 4, in the low half where i %
//   8 < 4 E4M3             4 inputs a line: byte  (i / 4) * 64 + o / 4 * 16 + i % 4 / 2 * 8 + o % 4
//   * 2 + i % 2
// The last order turns into pairs of bf16 by interleaving low and high bytes within each 16 of
// them.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/checked_math.h"
#include "base/numbers.h"
#include "tensor/dtype.h"

namespace longhaul {

inline constexpr int64_t kPanel = 16;  // outputs of a panel
inline constexpr int64_t kQuantGroup = 32;
inline constexpr int64_t kQuantBlock = 128;
inline constexpr int64_t kBlockGroups = kQuantBlock / kQuantGroup;

// The codes of integers are 0 .. 255 and mean 128 less: the dot instruction multiplies unsigned by
// signed bytes.
inline constexpr int kCodeOffset = 128;

// The integers up to 10 that, with multipliers up to 12, leave the least squared error on normal
// weights, some with heavier tails and some with groups of different sizes: 3 % more than the best
// levels and scales without grids. Ascending. tools/quant_levels.py finds them.
inline constexpr std::array<int8_t, 16> kQ4Levels = {-10, -8, -6, -5, -4, -3, -2, -1,
                                                     0,   1,  2,  3,  4,  5,  7,  10};
inline constexpr int kLargestQ4Multiplier = 12;
static_assert(kLargestQ4Multiplier * kQ4Levels.back() <= 127);
inline constexpr std::array<int8_t, 16> kF4Levels = {0, 1,  2,  3,  4,  6,  8,  12,
                                                     0, -1, -2, -3, -4, -6, -8, -12};

inline constexpr bool is_integer_format(DType d) {
  return d == DType::kQ8 || d == DType::kQ4 || d == DType::kF4;
}
inline constexpr bool is_block_format(DType d) {
  return is_integer_format(d) || d == DType::kF8E4M3;
}

inline constexpr int64_t blocks_of(int64_t k) { return ceil_div(k, kQuantBlock); }

inline constexpr int64_t panel_header_bytes(DType d, int64_t k) {
  constexpr int64_t kLineBytes = 64;
  if (d == DType::kF8E4M3)
    return round_up(blocks_of(k) * static_cast<int64_t>(sizeof(float)), kLineBytes);
  return d == DType::kF4 ? kLineBytes : 0;
}
inline constexpr int64_t block_scale_bytes(DType d) { return is_integer_format(d) ? 64 : 0; }
inline constexpr int64_t block_bytes(DType d) {
  return block_scale_bytes(d) + kPanel * kQuantBlock / (d == DType::kQ4 || d == DType::kF4 ? 2 : 1);
}
inline constexpr int64_t block_panel_bytes(DType d, int64_t k) {
  return panel_header_bytes(d, k) + blocks_of(k) * block_bytes(d);
}

// What stands before the codes of a block of kQ4.
struct Q4Scales {
  std::array<bf16, kPanel> scale;
  std::array<uint16_t, kPanel> multipliers;  // of group g in bits 4 g .. 4 g + 3
};
static_assert(sizeof(Q4Scales) == 64);

inline int q4_multiplier(uint16_t multipliers, int64_t g) { return multipliers >> (4 * g) & 15; }

// 2^(byte - 127); 0 for 0.
inline float f4_scale(uint8_t byte) {
  return std::bit_cast<float>(static_cast<uint32_t>(byte) << 23);
}

inline constexpr int64_t code_at(DType d, int64_t o,
                                 int64_t i) {  // byte within the codes of a block
  if (d == DType::kF8E4M3) return i / 4 * 64 + o / 4 * 16 + i % 4 / 2 * 8 + o % 4 * 2 + i % 2;
  return i / (d == DType::kQ8 ? 4 : 8) * 64 + o * 4 + i % 4;
}

// Of an integer format, what the byte that holds an input's code means, and what a group's integers
// are multiplied by. Both exact.
inline int level_of(DType d, uint8_t byte, int64_t i) {
  if (d == DType::kQ8) return int{byte} - kCodeOffset;
  const auto& levels = d == DType::kQ4 ? kQ4Levels : kF4Levels;
  return levels[i % 8 < 4 ? byte & 15u : byte >> 4u];
}
inline float group_scale(DType d, const std::byte* panel, const uint8_t* block, int64_t o,
                         int64_t g) {
  if (d == DType::kQ8) return reinterpret_cast<const float*>(block)[o];
  if (d == DType::kF4)
    return reinterpret_cast<const float*>(panel)[o] * f4_scale(block[g * kPanel + o]);
  const auto& scales = *reinterpret_cast<const Q4Scales*>(block);
  return to_f32(scales.scale[static_cast<size_t>(o)]) *
         static_cast<float>(q4_multiplier(scales.multipliers[static_cast<size_t>(o)], g));
}

// 4 bits of exponent (bias 7) and 3 of mantissa; 0x7f and 0xff are NaN. Every value is a bf16.
inline float e4m3_to_f32(uint8_t code) {
  const uint32_t magnitude = code & 0x7fu, sign = static_cast<uint32_t>(code & 0x80u) << 24;
  if (magnitude == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000u);
  const float value = magnitude < 8 ? static_cast<float>(magnitude) * 0x1p-9f
                                    : std::bit_cast<float>((magnitude << 20) + (120u << 23));
  return sign != 0 ? -value : value;
}

// A row of inputs for the integer formats: 128 of them to 8 bits. A correction is what takes the
// offset of the weights' codes out of a sum: -kCodeOffset times the sum of the input codes.
struct InputBlock {
  std::array<int8_t, kQuantBlock> codes;  // -127 .. 127
  // Input = scale * code. One scale for all groups where quantise_inputs wrote it, and kQ8 and kQ4
  // rely on that; kF4 takes each group's.
  std::array<float, kBlockGroups> scale;
  std::array<int32_t, kBlockGroups> correction;  // of each group
  int32_t block_correction;                      // of all
};
static_assert(sizeof(InputBlock) == 164);

// A block of inputs all smaller than this becomes zeros: 127 / x would leave f32's range.
inline constexpr float kLeastInput = 0x1p-100f;

}  // namespace longhaul
