// Matrices of quantised safetensors, dequantised row by row: integers with scales by groups of
// inputs, and codes of E2M1 or E4M3. They hold any of the published containers (compressed-tensors,
// GPTQ, AWQ, MLX, ModelOpt); which tensor is which, and that its shape is right, is for their
// readers.
//
// Pure functions over views; nothing is allocated and every content is accepted. Values are in f32
// in the order of operations that is given, which is that of the reference packages when they are
// handed f32 scales.
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/code_streams.h"
#include "tensor/dtype.h"
#include "tensor/grouped_codes.h"

namespace longhaul {

// Floats of a type that checkpoints keep scales in, one for each output and group.
struct GroupScales {
  const std::byte* data = nullptr;              // at any byte
  DType type = DType::kF32;                     // F32, F16, BF16
  int64_t output_stride = 0, group_stride = 0;  // elements

  static GroupScales by_output(const std::byte* data, DType type, int64_t n_groups) {
    return {data, type, n_groups, 1};
  }
  static GroupScales by_group(const std::byte* data, DType type, int64_t n_outputs) {
    return {data, type, 1, n_outputs};
  }
  float at(int64_t output, int64_t group) const;
};

// A matrix [out, in] of integers.
//   without biases   scale * (code - zero)
//   with biases      scale * code + bias
struct IntegerMatrix {
  int64_t n_inputs = 0;
  int64_t group_inputs = 0;  // inputs that share a scale; the last group may be shorter
  // Given: the group of each input, I32, at any byte (actorder). Else inputs follow one another.
  const std::byte* groups = nullptr;
  CodeStreams codes;
  // Given: all rows are one stream, of so many codes each: rows of bytes need not be whole words.
  int64_t row_codes = 0;
  bool is_signed = false;           // codes are two's complement, of 8 bits: 128 is added to each
  bool streams_are_outputs = true;  // else inputs (AWQ)
  GroupScales scales;
  // A stream a group, a code an output; no words where all zeros are `zero`.
  CodeStreams zeros;
  // Added to a stored zero (GPTQ's first version: 1), or the zero itself (symmetric: 2^(bits - 1)).
  int zero = 0;
  GroupScales biases;  // no data where there are none
};

// Inputs [first, first + n) of a row.
void decode_range(const IntegerMatrix& matrix, int64_t row, int64_t first, int64_t n, float* out);

// The integers and the scale of one group of inputs, for n <= GroupedCodes::kMaxWeights of them
// from `first` on, which all are of one group: the form that panels of integers are packed from.
// False where they are no such integers: 8 bits with a zero of their own or a bias.
bool read_grouped(const IntegerMatrix& matrix, int64_t row, int64_t first, int64_t n,
                  GroupedCodes& codes);

// Whether one of n codes of n streams has all bits set. GPTQ's first version stores zeros less one:
// where 0 - 1 has wrapped, readers disagree on what was meant.
bool has_all_ones(const CodeStreams& streams, int64_t n_streams, int64_t n);

// A matrix [out, in] of E2M1 codes, two to a byte, the low half first.
//   element * (scale * factor), or element * (scale / factor)
struct Fp4Matrix {
  int64_t n_inputs = 0;      // whole groups
  int64_t group_inputs = 0;  // that share a scale: 32 (MXFP4) or 16 (NVFP4)
  const std::byte* codes = nullptr;
  const std::byte* scales = nullptr;  // [out, in / group_inputs]
  DType scale_type = DType::kF8E8M0;  // or F8_E4M3
  float factor = 1.0f;
  bool divides = false;  // compressed-tensors divides by its global scale, ModelOpt multiplies
};

void decode_range(const Fp4Matrix& matrix, int64_t row, int64_t first, int64_t n, float* out);

// A matrix [out, in] of E4M3 codes with a scale for each block of it; the last blocks may be
// shorter.
//   element * scale
struct Fp8Matrix {
  int64_t n_inputs = 0;
  int64_t block_rows = 1, block_inputs = 0;
  const std::byte* codes = nullptr;
  const std::byte* scales = nullptr;  // [ceil(out / block_rows), ceil(in / block_inputs)]
  DType scale_type = DType::kF32;     // F32, F16, BF16, F8_E8M0
};

void decode_range(const Fp8Matrix& matrix, int64_t row, int64_t first, int64_t n, float* out);

// A matrix [out, in] of floats as they are: the base of what is added to it.
struct FloatMatrix {
  int64_t n_inputs = 0;
  const std::byte* elements = nullptr;  // at any byte
  DType type = DType::kF32;             // F32, F16, BF16
};

void decode_range(const FloatMatrix& matrix, int64_t row, int64_t first, int64_t n, float* out);

// A product of two thin matrices of floats, B A, [out, rank] and [rank, in].
struct LowRank {
  int64_t n_inputs = 0, rank = 0;
  const std::byte *a = nullptr, *b = nullptr;  // at any byte
  DType a_type = DType::kF32, b_type = DType::kF32;
  double scale = 1.0;
};

// out += scale * B A for those inputs of a row: summed in f64, rounded to f32 once.
void add_range(const LowRank& product, int64_t row, int64_t first, int64_t n, float* out);

// Rows [first_row, first_row + n_rows), n_inputs each.
template <class Matrix>
void decode_rows(const Matrix& matrix, int64_t first_row, int64_t n_rows, float* out) {
  for (int64_t r = 0; r < n_rows; ++r)
    decode_range(matrix, first_row + r, 0, matrix.n_inputs, out + r * matrix.n_inputs);
}

}  // namespace longhaul
