// Integer block formats on vpdpbusd: one instruction adds four products of bytes to each of 16
// sums.
//
// Q8 is what the dots eat. 4-bit codes of few rows are turned into bytes in registers, between the
// load and the dot. Of many rows, blocks are turned into bytes first, which stay in L1 while all
// rows pass: Q4 becomes Q8, its levels multiplied; MXFP4 keeps a scale a group. Sums of blocks (of
// MXFP4: groups) are exact either way, and what follows is the same arithmetic in the same order,
// so a row's result is the same.
#include "kernels/x86/x86.h"

#if defined(__x86_64__)

// g++ 12 takes the undefined registers of its own header for a mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <algorithm>
#include <cstring>

#include "kernels/codecs/mxfp4.h"
#include "kernels/codecs/q4.h"
#include "kernels/codecs/q8.h"
#include "kernels/register_tiles.h"
#include "kernels/unroll.h"
#include "kernels/x86/block_tiles.h"

#define LH_VNNI_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define LH_VNNI_INLINE LH_VNNI_TARGET __attribute__((always_inline)) inline

namespace longhaul {
namespace {

constexpr int64_t kLine = 64;
constexpr int64_t kStepInputs = 4;  // of a dot
constexpr int64_t kGroupSteps = kQuantGroup / kStepInputs;

LH_VNNI_INLINE __m512i load_line(const std::byte* from) { return _mm512_loadu_si512(from); }

LH_VNNI_INLINE __m512i load_words(const void* from) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(from)));
}

// How a microkernel reads a panel. kLineSteps lines of bytes come of each line of codes.
struct Q8 {
  static constexpr int kLineSteps = 1;
  static constexpr int64_t kHeaderBytes = Q8Blocks::kLayout.header(0),
                           kBlockBytes = Q8Blocks::kLayout.block_bytes;
  static constexpr int64_t kCodesAt = Q8Blocks::kScaleBytes, kGroupBytes = kGroupSteps * kLine;
  static constexpr bool kHasMultipliers = false, kScalesGroups = false;
  struct Table {};
  LH_VNNI_INLINE static Table table() { return {}; }
  LH_VNNI_INLINE static void bytes(const std::byte* codes, Table, __m512i* out) {
    out[0] = load_line(codes);
  }
  LH_VNNI_INLINE static __m512 scales(const std::byte*, const std::byte* block, int64_t) {
    return _mm512_loadu_ps(block);
  }
};

template <class Blocks>
struct Nibbles {
  static constexpr int kLineSteps = 2;
  static constexpr int64_t kHeaderBytes = Blocks::kLayout.header(0),
                           kBlockBytes = Blocks::kLayout.block_bytes;
  static constexpr int64_t kCodesAt = Blocks::kScaleBytes, kGroupBytes = kGroupSteps / 2 * kLine;
  struct Table {
    __m512i levels, low_half;
  };
  LH_VNNI_INLINE static Table table(int offset = kCodeOffset) {
    const __m128i as_signed =
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(Blocks::kLevels.data()));
    return {
        _mm512_broadcast_i32x4(_mm_add_epi8(as_signed, _mm_set1_epi8(static_cast<char>(offset)))),
        _mm512_set1_epi8(15)};
  }
  LH_VNNI_INLINE static void bytes(const std::byte* codes, Table t, __m512i* out) {
    const __m512i both = load_line(codes);
    out[0] = _mm512_shuffle_epi8(t.levels, _mm512_and_si512(both, t.low_half));
    out[1] =
        _mm512_shuffle_epi8(t.levels, _mm512_and_si512(_mm512_srli_epi16(both, 4), t.low_half));
  }
};

struct Q4 : Nibbles<Q4Blocks> {
  static constexpr bool kHasMultipliers = true, kScalesGroups = false;
  LH_VNNI_INLINE static __m512 scales(const std::byte*, const std::byte* block, int64_t) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(load_words(reinterpret_cast<const Q4Scales*>(block)->scale.data()), 16));
  }
  LH_VNNI_INLINE static __m512i multipliers(const std::byte* block, int64_t g) {
    const __m512i all = load_words(reinterpret_cast<const Q4Scales*>(block)->multipliers.data());
    return _mm512_and_si512(_mm512_srl_epi32(all, _mm_cvtsi64_si128(4 * g)), _mm512_set1_epi32(15));
  }
};

struct Mxfp4 : Nibbles<Mxfp4Blocks> {
  static constexpr bool kHasMultipliers = false, kScalesGroups = true;
  LH_VNNI_INLINE static __m512 scales(const std::byte* panel, const std::byte* block, int64_t g) {
    const __m512i bytes =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block + g * kPanel)));
    return _mm512_mul_ps(_mm512_loadu_ps(panel), _mm512_castsi512_ps(_mm512_slli_epi32(bytes, 23)));
  }
};

