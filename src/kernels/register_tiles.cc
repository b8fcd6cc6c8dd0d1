#include "kernels/register_tiles.h"

#include <algorithm>

namespace longhaul {

int RegisterTiles::max_rows() const {
  int rows = kMaxTileRows;
  while (rows > 1 && by_shape[static_cast<size_t>(rows)][1] == nullptr) --rows;
  return rows;
}

int RegisterTiles::max_panels(int rows) const {
  int panels = kMaxTilePanels;
  while (panels > 1 && by_shape[static_cast<size_t>(rows)][static_cast<size_t>(panels)] == nullptr)
    --panels;
  return panels;
}

void run_register_tiles(const RegisterTiles& tiles, const MatmulTile& tile) {
  if (tile.m <= 0 || tile.n <= 0) return;
  const int64_t n_row_tiles = tile.m <= tiles.max_rows() ? 1 : ceil_div(tile.m, tiles.best_rows);
  const int64_t n_panels = ceil_div(tile.n, kPanel);
  const int64_t group = tiles.max_panels(static_cast<int>(ceil_div(tile.m, n_row_tiles)));
  for (int64_t panel = 0; panel < n_panels; panel += group) {
    const auto panels = static_cast<size_t>(std::min(group, n_panels - panel));
    for (int64_t t = 0, row = 0; t < n_row_tiles; ++t) {
      const int64_t rows = ceil_div(tile.m - row, n_row_tiles - t);  // tiles as equal as can be
      tiles.by_shape[static_cast<size_t>(rows)][panels](tile, row, panel);
      row += rows;
    }
  }
}

}  // namespace longhaul
