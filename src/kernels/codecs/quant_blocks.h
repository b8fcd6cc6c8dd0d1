// Block formats: what their panels have in common. Each format's own file has the rest (q8.h, q4.h,
// mxfp4.h, e4m3.h).
//
// A panel (16 outputs, panels.h) is a header, then one block after another, each of 128 inputs of
// all 16 outputs; K is padded with zeros to whole blocks. A group is 32 inputs of a block. A block
// is its scales, then its codes. Codes stand in lines of 64 bytes, output by output, so that a line
// is what one dot instruction (or two) eats:
//   8-bit integers   4 inputs a line: byte  (i / 4) * 64 + o * 4 + i % 4  of the codes
//   4-bit codes      8 inputs a line: byte  (i / 8) * 64 + o * 4 + i % 4, in the low half where
//                    i % 8 < 4
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/checked_math.h"
#include "kernels/codecs/panels.h"

namespace longhaul {

inline constexpr int64_t kQuantGroup = 32;
inline constexpr int64_t kQuantBlock = 128;
inline constexpr int64_t kBlockGroups = kQuantBlock / kQuantGroup;

// The codes of integers are 0 .. 255 and mean 128 less: the dot instruction multiplies unsigned by
// signed bytes.
inline constexpr int kCodeOffset = 128;

inline constexpr int64_t blocks_of(int64_t k) { return ceil_div(k, kQuantBlock); }

// Where the code of input i of output o stands among the codes of a block.
inline constexpr int64_t byte_code_at(int64_t o, int64_t i) { return i / 4 * 64 + o * 4 + i % 4; }
inline constexpr int64_t nibble_code_at(int64_t o, int64_t i) { return i / 8 * 64 + o * 4 + i % 4; }
inline constexpr int64_t kByteCodes = kPanel * kQuantBlock, kNibbleCodes = kByteCodes / 2;  // bytes

// The 4-bit code of input i in the byte that holds it.
inline constexpr uint8_t nibble_of(uint8_t byte, int64_t i) {
  return static_cast<uint8_t>(i % 8 < 4 ? byte & 15u : byte >> 4u);
}
// Adds the code to its byte, whose half was zero.
inline void put_nibble(uint8_t* codes, int64_t o, int64_t i, int code) {
  uint8_t& byte = codes[nibble_code_at(o, i)];
  byte = static_cast<uint8_t>(byte | (i % 8 < 4 ? code : code << 4));
}

// A row of inputs for the integer formats: 128 of them to 8 bits. A correction is what takes the
// offset of the weights' codes out of a sum: -kCodeOffset times the sum of the input codes.
struct InputBlock {
  std::array<int8_t, kQuantBlock> codes;  // -127 .. 127
  // Input = scale * code, of each group. Rotated inputs have one scale for all groups, and formats
  // of theirs rely on that.
  std::array<float, kBlockGroups> scale;
  std::array<int32_t, kBlockGroups> correction;       // of each group
  std::array<int32_t, kBlockGroups> half_correction;  // of its first half
  int32_t block_correction;                           // of all
};
static_assert(sizeof(InputBlock) == 180);
inline constexpr int64_t kHalfGroup = kQuantGroup / 2;

// What shares a scale and is all smaller than this becomes zeros: 127 / x would leave f32's range.
inline constexpr float kLeastInput = 0x1p-100f;

}  // namespace longhaul