// What many rows read of MXFP4: f32 scales and bytes.
struct DecodedMxfp4 {
  static constexpr int kLineSteps = 1;
  static constexpr int64_t kHeaderBytes = 0, kCodesAt = kBlockGroups * kLine,
                           kGroupBytes = kGroupSteps * kLine;
  static constexpr int64_t kBlockBytes = kCodesAt + kBlockGroups * kGroupBytes;
  static constexpr bool kHasMultipliers = false, kScalesGroups = true;
  struct Table {};
  LH_VNNI_INLINE static Table table() { return {}; }
  LH_VNNI_INLINE static void bytes(const std::byte* codes, Table, __m512i* out) {
    out[0] = load_line(codes);
  }
  LH_VNNI_INLINE static __m512 scales(const std::byte*, const std::byte* block, int64_t g) {
    return _mm512_load_ps(block + g * kLine);
  }
};

LH_VNNI_INLINE __m512i broadcast_step(const int8_t* codes) {
  int32_t step;
  std::memcpy(&step, codes, sizeof step);
  return _mm512_set1_epi32(step);
}

LH_VNNI_INLINE const InputBlock* input_row(const InputBlock* inputs, int64_t stride, int r) {
  return reinterpret_cast<const InputBlock*>(reinterpret_cast<const std::byte*>(inputs) +
                                             r * stride);
}

// Adds the products of group g to the sums.
template <class Source, int kRows, int kPanels>
LH_VNNI_INLINE void add_group(const MatmulTile& t, const InputBlock* inputs, const std::byte* block,
                              int64_t g, typename Source::Table table,
                              __m512i (&sum)[kRows][kPanels]) {
  LH_UNROLL for (int line = 0; line < kGroupSteps / Source::kLineSteps; ++line) {
    __m512i weights[kPanels][Source::kLineSteps];
    LH_UNROLL for (int p = 0; p < kPanels; ++p) {
      const int64_t at = Source::kCodesAt + g * Source::kGroupBytes + line * kLine;
      Source::bytes(block + p * t.b.panel_stride + at, table, weights[p]);
    }
    LH_UNROLL for (int s = 0; s < Source::kLineSteps; ++s) {
      LH_UNROLL for (int r = 0; r < kRows; ++r) {
        const int8_t* codes = input_row(inputs, t.a_stride, r)->codes.data() + g * kQuantGroup;
        const __m512i step = broadcast_step(codes + (line * Source::kLineSteps + s) * kStepInputs);
        LH_UNROLL for (int p = 0; p < kPanels; ++p) sum[r][p] =
            _mm512_dpbusd_epi32(sum[r][p], weights[p][s], step);
      }
    }
  }
}

template <class Source, int kRows, int kPanels>
LH_VNNI_INLINE void add_to_totals(const MatmulTile& t, const InputBlock* inputs,
                                  const std::byte* panel, const std::byte* block, int64_t g,
                                  const __m512i (&sum)[kRows][kPanels],
                                  __m512 (&total)[kRows][kPanels]) {
  LH_UNROLL for (int p = 0; p < kPanels; ++p) {
    const __m512 scales =
        Source::scales(panel + p * t.b.panel_stride, block + p * t.b.panel_stride, g);
    LH_UNROLL for (int r = 0; r < kRows; ++r) {
      const float input_scale = input_row(inputs, t.a_stride, r)->scale[static_cast<size_t>(g)];
      const __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(input_scale));
      total[r][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][p]), scale, total[r][p]);
    }
  }
}

