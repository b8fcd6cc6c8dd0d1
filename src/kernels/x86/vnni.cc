// Integer block formats on vpdpbusd: one instruction adds four products of bytes to each of 16 sums.
//
// Few rows: codes are turned into bytes in registers, between the load and the dot. Many rows: some panels are turned into bytes
// first, which stay in L1 while all rows pass. Both do the same arithmetic in the same order, so a row's result is the same.
#include "kernels/x86/x86.h"

#if defined(__x86_64__)

// g++ 12 takes the undefined registers of its own header for a mistake.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

#include <algorithm>
#include <cstring>

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
constexpr int64_t kInputBytesAGroup = static_cast<int64_t>(sizeof(InputBlock)) / kBlockGroups;

LH_VNNI_INLINE __m512i load_line(const std::byte* from) { return _mm512_loadu_si512(from); }

LH_VNNI_INLINE __m512 load_scales(const std::byte* bytes, int shift, __m512 factors) {
  const __m512i wide = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
  return _mm512_mul_ps(factors, _mm512_castsi512_ps(_mm512_slli_epi32(wide, static_cast<unsigned>(shift))));
}

// How a microkernel reads a panel. kLineSteps lines of bytes come of each line of codes.
struct Q8 {
  static constexpr DType kFormat = DType::kQ8;
  static constexpr int kLineSteps = 1;
  static constexpr int64_t kHeaderBytes = panel_header_bytes(kFormat, 0), kBlockBytes = block_bytes(kFormat);
  static constexpr int64_t kCodesAt = block_scale_bytes(kFormat), kGroupBytes = kGroupSteps * kLine;
  struct Table {};
  LH_VNNI_INLINE static Table table() { return {}; }
  LH_VNNI_INLINE static void bytes(const std::byte* codes, Table, __m512i* out) { out[0] = load_line(codes); }
  LH_VNNI_INLINE static __m512 scales(const std::byte* panel, const std::byte* block, int64_t g) {
    return load_scales(block + g * kPanel, scale_shift(kFormat), _mm512_loadu_ps(panel));
  }
};

template <DType kNibbleFormat>
struct Nibbles {
  static constexpr DType kFormat = kNibbleFormat;
  static constexpr int kLineSteps = 2;
  static constexpr int64_t kHeaderBytes = panel_header_bytes(kFormat, 0), kBlockBytes = block_bytes(kFormat);
  static constexpr int64_t kCodesAt = block_scale_bytes(kFormat), kGroupBytes = kGroupSteps / 2 * kLine;
  struct Table {
    __m512i levels, low_half;
  };
  LH_VNNI_INLINE static Table table() {
    const auto& levels = kFormat == DType::kQ4 ? kQ4Levels : kF4Levels;
    const __m128i as_signed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels.data()));
    return {_mm512_broadcast_i32x4(_mm_xor_si128(as_signed, _mm_set1_epi8(-kCodeOffset))), _mm512_set1_epi8(15)};
  }
  LH_VNNI_INLINE static void bytes(const std::byte* codes, Table t, __m512i* out) {
    const __m512i both = load_line(codes);
    out[0] = _mm512_shuffle_epi8(t.levels, _mm512_and_si512(both, t.low_half));
    out[1] = _mm512_shuffle_epi8(t.levels, _mm512_and_si512(_mm512_srli_epi16(both, 4), t.low_half));
  }
  LH_VNNI_INLINE static __m512 scales(const std::byte* panel, const std::byte* block, int64_t g) {
    return load_scales(block + g * kPanel, scale_shift(kFormat), _mm512_loadu_ps(panel));
  }
};
using Q4 = Nibbles<DType::kQ4>;
using F4 = Nibbles<DType::kF4>;

// What many rows read: f32 scales and bytes.
struct Decoded {
  static constexpr int kLineSteps = 1;
  static constexpr int64_t kHeaderBytes = 0, kCodesAt = kBlockGroups * kLine, kGroupBytes = kGroupSteps * kLine;
  static constexpr int64_t kBlockBytes = kCodesAt + kBlockGroups * kGroupBytes;
  struct Table {};
  LH_VNNI_INLINE static Table table() { return {}; }
  LH_VNNI_INLINE static void bytes(const std::byte* codes, Table, __m512i* out) { out[0] = load_line(codes); }
  LH_VNNI_INLINE static __m512 scales(const std::byte*, const std::byte* block, int64_t g) { return _mm512_load_ps(block + g * kLine); }
};

LH_VNNI_INLINE __m512i broadcast_step(const int8_t* codes) {
  int32_t step;
  std::memcpy(&step, codes, sizeof step);
  return _mm512_set1_epi32(step);
}

