// What loading asks of the values in a checkpoint beside those of matrices, which pack() checks.
#pragma once

#include "arch/weights.h"
#include "base/errors.h"
#include "formats/tensor_source.h"

namespace longhaul {

// The elements of a vector as f32; an error where one of them is infinite or no number.
Status widen_vector(const TensorInfo& tensor, const WeightSpec& weight, float* out);
// Of a table of integers: all of them in their range.
Status check_index(const TensorInfo& tensor, const WeightSpec& weight);

}  // namespace longhaul
