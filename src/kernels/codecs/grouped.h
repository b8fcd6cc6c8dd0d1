// Panels of what published files hold in blocks (tensor/grouped_codes.h): codes of 4 or 8 bits, of
// which 16 or 32 share a scale and, in some types, a min. Nothing is rounded.
//   header  16 levels, a f32 factor, zeros up to 64 bytes
//   block   scales, mins, then codes as in quant_blocks.h
//   weight = ((scale * multiplier) * level - min_scale * min) * factor
// Of 4 bits a code is the place of its level in the header; of 8 it is the level and kCodeOffset.
// Scales of blocks and of groups come as files have them:
//   kOfGroup       an f16 scale a group; the min is one f16 too
//   kOfMultipliers one scale a block (f32; f16 where there are mins, as is then the min's), and a
//                  group an i8 multiplier (and a u8 min)
#pragma once

#include "base/numbers.h"
#include "kernels/codecs/codec.h"
#include "kernels/codecs/quant_blocks.h"
#include "tensor/code_levels.h"

namespace longhaul {

struct GroupedHeader {
  CodeLevels levels;
  float factor;
  std::array<uint8_t, 44> zeros;
};
static_assert(sizeof(GroupedHeader) == 64);

enum class GroupScales { kOfGroup, kOfMultipliers };

template <int kCodeBits, int64_t kGroupWeights, GroupScales kGroupScales, bool kWithMins>
struct GroupedPanels {
  static constexpr int kBits = kCodeBits;
  static constexpr int64_t kGroup = kGroupWeights, kGroups = kQuantBlock / kGroup;
  static constexpr bool kHasMins = kWithMins,
                        kHasMultipliers = kGroupScales == GroupScales::kOfMultipliers;
  using Scale = std::conditional_t<kHasMultipliers && !kHasMins, float, f16>;

  // Offsets in a block. Each part is rows of 16 outputs.
  static constexpr int64_t kScaleRows = kHasMultipliers ? 1 : kGroups;
  static constexpr int64_t kScaleBytes = kScaleRows * kPanel * int64_t{sizeof(Scale)};
  static constexpr int64_t kMinScalesAt = kScaleBytes;
  static constexpr int64_t kMultipliersAt = kMinScalesAt + (kHasMins ? kScaleBytes : 0);
  static constexpr int64_t kMinsAt = kMultipliersAt + (kHasMultipliers ? kGroups * kPanel : 0);
  static constexpr int64_t kCodesAt =
      kMinsAt + (kHasMultipliers && kHasMins ? kGroups * kPanel : 0);
  static_assert(kCodesAt % 64 == 0, "lines of codes are lines of the cache");

  static constexpr PanelLayout kLayout = {
      .block_inputs = kQuantBlock,
      .block_bytes = kCodesAt + (kBits == 4 ? kNibbleCodes : kByteCodes),
      .header_bytes = sizeof(GroupedHeader)};

  static Scale* scales(uint8_t* block) { return reinterpret_cast<Scale*>(block); }
  static Scale* min_scales(uint8_t* block) {
    return reinterpret_cast<Scale*>(block + kMinScalesAt);
  }
  static int8_t* multipliers(uint8_t* block) {
    return reinterpret_cast<int8_t*>(block + kMultipliersAt);
  }
  static uint8_t* mins(uint8_t* block) { return block + kMinsAt; }
};

// By code bits, weights of a group, F of a scale a group, M of multipliers, m where there are mins.
using Grouped4x32F = GroupedPanels<4, 32, GroupScales::kOfGroup, false>;
using Grouped4x32Fm = GroupedPanels<4, 32, GroupScales::kOfGroup, true>;
using Grouped4x16F = GroupedPanels<4, 16, GroupScales::kOfGroup, false>;
using Grouped4x32M = GroupedPanels<4, 32, GroupScales::kOfMultipliers, false>;
using Grouped4x32Mm = GroupedPanels<4, 32, GroupScales::kOfMultipliers, true>;
using Grouped4x16M = GroupedPanels<4, 16, GroupScales::kOfMultipliers, false>;
using Grouped4x16Mm = GroupedPanels<4, 16, GroupScales::kOfMultipliers, true>;
using Grouped8x32F = GroupedPanels<8, 32, GroupScales::kOfGroup, false>;
using Grouped8x32Fm = GroupedPanels<8, 32, GroupScales::kOfGroup, true>;
using Grouped8x32Mm = GroupedPanels<8, 32, GroupScales::kOfMultipliers, true>;
using Grouped8x16M = GroupedPanels<8, 16, GroupScales::kOfMultipliers, false>;

// A codec of each type of blocks, and the panels that it packs: what a tier needs to know.
#define LH_GROUPED_CODECS(X) \
  X(kQ4_0, Grouped4x32F)     \
  X(kQ4_1, Grouped4x32Fm)    \
  X(kQ5_0, Grouped8x32F)     \
  X(kQ5_1, Grouped8x32Fm)    \
  X(kQ8_0, Grouped8x32F)     \
  X(kQ2_K, Grouped4x16Mm)    \
  X(kQ3_K, Grouped4x16M)     \
  X(kQ4_K, Grouped4x32Mm)    \
  X(kQ5_K, Grouped8x32Mm)    \
  X(kQ6_K, Grouped8x16M)     \
  X(kIQ1_S, Grouped4x32M)    \
  X(kIQ1_M, Grouped4x16M)    \
  X(kIQ2_XXS, Grouped4x32M)  \
  X(kIQ2_XS, Grouped4x16M)   \
  X(kIQ2_S, Grouped4x16M)    \
  X(kIQ3_XXS, Grouped4x32M)  \
  X(kIQ3_S, Grouped4x32M)    \
  X(kIQ4_NL, Grouped4x32F)   \
  X(kIQ4_XS, Grouped4x32M)   \
  X(kNVFP4, Grouped4x16F)

namespace grouped_codecs {
#define LH_DECLARE(type, panels) extern const Codec type;
LH_GROUPED_CODECS(LH_DECLARE)
#undef LH_DECLARE
}  // namespace grouped_codecs

}  // namespace longhaul
