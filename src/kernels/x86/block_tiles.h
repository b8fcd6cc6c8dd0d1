// What the AVX-512 kernels share beside their instructions: the last columns, and many rows against blocks that are decoded first.
#pragma once

#include <algorithm>

#include "base/numbers.h"
#include "kernels/register_tiles.h"
#include "kernels/scratch.h"

namespace longhaul {

// The lanes of `panel` that are columns of C, one bit each.
inline uint16_t column_mask(const MatmulTile& t, int64_t panel) {
  const int64_t columns = std::min(t.n - panel * kPanel, kPanel);
  return static_cast<uint16_t>((1u << columns) - 1);
}

// Few rows read one panel after another: one stream from memory, which hardware prefetches best (measured: two streams of short panels
// reach half of its speed).
inline constexpr int kFewRowsPanels = 1;
inline constexpr int kManyRowsPanels = 2;

// C of many rows: a few blocks of two panels at a time are decoded into L1, where all rows meet them.
//
// `Decoder` says into what, and how: kBlocks, kBlockBytes of a decoded block, kInputBytes of a block of one row of A, and
// decode(panel, k, first, n, out) for blocks [first, first + n) of a panel of k inputs. `tiles` computes on decoded blocks.
template <class Decoder>
void multiply_many_rows(const MatmulTile& t, const RegisterTiles& tiles) {
  constexpr int64_t kPanelBytes = Decoder::kBlocks * Decoder::kBlockBytes;
  alignas(kCacheLine) std::byte decoded[kManyRowsPanels * kPanelBytes];
  for (int64_t panel = 0; panel * kPanel < t.n; panel += kManyRowsPanels) {
    const int64_t columns = std::min(t.n - panel * kPanel, kManyRowsPanels * kPanel);
    for (int64_t block = 0; block < blocks_of(t.k); block += Decoder::kBlocks) {
      const int64_t n_blocks = std::min(Decoder::kBlocks, blocks_of(t.k) - block);
      for (int64_t p = 0; p < ceil_div(columns, kPanel); ++p) {
        Decoder::decode(t.b.data + (panel + p) * t.b.panel_stride, t.k, block, n_blocks, decoded + p * kPanelBytes);
      }
      run_register_tiles(tiles, {.a = static_cast<const std::byte*>(t.a) + block * Decoder::kInputBytes,
                                 .a_stride = t.a_stride,
                                 .b = {decoded, kPanelBytes, 0},
                                 .c = t.c + panel * kPanel,
                                 .c_stride = t.c_stride,
                                 .m = t.m,
                                 .n = columns,
                                 .k = n_blocks * kQuantBlock,
                                 .accumulate = t.accumulate || block > 0});
    }
  }
}

}  // namespace longhaul
