// Products on vdpbf16ps: one instruction adds a pair of products to each of 16 sums.
//
// The instruction rounds and flushes subnormals in its own way, so results differ from avx3's in
// the last bits; within this set a row's result is the same for every M, as everywhere.
#include "kernels/x86/x86.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/register_tiles.h"
#include "kernels/unroll.h"
#include "kernels/x86/block_tiles.h"

// A target attribute on each function: a -m flag for the file would let the linker keep wide copies
// of shared inline functions.
#define LH_BF16_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))

namespace longhaul {
namespace {

constexpr int kFewRows = 4;  // up to this, decode: bound by memory
// above this, one tile of all rows: as much bound by memory as by the dots
constexpr int kManyRows = 6;
constexpr int kSumRegisters = 24;
// two panels: measured faster than three where weights come from memory
constexpr int kSumRegistersManyRows = 16;

constexpr bool prefetches(int rows) { return rows <= kFewRows || rows > kManyRows; }

// How far ahead to ask for weights, in bytes. Short panels (keys, values): the next group of
// panels, which no hardware prefetcher guesses. Long panels: on in the panel; more rows spend
// longer on each line but hide latency worse, and want the next page.
template <int kRows>
int64_t prefetch_distance(int64_t group_bytes) {
  if (group_bytes <= 128 * 1024) return group_bytes;
  return kRows <= kFewRows ? 1024 : 4096;
}

LH_BF16_TARGET __attribute__((always_inline)) inline __m512 dot(__m512 sum, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

LH_BF16_TARGET __attribute__((always_inline)) inline __m512i broadcast_pair(const bf16* a) {
  int32_t pair;
  std::memcpy(&pair, a, sizeof pair);
  return _mm512_set1_epi32(pair);
}

template <int kRows, int kPanels>
LH_BF16_TARGET void microkernel(const MatmulTile& t, int64_t row, int64_t panel) {
  const bf16* a = static_cast<const bf16*>(t.a) + row * t.a_stride;
  const std::byte* b = t.b.data + panel * t.b.panel_stride;
  float* c = t.c + row * t.c_stride + panel * kPanel;
  [[maybe_unused]] const int64_t ahead = prefetch_distance<kRows>(kPanels * t.b.panel_stride);
  const __mmask16 last_mask = column_mask(t, panel + kPanels - 1);
  __m512 sum[kRows][kPanels];
  LH_UNROLL for (int r = 0; r < kRows; ++r) {
    LH_UNROLL for (int p = 0; p < kPanels; ++p) {
      const __mmask16 mask = !t.accumulate ? 0 : p + 1 < kPanels ? 0xffff : last_mask;
      sum[r][p] = _mm512_maskz_loadu_ps(mask, c + r * t.c_stride + p * kPanel);
    }
  }
  for (int64_t k = 0; k < t.k; k += 2) {
    __m512i weights[kPanels];
    LH_UNROLL for (int p = 0; p < kPanels; ++p) {
      const std::byte* from = b + p * t.b.panel_stride;
      weights[p] = _mm512_loadu_si512(from);
      if constexpr (prefetches(kRows))
        _mm_prefetch(reinterpret_cast<const char*>(from) + ahead, _MM_HINT_T1);
    }
    LH_UNROLL for (int r = 0; r < kRows; ++r) {
      const __m512i input = broadcast_pair(a + r * t.a_stride + k);
      LH_UNROLL for (int p = 0; p < kPanels; ++p) sum[r][p] = dot(sum[r][p], input, weights[p]);
    }
    b += t.b.step_stride;
  }
  LH_UNROLL for (int r = 0; r < kRows; ++r) {
    LH_UNROLL for (int p = 0; p < kPanels; ++p) {
      _mm512_mask_storeu_ps(c + r * t.c_stride + p * kPanel, p + 1 < kPanels ? 0xffff : last_mask,
                            sum[r][p]);
    }
  }
}

struct Kernels {
  static constexpr bool fits(int rows, int panels) {
    return rows * panels <= (rows > kManyRows ? kSumRegistersManyRows : kSumRegisters);
  }
  template <int kRows, int kPanels>
  static constexpr Microkernel kernel() {
    return microkernel<kRows, kPanels>;
  }
};

void matmul_bf16(const MatmulTile& tile) {
  static constexpr RegisterTiles tiles = make_register_tiles<Kernels>(kManyRows);
  run_register_tiles(tiles, tile);
}

LH_BF16_TARGET int64_t peak_bf16(int64_t rounds) {
  constexpr int kSums = 12;
  const __m512i one = _mm512_set1_epi32(0x3f803f80);
  __m512 sum[kSums];
  LH_UNROLL for (int s = 0; s < kSums; ++s) sum[s] = _mm512_set1_ps(static_cast<float>(s));
  for (int64_t i = 0; i < rounds; ++i) {
    LH_UNROLL for (int s = 0; s < kSums; ++s) sum[s] = dot(sum[s], one, one);
  }
  __m512 total = sum[0];
  LH_UNROLL for (int s = 1; s < kSums; ++s) total = _mm512_add_ps(total, sum[s]);
  volatile float sink = _mm512_cvtss_f32(total);
  static_cast<void>(sink);
  return rounds * kSums * kPanel * 2;
}

}  // namespace

bool use_bf16(KernelSet& set) {
  if (!__builtin_cpu_supports("avx512bf16")) return false;
  set.products.set(kBf16Codec, matmul_bf16);
  set.peak_bf16 = peak_bf16;
  return true;
}

}  // namespace longhaul

#endif
