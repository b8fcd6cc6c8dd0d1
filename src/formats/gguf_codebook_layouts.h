// Where the integers of GGUF's codebook types lie (IQ1, IQ2, IQ3): their codes are rows of a grid
// (gguf_grids.h). Layouts as in gguf_block_layouts.h. Multipliers are odd, 2 s + 1.
#pragma once

#include "formats/gguf_block_layouts.h"
#include "formats/gguf_grids.h"

namespace longhaul::gguf_layouts {

// The signs of eight levels, 1 is minus. Files hold seven; the eighth makes their number even.
inline uint8_t eight_signs(uint32_t seven) {
  return static_cast<uint8_t>(seven | static_cast<uint32_t>(std::popcount(seven) & 1) << 7);
}

// A row of positive levels with signs.
inline void put_signed(uint64_t row, uint8_t signs, int8_t* levels) {
  const uint64_t is_minus = spread_bits(signs);
  row = (row ^ is_minus * 0xff) + is_minus;  // no byte of it is 0, so none carries
  std::memcpy(levels, &row, sizeof row);
}

inline int8_t odd(uint32_t s) { return static_cast<int8_t>(2 * s + 1); }
// Multipliers of 2 n groups from n bytes, lo first.
template <size_t n>
void odd_nibbles(const uint8_t* bytes, GroupedCodes& out) {
  for (size_t i = 0; i < n; ++i) {
    out.multipliers[2 * i] = odd(bytes[i] & 15);
    out.multipliers[2 * i + 1] = odd(bytes[i] >> 4);
  }
}

// d, 8 x { 4 codes, u32 of 4 x 7 signs and s }
struct IQ2_XXS {
  static constexpr GgufType kType = GgufType::kIQ2_XXS;
  static constexpr CodeGrouping kGrouping = super_block(32);
  static uint32_t signs_and_s(const uint8_t* block, size_t g) {
    return word_at<uint32_t>(block + 6 + 8 * g);
  }
  static void scales(const uint8_t* block, GroupedCodes& out) {
    out.scales[0] = f16_at(block) / 8;
    for (size_t g = 0; g < 8; ++g) out.multipliers[g] = odd(signs_and_s(block, g) >> 28);
  }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    for (size_t row = 0; row < 32; ++row) {
      const size_t g = row / 4, i = row % 4;
      const uint32_t signs = signs_and_s(block, g) >> (7 * i) & 127;
      put_signed(kIq2XxsGrid[block[2 + 8 * g + i]], eight_signs(signs), &out.levels[8 * row]);
    }
  }
};

// d, 32 x u16 of a code of 9 bits and 7 signs, 8 bytes of s
struct IQ2_XS {
  static constexpr GgufType kType = GgufType::kIQ2_XS;
  static constexpr CodeGrouping kGrouping = super_block(16);
  static void scales(const uint8_t* block, GroupedCodes& out) {
    out.scales[0] = f16_at(block) / 8;
    odd_nibbles<8>(block + 66, out);
  }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    for (size_t row = 0; row < 32; ++row) {
      const uint32_t code = word_at<uint16_t>(block + 2 + 2 * row);
      put_signed(kIq2XsGrid[code & 511], eight_signs(code >> 9), &out.levels[8 * row]);
    }
  }
};

// d, 32 low bytes of codes, 32 bytes of signs, 8 bytes of two high bits, 8 bytes of s
struct IQ2_S {
  static constexpr GgufType kType = GgufType::kIQ2_S;
  static constexpr CodeGrouping kGrouping = super_block(16);
  static void scales(const uint8_t* block, GroupedCodes& out) {
    out.scales[0] = f16_at(block) / 8;
    odd_nibbles<8>(block + 74, out);
  }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    for (size_t row = 0; row < 32; ++row) {
      const size_t high = block[66 + row / 4] >> (2 * (row % 4)) & 3u;
      put_signed(kIq2SGrid[block[2 + row] | high << 8], block[34 + row], &out.levels[8 * row]);
    }
  }
};

