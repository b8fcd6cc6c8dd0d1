// How a MatmulTile is cut into register tiles: shared by every vector tier, which brings only its
// microkernels.
#pragma once

#include <algorithm>
#include <array>

#include "kernels/kernels.h"

namespace longhaul {

// A sanitizer's compiler takes minutes for each file of many shapes. What a shape computes does not
// depend on it, so that there a few of them stand for all.
#ifdef LONGHAUL_FEW_TILE_SHAPES
inline constexpr int kMaxTileRows = 2;
inline constexpr int kMaxTilePanels = 2;
#else
inline constexpr int kMaxTileRows = 8;
inline constexpr int kMaxTilePanels = 4;
#endif

// Computes rows [row, row + R) of panels [panel, panel + P), with k in order and one accumulator an
// output.
using Microkernel = void (*)(const MatmulTile&, int64_t row, int64_t panel);

struct RegisterTiles {
  // by_shape[R][P]; null where R x P accumulators do not fit the registers.
  std::array<std::array<Microkernel, kMaxTilePanels + 1>, kMaxTileRows + 1> by_shape{};
  int best_rows = 1;  // rows of the tiles that a larger M is cut into

  int max_rows() const;  // M up to this is one tile: every weight is read once
  int max_panels(int rows) const;
};

// Panels outside, rows inside: a group of panels (one k-block of it) stays in L1 while all rows
// pass.
void run_register_tiles(const RegisterTiles& tiles, const MatmulTile& tile);

template <class Kernels, int kRows = 1, int kPanels = 1>
constexpr void add_microkernels(RegisterTiles& tiles) {
  if constexpr (Kernels::fits(kRows, kPanels))
    tiles.by_shape[kRows][kPanels] = Kernels::template kernel<kRows, kPanels>();
  if constexpr (kPanels < kMaxTilePanels) {
    add_microkernels<Kernels, kRows, kPanels + 1>(tiles);
  } else if constexpr (kRows < kMaxTileRows) {
    add_microkernels<Kernels, kRows + 1>(tiles);
  }
}

// The table of the microkernels that `Kernels` makes: fits(rows, panels) says which, kernel<rows,
// panels>() gives each. A larger M is cut into tiles of `best_rows`, or of as many as fit.
template <class Kernels>
constexpr RegisterTiles make_register_tiles(int best_rows) {
  RegisterTiles tiles;
  add_microkernels<Kernels>(tiles);
  while (tiles.best_rows < std::min(best_rows, kMaxTileRows) &&
         Kernels::fits(tiles.best_rows + 1, 1)) {
    ++tiles.best_rows;
  }
  return tiles;
}

}  // namespace longhaul
