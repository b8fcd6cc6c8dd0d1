// What loaded weights occupy: the loader allocates this, the planner reports it.
#pragma once

#include "arch/architecture.h"
#include "tensor/dtype.h"

namespace longhaul {

// Matrices and experts packed, vectors as f32, tables 0 (they stay in their file).
uint64_t resident_bytes(const WeightSpec& weight, DType packed);
uint64_t resident_weight_bytes(const Architecture& arch, DType packed);

}  // namespace longhaul
