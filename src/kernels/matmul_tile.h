// A piece of a matrix product: what every kernel of one computes.
#pragma once

#include "kernels/codecs/panels.h"

namespace longhaul {

// C [M, N] = A [M, K] * B, or C += with accumulate. Sums and C are f32. An output's sum runs over k
// in order, whatever M and N are, and goes on from C as if it had not paused, where a product is
// cut at a multiple of kPanel inputs (of whole blocks in block formats). B's codec says what A is
// (InputCoding):
//   kF32, kBf16           rows of that type, K padded to whole blocks of the codec with zeros
//   kInt8, kRotatedInt8   rows of InputBlock, K padded to whole blocks
struct MatmulTile {
  const void* a = nullptr;
  int64_t a_stride = 0;  // elements from row to row; bytes where rows are of InputBlock
  Panels b;
  float* c = nullptr;
  int64_t c_stride = 0;         // elements from row to row
  int64_t m = 0, n = 0, k = 0;  // n need not fill its last panel: only n columns of C are written
  bool accumulate = false;
};

using Product = void (*)(const MatmulTile&);

}  // namespace longhaul