// One block of all rows and panels.
template <class Source, int kRows, int kPanels>
LH_VNNI_INLINE void add_block(const MatmulTile& t, const InputBlock* inputs, const std::byte* panel,
                              const std::byte* block, typename Source::Table table,
                              __m512 (&total)[kRows][kPanels]) {
  constexpr bool kSumsGroups = Source::kHasMultipliers || Source::kScalesGroups;
  __m512i whole[kRows][kPanels];
  LH_UNROLL for (int r = 0; r < kRows; ++r) {
    const InputBlock* in = input_row(inputs, t.a_stride, r);
    LH_UNROLL for (int p = 0; p < kPanels; ++p) whole[r][p] =
        kSumsGroups ? _mm512_setzero_si512() : _mm512_set1_epi32(in->block_correction);
  }
  for (int64_t g = 0; g < kBlockGroups; ++g) {
    if constexpr (kSumsGroups) {
      __m512i sum[kRows][kPanels];
      LH_UNROLL for (int r = 0; r < kRows; ++r) {
        const __m512i correction =
            _mm512_set1_epi32(input_row(inputs, t.a_stride, r)->correction[static_cast<size_t>(g)]);
        LH_UNROLL for (int p = 0; p < kPanels; ++p) sum[r][p] = correction;
      }
      add_group<Source>(t, inputs, block, g, table, sum);
      if constexpr (Source::kScalesGroups) {
        add_to_totals<Source>(t, inputs, panel, block, g, sum, total);
      } else {
        LH_UNROLL for (int p = 0; p < kPanels; ++p) {
          const __m512i multipliers = Source::multipliers(block + p * t.b.panel_stride, g);
          LH_UNROLL for (int r = 0; r < kRows; ++r) {
            whole[r][p] = _mm512_add_epi32(whole[r][p], _mm512_mullo_epi32(sum[r][p], multipliers));
          }
        }
      }
    } else {
      add_group<Source>(t, inputs, block, g, table, whole);
    }
  }
  if constexpr (!Source::kScalesGroups)
    add_to_totals<Source>(t, inputs, panel, block, 0, whole, total);
}

template <class Source, int kRows, int kPanels>
LH_VNNI_TARGET void microkernel(const MatmulTile& t, int64_t row, int64_t panel) {
  const auto* inputs =
      reinterpret_cast<const InputBlock*>(static_cast<const std::byte*>(t.a) + row * t.a_stride);
  const std::byte* const b = t.b.data + panel * t.b.panel_stride;
  float* const c = t.c + row * t.c_stride + panel * kPanel;
  const __mmask16 last_mask = column_mask(t, panel + kPanels - 1);
  const typename Source::Table table = Source::table();
  __m512 total[kRows][kPanels];
  LH_UNROLL for (int r = 0; r < kRows; ++r) {
    LH_UNROLL for (int p = 0; p < kPanels; ++p) {
      const __mmask16 mask = !t.accumulate ? 0 : p + 1 < kPanels ? 0xffff : last_mask;
      total[r][p] = _mm512_maskz_loadu_ps(mask, c + r * t.c_stride + p * kPanel);
    }
  }
  for (int64_t k_block = 0; k_block < blocks_of(t.k); ++k_block) {
    add_block<Source>(t, inputs + k_block, b,
                      b + Source::kHeaderBytes + k_block * Source::kBlockBytes, table, total);
  }
  LH_UNROLL for (int r = 0; r < kRows; ++r) {
    LH_UNROLL for (int p = 0; p < kPanels; ++p) {
      _mm512_mask_storeu_ps(c + r * t.c_stride + p * kPanel, p + 1 < kPanels ? 0xffff : last_mask,
                            total[r][p]);
    }
  }
}

// times two panels: 10 exact sums and 10 totals in registers, next to bytes and scales; 12 spill
constexpr int kBestRows = 5;

template <class Source, int kMaxPanels>
struct Kernels {
  static constexpr bool fits(int rows, int panels) {
    return panels <= kMaxPanels && rows * panels <= kBestRows * kManyRowsPanels;
  }
  template <int kRows, int kPanels>
  static constexpr Microkernel kernel() {
    return microkernel<Source, kRows, kPanels>;
  }
};

// The three ways to many rows (block_tiles.h).
struct InPlace {
  using Blocks = Q8Blocks;
  static constexpr int64_t kBlocks = 4, kBlockBytes = Q8::kBlockBytes,
                           kInputBytes = sizeof(InputBlock), kStrideBytes = 1;
  static constexpr bool kInPlace = true;
  using Decoded = Q8;
};

struct FromQ4 {
  using Blocks = Q4Blocks;
  static constexpr int64_t kBlocks = 4, kBlockBytes = Q8::kBlockBytes,
                           kInputBytes = sizeof(InputBlock), kStrideBytes = 1;
  static constexpr bool kInPlace = false;
  using Decoded = Q8;

  // Levels times multipliers, offset. A product of 16 bits has in its lower byte what the lower
  // byte of a factor gives.
  LH_VNNI_INLINE static __m512i multiplied(__m512i levels, __m512i multipliers) {
    const __m512i upper = _mm512_set1_epi16(-256);
    const __m512i even = _mm512_mullo_epi16(levels, multipliers),
                  odd = _mm512_mullo_epi16(_mm512_and_si512(levels, upper), multipliers);
    constexpr int kSelect = 0xd8;  // of bits (even, odd, upper): odd where upper is set
    return _mm512_xor_si512(_mm512_ternarylogic_epi32(even, odd, upper, kSelect),
                            _mm512_set1_epi8(-kCodeOffset));
  }

