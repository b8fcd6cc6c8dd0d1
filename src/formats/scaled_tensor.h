// Matrices stored in 8 or 4 bits with a tensor of scales beside them.
//
//   F8_E4M3 [out, in], scales [ceil(out / 128), ceil(in / 128)]: one a block
//   E2M1 codes, two to a byte (I8 or U8 [out, in / 2], the low half is the even column), scales
//   [out, in / 32]: one a run of 32 columns (MXFP4)
// Scales are F8_E8M0 powers of two, F32 or BF16.
//
// Blocks of GGUF files bring their scales with them; NVFP4 has a factor beside it, of all or of
// each matrix of a stack.
#pragma once

#include "formats/tensor_source.h"

namespace longhaul {

struct ScaledTensor {
  const TensorInfo* weight = nullptr;
  const TensorInfo* scales = nullptr;  // null: the weight needs none

  // Whether elements are floats, each by itself.
  bool is_plain() const {
    return scales == nullptr && !is_quantised(weight->dtype) && weight->coded == nullptr;
  }
};

bool needs_scales(DType dtype);
// The names under which the scales of a tensor may stand: 'a.weight' has 'a.scale' or
// 'a.weight_scale_inv'.
std::vector<std::string> scale_names(const std::string& weight_name);
// Whether weight and scales are stored as above for a matrix of this shape; says what is wrong
// otherwise.
Status check_scaled(const ScaledTensor& tensor, std::span<const int64_t> shape);
// Whether what stands beside a tensor in blocks is a factor of it. It need not be there.
Status check_factor(const ScaledTensor& tensor);

// The factor of a row of blocks; 1 where there is none.
float factor_of(const ScaledTensor& tensor, int64_t row);

// Scale i of a tensor of them, in the order of its elements.
float scale_at(const TensorInfo& scales, int64_t i);

// Rows [first_row, first_row + n_rows) of a checked matrix with so many columns, widened to f32.
void decode_rows(const ScaledTensor& tensor, int64_t first_row, int64_t n_rows, int64_t cols,
                 float* out);

}  // namespace longhaul
