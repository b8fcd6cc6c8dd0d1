// Q8: one f32 scale and 128 codes of 8 bits a block and output, of rotated weights (rotation.h).
//   block   16 f32 scales, 2048 codes           rotated weight = scale[o] * (code - 128)
#pragma once

#include "kernels/codecs/codec.h"
#include "kernels/codecs/quant_blocks.h"

namespace longhaul {

struct Q8Blocks {
  static constexpr int64_t kScaleBytes = kPanel * static_cast<int64_t>(sizeof(float));
  static constexpr PanelLayout kLayout = {.block_inputs = kQuantBlock,
                                          .block_bytes = kScaleBytes + kByteCodes};

  static constexpr InputCoding kInputs = InputCoding::kRotatedInt8;

  static constexpr int64_t code_at(int64_t o, int64_t i) { return byte_code_at(o, i); }
  static int level(uint8_t byte, int64_t) { return int{byte} - kCodeOffset; }
  static float group_scale(const std::byte*, const uint8_t* block, int64_t o, int64_t) {
    return reinterpret_cast<const float*>(block)[o];
  }
};

}  // namespace longhaul
