// Where the integers of GGUF's block types lie: those whose levels follow from their codes.
// Codebook types are in gguf_codebook_layouts.h.
//
// A layout has what gguf_blocks.cc makes a GgufBlockType of:
//   kType, kGrouping
//   scales(block, out)   everything but the levels
//   levels(block, out)   the levels alone
// In comments d, m and dmin are f16; "lo" and "hi" are halves of a byte.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "base/numbers.h"
#include "formats/gguf_types.h"
#include "tensor/code_levels.h"
#include "tensor/grouped_codes.h"

namespace longhaul::gguf_layouts {

static_assert(std::endian::native == std::endian::little, "words are read as files hold them");

template <class Word>
Word word_at(const uint8_t* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}
inline float f16_at(const uint8_t* bytes) { return to_f32(f16{word_at<uint16_t>(bytes)}); }

inline constexpr CodeGrouping kSimple = {.n_weights = 32, .group = 32, .run = 32};
inline constexpr CodeGrouping kSimpleWithMin = {
    .n_weights = 32, .group = 32, .run = 32, .has_mins = true};
constexpr CodeGrouping super_block(uint32_t group, bool has_mins = false) {
  return {.n_weights = 256, .group = group, .run = 256, .has_mins = has_mins};
}

// The scale of a block that is one group.
inline void one_scale(float d, GroupedCodes& out) {
  out.scales[0] = d;
  out.multipliers[0] = 1;
}
// The same, and a min that is added rather than taken away.
inline void one_scale_and_min(const uint8_t* d_and_m, GroupedCodes& out) {
  one_scale(f16_at(d_and_m), out);
  out.min_scale = -f16_at(d_and_m + 2);
  out.mins[0] = 1;
}

// 2 n codes of n bytes: all lo, then all hi.
template <int n>
void split_nibbles(const uint8_t* bytes, int8_t* levels) {
  for (int i = 0; i < n; ++i) levels[i] = static_cast<int8_t>(bytes[i] & 15);
  for (int i = 0; i < n; ++i) levels[n + i] = static_cast<int8_t>(bytes[i] >> 4);
}
template <int n>
void add(int8_t term, int8_t* levels) {
  for (int i = 0; i < n; ++i) levels[i] = static_cast<int8_t>(levels[i] + term);
}
template <int n>
void look_up(const std::array<int8_t, 16>& table, const uint8_t* bytes, int8_t* levels) {
  for (int i = 0; i < n; ++i) {
    levels[i] = table[bytes[i] & 15];
    levels[n + i] = table[bytes[i] >> 4];
  }
}

// Bit i of a byte in byte i of a word, as 0 or 1.
inline uint64_t spread_bits(uint8_t bits) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  const uint64_t own_bits = bits * kOnes & 0x8040201008040201;
  return (own_bits + 0x7f * kOnes) >> 7 & kOnes;
}
// 32 codes of five bits: the fifth ones of 4 bytes, the others of 16.
inline void put_five_bits(const uint8_t* fifth, const uint8_t* nibbles, int8_t* levels) {
  constexpr uint64_t kLow = 0x0f0f0f0f0f0f0f0f;
  const uint64_t a = word_at<uint64_t>(nibbles), b = word_at<uint64_t>(nibbles + 8);
  const uint64_t eights[4] = {
      (a & kLow) | spread_bits(fifth[0]) << 4, (b & kLow) | spread_bits(fifth[1]) << 4,
      (a >> 4 & kLow) | spread_bits(fifth[2]) << 4, (b >> 4 & kLow) | spread_bits(fifth[3]) << 4};
  std::memcpy(levels, eights, sizeof eights);
}

// d, 16 bytes: q - 8
struct Q4_0 {
  static constexpr GgufType kType = GgufType::kQ4_0;
  static constexpr CodeGrouping kGrouping = kSimple;
  static void scales(const uint8_t* block, GroupedCodes& out) { one_scale(f16_at(block), out); }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    split_nibbles<16>(block + 2, out.levels.data());
    add<32>(-8, out.levels.data());
  }
};

// d, m, 16 bytes
struct Q4_1 {
  static constexpr GgufType kType = GgufType::kQ4_1;
  static constexpr CodeGrouping kGrouping = kSimpleWithMin;
  static void scales(const uint8_t* block, GroupedCodes& out) { one_scale_and_min(block, out); }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    split_nibbles<16>(block + 4, out.levels.data());
  }
};

// d, 32 fifth bits, 16 bytes: q - 16
struct Q5_0 {
  static constexpr GgufType kType = GgufType::kQ5_0;
  static constexpr CodeGrouping kGrouping = kSimple;
  static void scales(const uint8_t* block, GroupedCodes& out) { one_scale(f16_at(block), out); }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    put_five_bits(block + 2, block + 6, out.levels.data());
    add<32>(-16, out.levels.data());
  }
};

