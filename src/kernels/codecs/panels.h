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

#include "base/checked_math.h"
#include "kernels/codecs/quant_blocks.h"
#include "tensor/dtype.h"

namespace longhaul {

// Inputs per step: how many elements of K stand side by side, in f32 and bf16.
inline constexpr int64_t inputs_per_step(DType dtype) { return dtype == DType::kF32 ? 1 : 2; }

struct Panels {
  const std::byte* data = nullptr;
  int64_t panel_stride = 0;  // bytes
  int64_t step_stride = 0;   // bytes; 0 in block formats, whose kernels know it
};

// A weight matrix [N, K] (y = W x) packed panel after panel; N and K are padded with zeros to a
// whole panel and step (or block).
struct PackedMatrix {
  const std::byte* data = nullptr;  // 64-byte aligned, not owned
  DType dtype = DType::kF32;
  int64_t n = 0, k = 0;

  int64_t step_bytes() const {
    return kPanel * inputs_per_step(dtype) * static_cast<int64_t>(bytes_per_element(dtype));
  }
  int64_t panel_bytes() const {
    return is_block_format(dtype) ? block_panel_bytes(dtype, k)
                                  : ceil_div(k, inputs_per_step(dtype)) * step_bytes();
  }
  Panels panels(int64_t first_output = 0) const {
    return {data + first_output / kPanel * panel_bytes(), panel_bytes(),
            is_block_format(dtype) ? 0 : step_bytes()};
  }
};

inline uint64_t packed_bytes(DType dtype, int64_t n, int64_t k) {
  return static_cast<uint64_t>(ceil_div(n, kPanel)) *
         static_cast<uint64_t>(PackedMatrix{nullptr, dtype, n, k}.panel_bytes());
}

// Packs rows [first_row, first_row + n_rows) of a row-major matrix with k columns into `out` (the
// place of the whole packed matrix). first_row is a multiple of kPanel; the source starts at that
// row. Source f32, f16 or bf16; f32 -> bf16 rounds to nearest even.
void pack_rows(const void* source, DType source_dtype, int64_t first_row, int64_t n_rows, int64_t k,
               DType packed, std::byte* out);

}  // namespace longhaul
