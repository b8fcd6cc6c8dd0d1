// What this machine can do at best, measured: the marks that the benchmarks hold kernels against.
#pragma once

#include "kernels/matmul.h"

namespace longhaul {

// All threads of the pool together. One multiply-add counts as 2 flops.
struct Roofline {
  double read_bytes_per_second = 0.0;         // best pass over a buffer far larger than the caches
  double median_read_bytes_per_second = 0.0;  // far below the best one: other programs share the machine
  double bf16_flops_per_second = 0.0;         // on registers, with the instruction that the kernel set's matmul uses
  double f32_flops_per_second = 0.0;
  double int8_flops_per_second = 0.0;  // multiply-adds of bytes, as the integer block formats use them
};

// Takes about a second and 512 MiB, which must be there: kOverBudget otherwise.
Result<Roofline> measure_roofline(const Compute& compute);

}  // namespace longhaul
