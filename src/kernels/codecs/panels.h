// The packed layout of every right-hand operand: "lanes are outputs".
//
// B [K, N] is cut into panels of 16 outputs. Within a panel the inputs follow one another in steps;
// a step holds kStep(dtype) consecutive inputs for each of the 16 outputs (1 for f32, 2 for bf16,
// the pair that one dot instruction eats):
//   element (k, n) stands at  (n / 16) * panel_stride + (k / step) * step_stride + (n % 16) * step
//   + (k % step)
// One layout serves weights, keys (outputs = cached positions) and values (outputs = channels), so
// attention and linear layers run on the same microkernel. Quantised weights have panels of another
// inside: quant_blocks.h. Every output's sum runs over k in order, whatever M is: a row's result
// does not depend on the rows beside it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace longhaul {

inline constexpr int64_t kPanel = 16;  // outputs of a panel

// Inputs per step: how many elements of K stand side by side, in f32 and bf16.
inline constexpr int64_t inputs_per_step(DType dtype) { return dtype == DType::kF32 ? 1 : 2; }

struct Panels {
  const std::byte* data = nullptr;
  int64_t panel_stride = 0;  // bytes
  int64_t step_stride = 0;   // bytes; the kernels of block formats know it
};

}  // namespace longhaul
