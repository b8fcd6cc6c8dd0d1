// Matrices of quantised safetensors, dequantised row by row: integers with scales by groups of
// inputs, and E2M1 codes. They hold any of the published containers (compressed-tensors, GPTQ, AWQ,
// MLX, ModelOpt); which tensor is which, and that its shape is right, is for their readers.
//
// Pure functions over views; nothing is allocated and every content is accepted. Values are in f32
// in the order of operations that is given, which is that of the reference packages when they are
// handed f32 scales.
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/code_streams.h"
#include "tensor/dtype.h"

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
  CodeStreams codes;
  bool streams_are_outputs = true;  // else inputs (AWQ)
  GroupScales scales;
  // A stream a group, a code an output; no words where all zeros are `zero`.
  CodeStreams zeros;
  // Added to a stored zero (GPTQ's first version: 1), or the zero itself (symmetric: 2^(bits - 1)).
  int zero = 0;
  GroupScales biases;  // no data where there are none
};

// Rows [first_row, first_row + n_rows), n_inputs each.
void decode_rows(const IntegerMatrix& matrix, int64_t first_row, int64_t n_rows, float* out);

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

void decode_rows(const Fp4Matrix& matrix, int64_t first_row, int64_t n_rows, float* out);

}  // namespace longhaul