template <class Source, int kRows, int kPanels>
LH_VNNI_TARGET void microkernel(const MatmulTile& t, int64_t row, int64_t panel) {
  const std::byte* const a = static_cast<const std::byte*>(t.a) + row * t.a_stride;
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
    const std::byte* const block = b + Source::kHeaderBytes + k_block * Source::kBlockBytes;
    const auto* const inputs = reinterpret_cast<const InputBlock*>(a) + k_block;
    for (int64_t g = 0; g < kBlockGroups; ++g) {
      __m512i sum[kRows][kPanels];
      LH_UNROLL for (int r = 0; r < kRows; ++r) {
        const auto* in = reinterpret_cast<const InputBlock*>(reinterpret_cast<const std::byte*>(inputs) + r * t.a_stride);
        const __m512i correction = _mm512_set1_epi32(in->correction[static_cast<size_t>(g)]);
        if constexpr (!std::is_same_v<Source, Decoded>) {  // the weights that pass through L1 drive the inputs out
          _mm_prefetch(reinterpret_cast<const char*>(in + 2) + g * kInputBytesAGroup, _MM_HINT_T0);
        }
        LH_UNROLL for (int p = 0; p < kPanels; ++p) sum[r][p] = correction;
      }
      LH_UNROLL for (int line = 0; line < kGroupSteps / Source::kLineSteps; ++line) {
        __m512i weights[kPanels][Source::kLineSteps];
        LH_UNROLL for (int p = 0; p < kPanels; ++p) {
          const int64_t at = Source::kCodesAt + g * Source::kGroupBytes + line * kLine;
          Source::bytes(block + p * t.b.panel_stride + at, table, weights[p]);
        }
        LH_UNROLL for (int s = 0; s < Source::kLineSteps; ++s) {
          LH_UNROLL for (int r = 0; r < kRows; ++r) {
            const auto* in = reinterpret_cast<const InputBlock*>(reinterpret_cast<const std::byte*>(inputs) + r * t.a_stride);
            const __m512i step = broadcast_step(in->codes.data() + g * kQuantGroup + (line * Source::kLineSteps + s) * kStepInputs);
            LH_UNROLL for (int p = 0; p < kPanels; ++p) sum[r][p] = _mm512_dpbusd_epi32(sum[r][p], weights[p][s], step);
          }
        }
      }
      LH_UNROLL for (int p = 0; p < kPanels; ++p) {
        const __m512 scales = Source::scales(b + p * t.b.panel_stride, block + p * t.b.panel_stride, g);
        LH_UNROLL for (int r = 0; r < kRows; ++r) {
          const auto* in = reinterpret_cast<const InputBlock*>(reinterpret_cast<const std::byte*>(inputs) + r * t.a_stride);
          const __m512 scale = _mm512_mul_ps(scales, _mm512_set1_ps(in->scale[static_cast<size_t>(g)]));
          total[r][p] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r][p]), scale, total[r][p]);
        }
      }
    }
  }
  LH_UNROLL for (int r = 0; r < kRows; ++r) {
    LH_UNROLL for (int p = 0; p < kPanels; ++p) {
      _mm512_mask_storeu_ps(c + r * t.c_stride + p * kPanel, p + 1 < kPanels ? 0xffff : last_mask, total[r][p]);
    }
  }
}

constexpr int kBestRows = 6;  // times two panels: 12 exact sums and 12 totals in registers, next to bytes and scales

template <class Source, int kMaxPanels>
struct Kernels {
  static constexpr bool fits(int rows, int panels) { return panels <= kMaxPanels && rows * panels <= kBestRows * kManyRowsPanels; }
  template <int kRows, int kPanels>
  static constexpr Microkernel kernel() {
    return microkernel<Source, kRows, kPanels>;
  }
};

template <class Source>
struct Decoder {
  static constexpr int64_t kBlocks = 4, kBlockBytes = Decoded::kBlockBytes, kInputBytes = static_cast<int64_t>(sizeof(InputBlock));

  LH_VNNI_TARGET static void decode(const std::byte* panel, int64_t, int64_t first, int64_t n, std::byte* out) {
    const typename Source::Table table = Source::table();
    for (int64_t b = 0; b < n; ++b) {
      const std::byte* block = panel + Source::kHeaderBytes + (first + b) * Source::kBlockBytes;
      std::byte* to = out + b * Decoded::kBlockBytes;
      for (int64_t g = 0; g < kBlockGroups; ++g) _mm512_store_ps(to + g * kLine, Source::scales(panel, block, g));
      to += Decoded::kCodesAt;
      for (int64_t line = 0; line < kBlockGroups * kGroupSteps / Source::kLineSteps; ++line) {
        __m512i bytes[Source::kLineSteps];
        Source::bytes(block + Source::kCodesAt + line * kLine, table, bytes);
        LH_UNROLL for (int s = 0; s < Source::kLineSteps; ++s, to += kLine) _mm512_store_si512(to, bytes[s]);
      }
    }
  }
};

template <class Source>
void matmul(const MatmulTile& t) {
  static constexpr RegisterTiles few = make_register_tiles<Kernels<Source, kFewRowsPanels>>(kBestRows);
  static constexpr RegisterTiles many = make_register_tiles<Kernels<Decoded, kManyRowsPanels>>(kBestRows);
  t.m <= few.max_rows() || t.k == 0 ? run_register_tiles(few, t) : multiply_many_rows<Decoder<Source>>(t, many);
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
  set.matmul_q8 = matmul<Q8>;
  set.matmul_q4 = matmul<Q4>;
  set.matmul_f4 = matmul<F4>;
  set.peak_int8 = peak_int8;
  return true;
}

}  // namespace longhaul

#endif
