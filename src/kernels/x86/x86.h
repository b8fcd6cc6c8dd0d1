// Kernel sets for instructions that the packaged Highway does not know.
#pragma once

#include "kernels/kernels.h"

namespace longhaul {

// avx3 with the bf16 products on AVX512-BF16 dot instructions, or null where this machine has none.
const KernelSet* avx3_bf16_kernels();

}  // namespace longhaul
