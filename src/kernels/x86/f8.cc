// E4M3 blocks on vdpbf16ps: codes become pairs of bf16, exactly, by two look-ups (AVX512-VBMI);
// each block's sum is scaled once.
//
// Few rows decode in registers, many rows from panels decoded before, in the same order: as in
// vnni.cc.
#include "kernels/x86/x86.h"

#if defined(__x86_64__)

// g++ 12 takes the undefined registers of its own header for a mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <algorithm>
#include <cstring>

#include "base/numbers.h"
#include "kernels/codecs/e4m3.h"
#include "kernels/register_tiles.h"
#include "kernels/unroll.h"
#include "kernels/x86/block_tiles.h"

#define LH_F8_TARGET \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx512bf16")))
#define LH_F8_INLINE LH_F8_TARGET __attribute__((always_inline)) inline

namespace longhaul {
namespace {

constexpr int64_t kLine = 64;
constexpr int64_t kLineInputs = 4;

struct Bf16Bytes {
  alignas(64) std::array<uint8_t, 128> low{}, high{};
};

// By magnitude: the bytes of the bf16 (all but its sign).
const Bf16Bytes& bf16_bytes() {
  static const Bf16Bytes bytes = [] {
    Bf16Bytes b;
    for (size_t i = 0; i < b.low.size(); ++i) {
      const uint16_t bits = to_bf16(e4m3_to_f32(static_cast<uint8_t>(i))).bits;
      b.low[i] = static_cast<uint8_t>(bits & 0xff);
      b.high[i] = static_cast<uint8_t>(bits >> 8);
    }
    return b;
  }();
  return bytes;
}

struct F8 {
  static constexpr int64_t kBlockBytes = E4m3Blocks::kLayout.block_bytes, kCodesAt = 0;
  struct Table {
    __m512i low[2], high[2], sign;
  };
  static int64_t header_bytes(int64_t k) { return E4m3Blocks::kLayout.header(k); }
  LH_F8_INLINE static Table table() {
    const Bf16Bytes& b = bf16_bytes();
    return {{_mm512_load_si512(b.low.data()), _mm512_load_si512(b.low.data() + kLine)},
            {_mm512_load_si512(b.high.data()), _mm512_load_si512(b.high.data() + kLine)},
            _mm512_set1_epi8(-128)};
  }
  LH_F8_INLINE static void pairs(const std::byte* codes, int64_t line, const Table& t,
                                 __m512i* out) {
    const __m512i code = _mm512_loadu_si512(codes + line * kLine);
    const __m512i low = _mm512_permutex2var_epi8(t.low[0], code, t.low[1]);
    const __m512i magnitude = _mm512_permutex2var_epi8(t.high[0], code, t.high[1]);
    // magnitude | (code & sign)
    const __m512i high = _mm512_ternarylogic_epi32(magnitude, code, t.sign, 0xf8);
    out[0] = _mm512_unpacklo_epi8(low, high);
    out[1] = _mm512_unpackhi_epi8(low, high);
  }
  static float scale(const std::byte* panel, const std::byte*, int64_t block) {
    return reinterpret_cast<const float*>(panel)[block];
  }
};

// A line that holds the scale, then pairs.
struct Decoded {
  static constexpr int64_t kCodesAt = kLine,
                           kBlockBytes =
                               kCodesAt + kQuantBlock * kPanel * static_cast<int64_t>(sizeof(bf16));
  struct Table {};
  static int64_t header_bytes(int64_t) { return 0; }
  LH_F8_INLINE static Table table() { return {}; }
  LH_F8_INLINE static void pairs(const std::byte* codes, int64_t line, const Table&, __m512i* out) {
    out[0] = _mm512_load_si512(codes + 2 * line * kLine);
    out[1] = _mm512_load_si512(codes + 2 * line * kLine + kLine);
  }
  static float scale(const std::byte*, const std::byte* block, int64_t) {
    return *reinterpret_cast<const float*>(block);
  }
};

LH_F8_INLINE __m512 dot(__m512 sum, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

LH_F8_INLINE __m512i broadcast_pair(const bf16* a) {
  int32_t pair;
  std::memcpy(&pair, a, sizeof pair);
  return _mm512_set1_epi32(pair);
}

template <class Source, int kRows, int kPanels>
LH_F8_TARGET void microkernel(const MatmulTile& t, int64_t row, int64_t panel) {
  const bf16* const a = static_cast<const bf16*>(t.a) + row * t.a_stride;
  const std::byte* const b = t.b.data + panel * t.b.panel_stride;
  float* const c = t.c + row * t.c_stride + panel * kPanel;
  const __mmask16 last_mask = column_mask(t, panel + kPanels - 1);
  const typename Source::Table table = Source::table();
  const int64_t header_bytes = Source::header_bytes(t.k);
  __m512 total[kRows][kPanels];
  LH_UNROLL for (int r = 0; r < kRows; ++r) {
    LH_UNROLL for (int p = 0; p < kPanels; ++p) {
      const __mmask16 mask = !t.accumulate ? 0 : p + 1 < kPanels ? 0xffff : last_mask;
      total[r][p] = _mm512_maskz_loadu_ps(mask, c + r * t.c_stride + p * kPanel);
    }
  }
  for (int64_t k_block = 0; k_block < blocks_of(t.k); ++k_block) {
    const std::byte* const block = b + header_bytes + k_block * Source::kBlockBytes;
    const bf16* const inputs = a + k_block * kQuantBlock;
    // of the first and of the second pair of a line: one row alone would wait for each dot
    __m512 sum[kRows][kPanels][2];
    LH_UNROLL for (int r = 0; r < kRows; ++r) {
      LH_UNROLL for (int p = 0; p < kPanels; ++p) sum[r][p][0] = sum[r][p][1] = _mm512_setzero_ps();
    }
    for (int64_t line = 0; line < kQuantBlock / kLineInputs; ++line) {
      LH_UNROLL for (int p = 0; p < kPanels; ++p) {
        __m512i weights[2];
        Source::pairs(block + p * t.b.panel_stride + Source::kCodesAt, line, table, weights);
        LH_UNROLL for (int s = 0; s < 2; ++s) {
          LH_UNROLL for (int r = 0; r < kRows; ++r) {
            sum[r][p][s] = dot(sum[r][p][s],
                               broadcast_pair(inputs + r * t.a_stride + line * kLineInputs + 2 * s),
                               weights[s]);
          }
        }
      }
    }
    LH_UNROLL for (int p = 0; p < kPanels; ++p) {
      const __m512 scale = _mm512_set1_ps(
          Source::scale(b + p * t.b.panel_stride, block + p * t.b.panel_stride, k_block));
      LH_UNROLL for (int r = 0; r < kRows; ++r) {
        total[r][p] =
            _mm512_fmadd_ps(_mm512_add_ps(sum[r][p][0], sum[r][p][1]), scale, total[r][p]);
      }
    }
  }
  LH_UNROLL for (int r = 0; r < kRows; ++r) {
    LH_UNROLL for (int p = 0; p < kPanels; ++p) {
      _mm512_mask_storeu_ps(c + r * t.c_stride + p * kPanel, p + 1 < kPanels ? 0xffff : last_mask,
                            total[r][p]);
    }
  }
}

constexpr int kBestRows = 4;  // times two panels, three registers an output

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

struct Decoder {
  using Blocks = E4m3Blocks;
  static constexpr int64_t kBlocks = 2, kBlockBytes = Decoded::kBlockBytes,
                           kInputBytes = kQuantBlock * static_cast<int64_t>(sizeof(bf16));
  static constexpr int64_t kStrideBytes = sizeof(bf16);
  static constexpr bool kInPlace = false;
  static void decode(const std::byte* panel, int64_t k, int64_t first, int64_t n, std::byte* out);
};

LH_F8_TARGET void Decoder::decode(const std::byte* panel, int64_t k, int64_t first, int64_t n,
                                  std::byte* out) {
  const F8::Table table = F8::table();
  for (int64_t b = first; b < first + n; ++b) {
    const std::byte* from = panel + F8::header_bytes(k) + b * F8::kBlockBytes;
    *reinterpret_cast<float*>(out) = F8::scale(panel, from, b);
    out += kLine;
    for (int64_t line = 0; line < F8::kBlockBytes / kLine; ++line, out += 2 * kLine) {
      __m512i pairs[2];
      F8::pairs(from, line, table, pairs);
      _mm512_store_si512(out, pairs[0]);
      _mm512_store_si512(out + kLine, pairs[1]);
    }
  }
}

void matmul_f8(const MatmulTile& t) {
  static constexpr RegisterTiles few = make_register_tiles<Kernels<F8, kFewRowsPanels>>(kBestRows);
  static constexpr RegisterTiles many =
      make_register_tiles<Kernels<Decoded, kManyRowsPanels>>(kBestRows);
  t.m <= few.max_rows() || t.k == 0 ? run_register_tiles(few, t)
                                    : multiply_many_rows<Decoder>(t, many);
}

}  // namespace

void use_f8(KernelSet& set) {
  if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi"))
    set.products.set(kE4m3Codec, matmul_f8);
}

}  // namespace longhaul

#endif
