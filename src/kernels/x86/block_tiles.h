// What the AVX-512 kernels share beside their instructions: the last columns, and many rows against
// blocks that are decoded first.
#pragma once

#include <algorithm>

#include "base/numbers.h"
#include "kernels/register_tiles.h"
#include "tensor/arena.h"

namespace longhaul {

// The lanes of `panel` that are columns of C, one bit each.
inline uint16_t column_mask(const MatmulTile& t, int64_t panel) {
  const int64_t columns = std::min(t.n - panel * kPanel, kPanel);
  return static_cast<uint16_t>((1u << columns) - 1);
}

// Few rows read one panel after another: one stream from memory, which hardware prefetches best
// (measured: two streams of short panels reach half of its speed).
inline constexpr int kFewRowsPanels = 1;
inline constexpr int kManyRowsPanels = 2;

inline void fetch(const std::byte* from, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += kCacheLine) __builtin_prefetch(from + at);
}

// C of many rows. A few blocks of two panels at a time, decoded where the format needs it, stay in
// L1 while all rows meet them; the sums stand side by side until K is done: rows of C are often a
// power of two apart, and would drive each other out of the caches. While tiles of rows are
// computed, the next blocks are fetched a part at a time: they come in pieces too short for the
// hardware to foresee.
//
// `Decoder` says into what blocks are decoded, and how: Blocks, kBlocks, kBlockBytes of a decoded
// block, kInputBytes of a block of one row of A, kStrideBytes that a unit of a_stride stands for,
// and decode(panel, k, first, n, out) for blocks [first, first + n) of a panel of k inputs; or
// kInPlace, and blocks are computed on as they are. `tiles` computes on decoded blocks.
template <class Decoder>
class ManyRows {
 public:
  ManyRows(const MatmulTile& tile, const RegisterTiles& tiles) : t_(tile), tiles_(tiles) {}

  void run() {
    for (first_row_ = 0; first_row_ < t_.m; first_row_ += kMostRows) {
      n_rows_ = std::min(t_.m - first_row_, kMostRows);
      n_row_tiles_ = ceil_div(n_rows_, int64_t{tiles_.best_rows});
      for (int64_t panel = 0; panel * kPanel < t_.n; panel += kManyRowsPanels) {
        if (t_.accumulate) load_sums(panel);
        for (int64_t block = 0; block < blocks_of(t_.k); block += Decoder::kBlocks)
          multiply(panel, block);
        store_sums(panel);
      }
    }
  }

 private:
  static constexpr int64_t kMostRows = 256;
  static constexpr int64_t kSumsStride = kManyRowsPanels * kPanel;
  static constexpr int64_t kPanelBytes = Decoder::kBlocks * Decoder::kBlockBytes;

  int64_t columns_from(int64_t panel) const { return std::min(t_.n - panel * kPanel, kSumsStride); }
  int64_t panels_from(int64_t panel) const { return ceil_div(columns_from(panel), kPanel); }
  int64_t blocks_from(int64_t block) const {
    return std::min(blocks_of(t_.k) - block, Decoder::kBlocks);
  }
  float* c_row(int64_t row, int64_t panel) const {
    return t_.c + (first_row_ + row) * t_.c_stride + panel * kPanel;
  }
  const std::byte* codes(int64_t panel, int64_t block) const {
    return t_.b.data + panel * t_.b.panel_stride + Decoder::Blocks::kLayout.header(t_.k) +
           block * Decoder::Blocks::kLayout.block_bytes;
  }

  void load_sums(int64_t panel) {
    for (int64_t r = 0; r < n_rows_; ++r)
      std::copy_n(c_row(r, panel), columns_from(panel), sums_ + r * kSumsStride);
  }
  void store_sums(int64_t panel) const {
    for (int64_t r = 0; r < n_rows_; ++r)
      std::copy_n(sums_ + r * kSumsStride, columns_from(panel), c_row(r, panel));
  }

  Panels decode(int64_t panel, int64_t block) {
    if constexpr (Decoder::kInPlace) {
      return {codes(panel, block), t_.b.panel_stride, 0};
    } else {
      for (int64_t p = 0; p < panels_from(panel); ++p) {
        const std::byte* from = t_.b.data + (panel + p) * t_.b.panel_stride;
        Decoder::decode(from, t_.k, block, blocks_from(block), decoded_ + p * kPanelBytes);
      }
      return {decoded_, kPanelBytes, 0};
    }
  }

  void multiply(int64_t panel, int64_t block) {
    const int64_t n_blocks = blocks_from(block);
    const auto* a =
        static_cast<const std::byte*>(t_.a) + first_row_ * t_.a_stride * Decoder::kStrideBytes;
    const MatmulTile tile{.a = a + block * Decoder::kInputBytes,
                          .a_stride = t_.a_stride,
                          .b = decode(panel, block),
                          .c = sums_,
                          .c_stride = kSumsStride,
                          .m = n_rows_,
                          .n = columns_from(panel),
                          .k = n_blocks * kQuantBlock,
                          .accumulate = t_.accumulate || block > 0};
    const bool is_last = block + n_blocks == blocks_of(t_.k);
    const int64_t next_panel = is_last ? panel + kManyRowsPanels : panel,
                  next_block = is_last ? 0 : block + n_blocks;
    for (int64_t i = 0, row = 0; i < n_row_tiles_; ++i) {
      const int64_t rows = ceil_div(n_rows_ - row, n_row_tiles_ - i);  // tiles as equal as can be
      fetch_weights(next_panel, next_block, i);
      tiles_.by_shape[static_cast<size_t>(rows)][static_cast<size_t>(panels_from(panel))](tile, row,
                                                                                          0);
      row += rows;
    }
  }

  // The part-th of as many parts as there are tiles of rows.
  void fetch_weights(int64_t panel, int64_t block, int64_t part) const {
    if (panel * kPanel >= t_.n) return;
    const int64_t bytes = blocks_from(block) * Decoder::Blocks::kLayout.block_bytes,
                  share = round_up(ceil_div(bytes, n_row_tiles_), kCacheLine);
    for (int64_t p = 0; p < panels_from(panel); ++p) {
      fetch(codes(panel + p, block) + part * share,
            std::clamp(bytes - part * share, int64_t{0}, share));
    }
  }

  const MatmulTile& t_;
  const RegisterTiles& tiles_;
  int64_t first_row_ = 0, n_rows_ = 0, n_row_tiles_ = 0;  // of the rows that are computed
  alignas(kCacheLine) float sums_[kMostRows * kSumsStride];
  alignas(kCacheLine) std::byte decoded_[Decoder::kInPlace ? 1 : kManyRowsPanels * kPanelBytes];
};

template <class Decoder>
void multiply_many_rows(const MatmulTile& t, const RegisterTiles& tiles) {
  if (t.m > 0 && t.n > 0) ManyRows<Decoder>(t, tiles).run();
}

}  // namespace longhaul
