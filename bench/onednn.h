// oneDNN's matrix products, to hold our own against: a bench option alone, where the library was
// there when the bench was built.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "tensor/dtype.h"

namespace longhaul {

// C [m, n] f32 = A [m, k] * B [k, n] with B in the order that oneDNN likes best: bf16 for kBF16,
// else A of unsigned and B of signed bytes with int32 sums. A call multiplies once, on one thread.
// Empty where the bench was built without oneDNN, or the library cannot multiply so.
std::optional<std::function<void()>> onednn_product(DType weights, int64_t m, int64_t k, int64_t n);

}  // namespace longhaul