// d, m, 32 fifth bits, 16 bytes
struct Q5_1 {
  static constexpr GgufType kType = GgufType::kQ5_1;
  static constexpr CodeGrouping kGrouping = kSimpleWithMin;
  static void scales(const uint8_t* block, GroupedCodes& out) { one_scale_and_min(block, out); }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    put_five_bits(block + 4, block + 8, out.levels.data());
  }
};

// d, 32 signed bytes
struct Q8_0 {
  static constexpr GgufType kType = GgufType::kQ8_0;
  static constexpr CodeGrouping kGrouping = kSimple;
  static void scales(const uint8_t* block, GroupedCodes& out) { one_scale(f16_at(block), out); }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    std::memcpy(out.levels.data(), block + 2, 32);
  }
};

// Two bits of each of 256 weights in 64 bytes: halves of 128 weights, in each quarters of 32 that
// share their 32 bytes.
inline void put_two_bits(const uint8_t* bytes, int8_t* levels) {
  for (int half = 0; half < 2; ++half) {
    for (int quarter = 0; quarter < 4; ++quarter) {
      for (int i = 0; i < 32; ++i) {
        const int code = bytes[32 * half + i] >> (2 * quarter) & 3;
        levels[128 * half + 32 * quarter + i] = static_cast<int8_t>(code);
      }
    }
  }
}
// Adds a term to those of 256 levels whose bit is set: the bits of eighth e are bits e of 32 bytes.
inline void add_where_set(const uint8_t* bits, int term, int8_t* levels) {
  for (int eighth = 0; eighth < 8; ++eighth) {
    int8_t* run = levels + 32 * eighth;
    for (int i = 0; i < 32; ++i) {
      const int addend = (bits[i] & 1 << eighth) != 0 ? term : 0;
      run[i] = static_cast<int8_t>(run[i] + addend);
    }
  }
}

// 16 bytes { lo multiplier, hi min }, 64 bytes of two bits, d, dmin
struct Q2_K {
  static constexpr GgufType kType = GgufType::kQ2_K;
  static constexpr CodeGrouping kGrouping = super_block(16, true);
  static void scales(const uint8_t* block, GroupedCodes& out) {
    for (size_t g = 0; g < 16; ++g) {
      out.multipliers[g] = static_cast<int8_t>(block[g] & 15);
      out.mins[g] = block[g] >> 4;
    }
    out.scales[0] = f16_at(block + 80);
    out.min_scale = f16_at(block + 82);
  }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    put_two_bits(block + 16, out.levels.data());
  }
};

// 32 bytes of third bits, 64 bytes of two bits, 12 bytes of multipliers, d: q - 4.
struct Q3_K {
  static constexpr GgufType kType = GgufType::kQ3_K;
  static constexpr CodeGrouping kGrouping = super_block(16);
  // Four bits of each in halves of eight bytes, two more in quarters of four bytes; less 32.
  static void scales(const uint8_t* block, GroupedCodes& out) {
    const uint8_t* packed = block + 96;
    for (size_t g = 0; g < 16; ++g) {
      const int low = g < 8 ? packed[g] & 15 : packed[g - 8] >> 4;
      const int high = packed[8 + g % 4] >> (2 * (g / 4)) & 3;
      out.multipliers[g] = static_cast<int8_t>((low | high << 4) - 32);
    }
    out.scales[0] = f16_at(block + 108);
  }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    put_two_bits(block + 32, out.levels.data());
    add<256>(-4, out.levels.data());
    add_where_set(block, 4, out.levels.data());
  }
};

// d, dmin and 12 bytes: multipliers and mins of eight groups, six bits each.
inline void k_scales(const uint8_t* block, GroupedCodes& out) {
  out.scales[0] = f16_at(block);
  out.min_scale = f16_at(block + 2);
  const uint8_t* packed = block + 4;
  for (size_t g = 0; g < 4; ++g) {
    out.multipliers[g] = static_cast<int8_t>(packed[g] & 63);
    out.mins[g] = packed[g + 4] & 63;
    out.multipliers[g + 4] = static_cast<int8_t>((packed[g + 8] & 15) | packed[g] >> 6 << 4);
    out.mins[g + 4] = static_cast<uint8_t>(packed[g + 8] >> 4 | packed[g + 4] >> 6 << 4);
  }
}

// d, dmin, 12 bytes of multipliers and mins, 128 bytes: in every 32, lo is a group, hi the next
struct Q4_K {
  static constexpr GgufType kType = GgufType::kQ4_K;
  static constexpr CodeGrouping kGrouping = super_block(32, true);
  static void scales(const uint8_t* block, GroupedCodes& out) { k_scales(block, out); }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    for (int pair = 0; pair < 4; ++pair)
      split_nibbles<32>(block + 16 + 32 * pair, out.levels.data() + 64 * pair);
  }
};

