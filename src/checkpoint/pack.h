// Matrices out of a checkpoint's tensors into the kernels' layout, some rows at a time: at loading,
// and when an expert is brought in.
#pragma once

#include <span>

#include "arch/weights.h"
#include "formats/scaled_tensor.h"
#include "kernels/codecs/quantise.h"

namespace longhaul {

// Where a matrix lies in the checkpoint: rows of a tensor.
struct StoredMatrix {
  ScaledTensor tensor;
  int64_t first_row = 0, rows = 0, cols = 0;

  // Of these rows of the matrix, without their scales.
  std::span<const std::byte> bytes(int64_t first, int64_t n) const;
  std::span<const std::byte> bytes() const { return bytes(0, rows); }
  // What is read for all of it, the scales' share included.
  uint64_t stored_bytes() const;
};

// Matrix e of a weight, whether its experts stand in one stack or in tensors of their own.
//   tensors  those of the weight
StoredMatrix stored_matrix(std::span<const ScaledTensor> tensors, const WeightSpec& weight,
                           int64_t e);

// Packs rows [first, first + n) of the matrix into their place in `out`, which is that of the whole
// packed matrix. first is a multiple of kPanel. Weights in E4M3 and MXFP4 go into panels of their
// own kind as they are, or are widened like all others; kQ8 and kQ4 are rounded.
//   widened  scratch [kPanel, cols], used where the tensor has scales
// The error that rounding to kQ8 or kQ4 made, 0 otherwise. kCorruptFile where a weight or a scale
// is no number.
Result<QuantError> pack(const StoredMatrix& matrix, int64_t first, int64_t n, DType packed,
                        std::byte* out, float* widened);

// What a matrix is stored in, as packed_dtype takes it: kF8E4M3, kF4 (with E8M0 scales), kBF16, or
// kF32 for whatever else there is.
DType stored_dtype(const ScaledTensor& tensor);

// How many rows of a matrix with so many columns hold about so many elements: whole panels.
int64_t rows_per_task(int64_t cols, int64_t n_elements);

}  // namespace longhaul
