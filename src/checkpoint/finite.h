// Weights that are no numbers: one of them makes every answer one, so loading refuses them by name.
#pragma once

#include <optional>

#include "base/errors.h"
#include "formats/tensor_source.h"

namespace longhaul {

// The first of n elements (F32, F16, BF16, at any byte) that is infinite or no number.
std::optional<int64_t> first_not_finite(DType dtype, const std::byte* elements, int64_t n);

// An error that says which element it is, counted from `first`; the caller names the tensor.
Status check_finite(DType dtype, const std::byte* elements, int64_t n, int64_t first);

}  // namespace longhaul
