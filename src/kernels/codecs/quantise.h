// Makes weights of the block formats of quant_blocks.h: rounds them (kQ8, kQ4), or moves what a
// file has quantised (kF4, kF8E4M3).
#pragma once

#include <span>

#include "base/errors.h"
#include "kernels/codecs/panels.h"

namespace longhaul {

// What rounding did to the weights: sums over all of them, so that reports of parts add up.
struct QuantError {
  double squared_error = 0.0, squared_weights = 0.0;
  QuantError& operator+=(const QuantError& other);
};

// Weights beyond this are refused: they are damaged, and products with them would leave f32's
// range.
inline constexpr float kLargestWeight = 65536.0f;

// Quantises rows [first_row, first_row + n_rows) of a row-major matrix with k columns to kQ8 or
// kQ4, into `out` (the place of the whole packed matrix). first_row is a multiple of kPanel; the
// source (f32, f16 or bf16, at any byte) starts at that row. Of kQ4 a block gets the scale, and its
// groups the multipliers, with the least squared error of those tried. kCorruptFile where a weight
// is not finite or beyond kLargestWeight.
Result<QuantError> quantise_rows(const void* source, DType source_dtype, int64_t first_row,
                                 int64_t n_rows, int64_t k, DType packed, std::byte* out);

// Rows as above of MXFP4 as stored: codes [n_rows, ceil(k / 2)], two a byte, the even column in the
// low half; E8M0 scales [n_rows, ceil(k / 32)]. Values are kept as they are, but for scales of
// 2^-127 (byte 0), which become 0. kCorruptFile where a scale is NaN (byte 255).
Status pack_f4_rows(const std::byte* codes, const std::byte* scales, int64_t first_row,
                    int64_t n_rows, int64_t k, std::byte* out);

// Rows as above of E4M3 as stored: codes [n_rows, k]; the scales are those of the whole matrix, a
// f32 for each square of 128 x 128: [ceil(n / 128), ceil(k / 128)]. kCorruptFile where a code is
// NaN.
Status pack_f8_rows(const std::byte* codes, std::span<const float> scales, int64_t first_row,
                    int64_t n_rows, int64_t k, std::byte* out);

// The weights of output `row`, [k]: as the kernels see them.
void unpack_row(const PackedMatrix& matrix, int64_t row, float* out);

}  // namespace longhaul
