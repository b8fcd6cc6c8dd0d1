// Rows of f32 that are decoded when they are asked for, whatever lies behind them.
#pragma once

#include <cstdint>

namespace longhaul {

// Any number of threads may read. Reading takes no lock and no heap.
class RowSource {
 public:
  virtual ~RowSource() = default;
  // Elements [first, first + n) of a row.
  virtual void read(int64_t row, int64_t first, int64_t n, float* out) const = 0;
};

}  // namespace longhaul
