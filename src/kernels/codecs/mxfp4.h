// MXFP4 (OCP Microscaling Formats 1.0): E2M1 codes, an E8M0 scale every 32 inputs of an output.
//   header  16 f32 factors
//   block   4 x 16 scale bytes, 1024 bytes of codes
//   weight = factor[o] * 2^(byte[g][o] - 127) * kE2m1Levels[code]
// The levels are doubled to be integers, so the factors are 1/2. Exact sums run over groups.
#pragma once

#include <bit>

#include "kernels/codecs/codec.h"
#include "kernels/codecs/quant_blocks.h"
#include "tensor/code_levels.h"

namespace longhaul {

// 2^(byte - 127); 0 for 0.
inline float mxfp4_scale(uint8_t byte) {
  return std::bit_cast<float>(static_cast<uint32_t>(byte) << 23);
}

struct Mxfp4Blocks {
  static constexpr int64_t kScaleBytes = kBlockGroups * kPanel;
  static constexpr PanelLayout kLayout = {
      .block_inputs = kQuantBlock,
      .block_bytes = kScaleBytes + kNibbleCodes,
      .header_bytes = kPanel * static_cast<int64_t>(sizeof(float))};
  static constexpr const CodeLevels& kLevels = kE2m1Levels;
  static constexpr InputCoding kInputs = InputCoding::kInt8;

  static constexpr int64_t code_at(int64_t o, int64_t i) { return nibble_code_at(o, i); }
  static int level(uint8_t byte, int64_t i) { return kE2m1Levels[nibble_of(byte, i)]; }
  static float group_scale(const std::byte* panel, const uint8_t* block, int64_t o, int64_t g) {
    return reinterpret_cast<const float*>(panel)[o] * mxfp4_scale(block[g * kPanel + o]);
  }
};

}  // namespace longhaul