  LH_VNNI_TARGET static void decode(const std::byte* panel, int64_t, int64_t first, int64_t n,
                                    std::byte* out) {
    const Q4::Table table = Q4::table(0);
    for (int64_t b = 0; b < n; ++b) {
      const std::byte* block = panel + (first + b) * Q4::kBlockBytes;
      std::byte* to = out + b * kBlockBytes;
      _mm512_store_ps(to, Q4::scales(panel, block, 0));
      to += Q8::kCodesAt;
      for (int64_t g = 0; g < kBlockGroups; ++g) {
        const __m512i words = Q4::multipliers(block, g),
                      multipliers = _mm512_or_si512(words, _mm512_slli_epi32(words, 16));
        for (int64_t line = 0; line < kGroupSteps / Q4::kLineSteps; ++line) {
          __m512i levels[Q4::kLineSteps];
          Q4::bytes(block + Q4::kCodesAt + g * Q4::kGroupBytes + line * kLine, table, levels);
          LH_UNROLL for (int s = 0; s < Q4::kLineSteps; ++s, to += kLine)
              _mm512_store_si512(to, multiplied(levels[s], multipliers));
        }
      }
    }
  }
};

struct FromMxfp4 {
  using Blocks = Mxfp4Blocks;
  static constexpr int64_t kBlocks = 4, kBlockBytes = DecodedMxfp4::kBlockBytes,
                           kInputBytes = sizeof(InputBlock), kStrideBytes = 1;
  static constexpr bool kInPlace = false;
  using Decoded = DecodedMxfp4;

  LH_VNNI_TARGET static void decode(const std::byte* panel, int64_t, int64_t first, int64_t n,
                                    std::byte* out) {
    const Mxfp4::Table table = Mxfp4::table();
    for (int64_t b = 0; b < n; ++b) {
      const std::byte* block = panel + Mxfp4::kHeaderBytes + (first + b) * Mxfp4::kBlockBytes;
      std::byte* to = out + b * kBlockBytes;
      for (int64_t g = 0; g < kBlockGroups; ++g)
        _mm512_store_ps(to + g * kLine, Mxfp4::scales(panel, block, g));
      to += DecodedMxfp4::kCodesAt;
      for (int64_t line = 0; line < kBlockGroups * kGroupSteps / Mxfp4::kLineSteps; ++line) {
        __m512i bytes[Mxfp4::kLineSteps];
        Mxfp4::bytes(block + Mxfp4::kCodesAt + line * kLine, table, bytes);
        LH_UNROLL for (int s = 0; s < Mxfp4::kLineSteps; ++s, to += kLine)
            _mm512_store_si512(to, bytes[s]);
      }
    }
  }
};

template <class Source, class Many>
void matmul(const MatmulTile& t) {
  static constexpr RegisterTiles few =
      make_register_tiles<Kernels<Source, kFewRowsPanels>>(kBestRows);
  static constexpr RegisterTiles many =
      make_register_tiles<Kernels<typename Many::Decoded, kManyRowsPanels>>(kBestRows);
  t.m <= few.max_rows() || t.k == 0 ? run_register_tiles(few, t)
                                    : multiply_many_rows<Many>(t, many);
}

LH_VNNI_TARGET int64_t peak_int8(int64_t rounds) {
  constexpr int kPeakSums = 12;
  const __m512i one = _mm512_set1_epi8(1);
  __m512i sum[kPeakSums];
  LH_UNROLL for (int s = 0; s < kPeakSums; ++s) sum[s] = _mm512_set1_epi32(s);
  for (int64_t i = 0; i < rounds; ++i) {
    LH_UNROLL for (int s = 0; s < kPeakSums; ++s) sum[s] = _mm512_dpbusd_epi32(sum[s], one, one);
  }
  __m512i total = sum[0];
  LH_UNROLL for (int s = 1; s < kPeakSums; ++s) total = _mm512_add_epi32(total, sum[s]);
  volatile int sink = _mm512_cvtsi512_si32(total);
  static_cast<void>(sink);
  return rounds * kPeakSums * kPanel * kStepInputs;
}

}  // namespace

bool use_vnni(KernelSet& set) {
  if (!__builtin_cpu_supports("avx512vnni")) return false;
  set.products.set(kQ8Codec, matmul<Q8, InPlace>);
  set.products.set(kQ4Codec, matmul<Q4, FromQ4>);
  set.products.set(kMxfp4Codec, matmul<Mxfp4, FromMxfp4>);
  set.peak_int8 = peak_int8;
  return true;
}

}  // namespace longhaul

#endif
