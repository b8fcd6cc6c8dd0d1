// The Highway kernel sets: the same source compiled for each instruction set.
#pragma once

#include <span>

#include "kernels/kernels.h"

namespace longhaul {

// The sets this machine can run, slowest first; never empty (the last resort is compiled for every
// machine).
std::span<const KernelSet* const> cpu_kernel_sets();

// What a target of Highway has beside its other products; none of one that is not compiled.
std::span<const Products::Entry> grouped_products(int64_t target);

}  // namespace longhaul
