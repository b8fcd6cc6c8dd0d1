// Q4: 4-bit codes of fixed levels, of rotated weights (rotation.h); a block and output has one
// scale, its groups small multipliers.
//   block   16 bf16 scales, 16 words of multipliers, 1024 bytes
//   rotated weight = scale[o] * multiplier[o][g] * kQ4Levels[code]
// Multipliers are 4 bits a group, 16 bits an output: multiplier times level is an integer of 8
// bits, so a whole block has one scale, as in Q8, and exact sums run over all of it.
#pragma once

#include "base/numbers.h"
#include "kernels/codecs/codec.h"
#include "kernels/codecs/quant_blocks.h"

namespace longhaul {

// The integers up to 10 that, with multipliers up to 12, leave the least squared error on normal
// weights, some with heavier tails and some with groups of different sizes: 3 % more than the best
// levels and scales without grids. Ascending. tools/quant_levels.py finds them.
inline constexpr std::array<int8_t, 16> kQ4Levels = {-10, -8, -6, -5, -4, -3, -2, -1,
                                                     0,   1,  2,  3,  4,  5,  7,  10};
inline constexpr int kLargestQ4Multiplier = 12;
static_assert(kLargestQ4Multiplier * kQ4Levels.back() <= 127);

// What stands before the codes of a block.
struct Q4Scales {
  std::array<bf16, kPanel> scale;
  std::array<uint16_t, kPanel> multipliers;  // of group g in bits 4 g .. 4 g + 3
};
static_assert(sizeof(Q4Scales) == 64);

inline int q4_multiplier(uint16_t multipliers, int64_t g) { return multipliers >> (4 * g) & 15; }

struct Q4Blocks {
  static constexpr int64_t kScaleBytes = sizeof(Q4Scales);
  static constexpr PanelLayout kLayout = {.block_inputs = kQuantBlock,
                                          .block_bytes = kScaleBytes + kNibbleCodes};
  static constexpr const std::array<int8_t, 16>& kLevels = kQ4Levels;

  static constexpr InputCoding kInputs = InputCoding::kRotatedInt8;

  static constexpr int64_t code_at(int64_t o, int64_t i) { return nibble_code_at(o, i); }
  static int level(uint8_t byte, int64_t i) { return kQ4Levels[nibble_of(byte, i)]; }
  static float group_scale(const std::byte*, const uint8_t* block, int64_t o, int64_t g) {
    const auto& scales = *reinterpret_cast<const Q4Scales*>(block);
    return to_f32(scales.scale[static_cast<size_t>(o)]) *
           static_cast<float>(q4_multiplier(scales.multipliers[static_cast<size_t>(o)], g));
  }
};

}  // namespace longhaul
