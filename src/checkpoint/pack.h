// Matrices out of a checkpoint's tensors into the kernels' layout, some rows at a time: at loading,
// and when an expert is brought in.
#pragma once

#include <span>

#include "arch/weights.h"
#include "formats/scaled_tensor.h"
#include "kernels/codecs/codecs.h"

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

// Packs rows [first, first + n) of the matrix into `out`, where the first one's panel begins. first
// is a multiple of kPanel. Codes go into a codec that keeps them as they are;
// into any other they are widened first.
//   widened  scratch [kPanel, cols], used where the tensor is not plain
// The error that rounding made, 0 where there was none. kCorruptFile where a weight or a scale is
// no number.
Result<QuantError> pack(const StoredMatrix& matrix, int64_t first, int64_t n, const Codec& codec,
                        std::byte* out, float* widened);

// What keeps a matrix as it is stored; bf16 where nothing does.
const Codec& stored_codec(const ScaledTensor& tensor);

// How many rows of a matrix with so many columns hold about so many elements: whole panels.
int64_t rows_per_task(int64_t cols, int64_t n_elements);

}  // namespace longhaul