// As Q4_K, with 32 bytes of fifth bits before the codes
struct Q5_K {
  static constexpr GgufType kType = GgufType::kQ5_K;
  static constexpr CodeGrouping kGrouping = super_block(32, true);
  static void scales(const uint8_t* block, GroupedCodes& out) { k_scales(block, out); }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    for (int pair = 0; pair < 4; ++pair)
      split_nibbles<32>(block + 48 + 32 * pair, out.levels.data() + 64 * pair);
    add_where_set(block + 16, 16, out.levels.data());
  }
};

// 128 bytes of four bits, 64 bytes of two high bits, 16 signed multipliers, d: q - 32. The low bits
// of a half's quarters 0 and 2 are lo and hi of one run of 32 bytes, those of 1 and 3 of the next.
struct Q6_K {
  static constexpr GgufType kType = GgufType::kQ6_K;
  static constexpr CodeGrouping kGrouping = super_block(16);
  static void scales(const uint8_t* block, GroupedCodes& out) {
    std::memcpy(out.multipliers.data(), block + 192, 16);
    out.scales[0] = f16_at(block + 208);
  }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    for (int half = 0; half < 2; ++half) {
      const uint8_t *low = block + 64 * half, *high = block + 128 + 32 * half;
      int8_t* levels = out.levels.data() + 128 * half;
      for (int i = 0; i < 32; ++i) {
        const int a = low[i], b = low[32 + i], h = high[i];
        levels[i] = static_cast<int8_t>(((a & 15) | (h & 3) << 4) - 32);
        levels[32 + i] = static_cast<int8_t>(((b & 15) | (h >> 2 & 3) << 4) - 32);
        levels[64 + i] = static_cast<int8_t>((a >> 4 | (h >> 4 & 3) << 4) - 32);
        levels[96 + i] = static_cast<int8_t>((b >> 4 | (h >> 6) << 4) - 32);
      }
    }
  }
};

// d, 16 bytes
struct IQ4_NL {
  static constexpr GgufType kType = GgufType::kIQ4_NL;
  static constexpr CodeGrouping kGrouping = kSimple;
  static void scales(const uint8_t* block, GroupedCodes& out) { one_scale(f16_at(block), out); }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    look_up<16>(kIq4Levels, block + 2, out.levels.data());
  }
};

// d, two high bits of eight multipliers, their four low ones, 128 bytes: 16 a group
struct IQ4_XS {
  static constexpr GgufType kType = GgufType::kIQ4_XS;
  static constexpr CodeGrouping kGrouping = super_block(32);
  static void scales(const uint8_t* block, GroupedCodes& out) {
    const int high = word_at<uint16_t>(block + 2);
    for (size_t g = 0; g < 8; ++g) {
      const int low = block[4 + g / 2] >> (4 * (g % 2)) & 15;
      out.multipliers[g] = static_cast<int8_t>((low | (high >> (2 * g) & 3) << 4) - 32);
    }
    out.scales[0] = f16_at(block);
  }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    for (int g = 0; g < 8; ++g)
      look_up<16>(kIq4Levels, block + 8 + 16 * g, out.levels.data() + 32 * g);
  }
};

// An E8M0 scale, 16 bytes: halves, where safetensors have pairs
struct MXFP4 {
  static constexpr GgufType kType = GgufType::kMXFP4;
  static constexpr CodeGrouping kGrouping = kSimple;
  // 2^(e - 128), which is subnormal for 0 and 1: half the scale, for the levels are doubled.
  static void scales(const uint8_t* block, GroupedCodes& out) {
    const uint32_t e = block[0];
    one_scale(std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23), out);
  }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    look_up<16>(kE2m1Levels, block + 1, out.levels.data());
  }
};

// Four E4M3 scales of 16 weights, 32 bytes: 8 a group. Of a scale, the sign is left out.
struct NVFP4 {
  static constexpr GgufType kType = GgufType::kNVFP4;
  static constexpr CodeGrouping kGrouping = {.n_weights = 64, .group = 16, .run = 16};
  static void scales(const uint8_t* block, GroupedCodes& out) {
    for (size_t g = 0; g < 4; ++g) {
      // 0x7f, which is no number, means 0; with a sign it is 480.
      const bool is_largest = (block[g] & 0x7f) == 0x7f;
      const float scale = to_f32(e4m3{static_cast<uint8_t>(block[g] & 0x7f)});
      out.scales[g] = !is_largest ? scale / 2 : block[g] == 0x7f ? 0.0f : 240.0f;
      out.multipliers[g] = 1;
    }
  }
  static void levels(const uint8_t* block, GroupedCodes& out) {
    for (int g = 0; g < 4; ++g)
      look_up<8>(kE2m1Levels, block + 4 + 8 * g, out.levels.data() + 16 * g);
  }
};

}  // namespace longhaul::gguf_layouts
