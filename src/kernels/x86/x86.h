// Kernel sets for instructions that the packaged Highway does not know.
#pragma once

#include <span>

#include "kernels/kernels.h"

namespace longhaul {

// Those this machine can run, slowest first; none without AVX-512.
//   avx3_vnni  avx3 with integer block formats on AVX512-VNNI
//   avx3_bf16  with bf16 products on AVX512-BF16, E4M3 blocks too where VBMI is there, and VNNI
//   where that is there
std::span<const KernelSet* const> x86_kernel_sets();

// Each puts its functions into the set where this machine can run them.
bool use_vnni(KernelSet& set);
bool use_bf16(KernelSet& set);
void use_f8(KernelSet& set);

}  // namespace longhaul
