// Rows of state in the formats that models were released with: 8-bit or 4-bit codes with a power of
// two a group, the rotated tail in bf16.
//
//   kFp8ByE8M0   [codes E4M3][tail bf16][a scale every 64 channels: 2^ceil(log2(max(largest, 1e-4)
//   / 448))][padding] kMxFp4       groups of 32, scale 2^ceil(log2(max(largest, 6 2^-126) / 6)),
//   after a Hadamard rotation that spreads outliers over the row
// Values are rounded to the nearest code, ties to even. Source: the released inference code; MXFP4
// as in OCP Microscaling Formats 1.0.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/numbers.h"
#include "tensor/row_format.h"

namespace longhaul {

//   x  [channels];  out  coded_row_bytes(format, channels)
void encode_fp8_row(const RowFormat& format, const float* x, int64_t channels, std::byte* out);
void decode_fp8_row(const RowFormat& format, const std::byte* row, int64_t channels, bf16* out);

inline constexpr int64_t kFp4Group = 32;

// A group of 32 values as codes (bit 3 the sign) and the byte of their scale. A value that is no
// number becomes 0.
struct Fp4Group {
  std::array<uint8_t, kFp4Group> codes;
  uint8_t scale;  // E8M0
};
Fp4Group encode_fp4_group(const float* x);

// x = H x / sqrt(n) in place, H the Walsh-Hadamard matrix in natural order; n a power of two. Its
// own inverse, and inner products stay what they are.
void hadamard(float* x, int64_t n);

// The rotation of rows in 8 bits: hadamard() of runs, the longest that a power of two divides the
// row into. One channel that is far larger than the others no longer sets the step in which they
// are rounded. Queries are rotated as keys are, and sums of rotated values are turned back.
inline constexpr int64_t kLongestRun = 256;
int64_t rotated_run(int64_t n);
// Calls f(first, run) for each run of x [n], rotated.
template <class F>
void for_rotated_runs(const float* x, int64_t n, const F& f) {
  std::array<float, kLongestRun> run;
  const int64_t length = rotated_run(n);
  for (int64_t first = 0; first < n; first += length) {
    std::copy_n(x + first, length, run.data());
    hadamard(run.data(), length);
    f(first, std::span<const float>(run.data(), static_cast<size_t>(length)));
  }
}
// In place; its own inverse.
void rotate_row(float* x, int64_t n);

}  // namespace longhaul
