// The Walsh-Hadamard transform, in place: what rotations that spread outliers are made of.
#pragma once

#include <cstdint>

namespace longhaul {

// x[n] = H x, where H[i][j] is -1 if i & j has an odd number of ones, else 1; n a power of two.
// H H = n, and sums run in the order of the loops here in every kernel set.
inline void walsh_hadamard(float* x, int64_t n) {
  for (int64_t half = 1; half < n; half *= 2) {
    for (int64_t first = 0; first < n; first += 2 * half) {
      for (int64_t i = first; i < first + half; ++i) {
        const float a = x[i], b = x[i + half];
        x[i] = a + b;
        x[i + half] = a - b;
      }
    }
  }
}

}  // namespace longhaul