// d, 64 codes of four weights, 8 x u32 of 4 x 7 signs and s
struct IQ3_XXS {
  static constexpr GgufType kType = GgufType::kIQ3_XXS;
  static constexpr CodeGrouping kGrouping = super_block(32);
  static uint32_t signs_and_s(const uint8_t* block, size_t g) {
    return word_at<uint32_t>(block + 66 + 4 * g);
  }
  static void scales(const uint8_t* block, GroupedCodes& out) {
    out.scales[0] = f16_at(block) / 4;
    for (size_t g = 0; g < 8; ++g) out.multipliers[g] = odd(signs_and_s(block, g) >> 28);
  }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    for (size_t pair = 0; pair < 32; ++pair) {
      const uint8_t* codes = block + 2 + 2 * pair;
      const uint64_t row = kIq3XxsGrid[codes[0]] | uint64_t{kIq3XxsGrid[codes[1]]} << 32;
      const uint32_t signs = signs_and_s(block, pair / 4) >> (7 * (pair % 4)) & 127;
      put_signed(row, eight_signs(signs), &out.levels[8 * pair]);
    }
  }
};

// d, 64 low bytes of codes of four weights, 64 high bits, 32 bytes of signs, 4 bytes of s
struct IQ3_S {
  static constexpr GgufType kType = GgufType::kIQ3_S;
  static constexpr CodeGrouping kGrouping = super_block(32);
  static void scales(const uint8_t* block, GroupedCodes& out) {
    out.scales[0] = f16_at(block);
    odd_nibbles<4>(block + 106, out);
  }
  static uint64_t row_at(const uint8_t* block, size_t i) {
    const size_t high = block[66 + i / 8] >> (i % 8) & 1u;
    return kIq3SGrid[block[2 + i] | high << 8];
  }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    for (size_t pair = 0; pair < 32; ++pair) {
      const uint64_t row = row_at(block, 2 * pair) | row_at(block, 2 * pair + 1) << 32;
      put_signed(row, block[74 + pair], &out.levels[8 * pair]);
    }
  }
};

// Eight ternary levels and the delta that they share, 1/8 or -1/8, in eighths.
inline void put_with_delta(uint64_t row, bool is_minus, int8_t* levels) {
  std::memcpy(levels, &row, sizeof row);
  add<8>(is_minus ? -1 : 1, levels);
}

// d, 32 low bytes of codes, 8 x u16 of 4 x 3 high bits, 3 bits of s and the sign of delta
struct IQ1_S {
  static constexpr GgufType kType = GgufType::kIQ1_S;
  static constexpr CodeGrouping kGrouping = super_block(32);
  static uint32_t high_bits(const uint8_t* block, size_t g) {
    return word_at<uint16_t>(block + 34 + 2 * g);
  }
  static void scales(const uint8_t* block, GroupedCodes& out) {
    out.scales[0] = f16_at(block) / 8;
    for (size_t g = 0; g < 8; ++g) out.multipliers[g] = odd(high_bits(block, g) >> 12 & 7);
  }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    for (size_t row = 0; row < 32; ++row) {
      const uint32_t high = high_bits(block, row / 4);
      const size_t code = block[2 + row] | (high >> (3 * (row % 4)) & 7u) << 8;
      put_with_delta(kIq1Grid[code], (high & 0x8000u) != 0, &out.levels[8 * row]);
    }
  }
};

// 32 low bytes of codes, 16 bytes of two { 3 high bits, sign of delta }, 4 x u16 of 4 x 3 bits of s
// and a quarter of d, the lowest first
struct IQ1_M {
  static constexpr GgufType kType = GgufType::kIQ1_M;
  static constexpr CodeGrouping kGrouping = super_block(16);
  static void scales(const uint8_t* block, GroupedCodes& out) {
    uint32_t d = 0;
    for (size_t q = 0; q < 4; ++q) {
      const uint32_t word = word_at<uint16_t>(block + 48 + 2 * q);
      d |= word >> 12 << (4 * q);
      for (size_t i = 0; i < 4; ++i) out.multipliers[4 * q + i] = odd(word >> (3 * i) & 7);
    }
    out.scales[0] = to_f32(f16{static_cast<uint16_t>(d)}) / 8;
  }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    for (size_t row = 0; row < 32; ++row) {
      const uint32_t half = block[32 + row / 2] >> (4 * (row % 2)) & 15u;
      const size_t code = block[row] | (half & 7u) << 8;
      put_with_delta(kIq1Grid[code], (half & 8u) != 0, &out.levels[8 * row]);
    }
  }
};

}  // namespace longhaul::gguf_layouts
