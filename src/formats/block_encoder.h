// Rows of floats into blocks of GGUF types: what the tables of a packed folder are rounded to.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace longhaul {

// Weights of a block of either type.
inline constexpr int64_t kEncodedBlock = 32;

// Rounds x [n_blocks * kEncodedBlock], finite and at most 65504 in magnitude, to blocks of a type:
// Q8_0 or IQ4_NL. Of IQ4_NL the scale is the best of several, fitted to the levels by least
// squares. Allocates nothing.
void encode_blocks(DType type, const float* x, int64_t n_blocks, std::byte* out);

}  // namespace longhaul
