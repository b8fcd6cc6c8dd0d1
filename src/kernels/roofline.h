// What this machine can do at best, measured: the marks that the benchmarks hold kernels against.
#pragma once

#include "base/buffer.h"
#include "kernels/cpu/matmul.h"

namespace longhaul {

// Reads a buffer far larger than the caches, pass after pass of a few ms, which often escapes other
// programs.
class ReadProbe {
 public:
  static constexpr int64_t kBytes = int64_t{512} << 20;

  static Result<ReadProbe> create();  // takes kBytes; kOverBudget where they are not there

  // Bytes per second of one pass of all threads of the pool.
  double pass(const Compute& compute);
  // The median of a few passes: what memory gives now. About 10 ms.
  double now(const Compute& compute);

 private:
  Buffer buffer_;
  int64_t passes_ = 0;
};

// All threads of the pool together. One multiply-add counts as 2 flops.
struct Roofline {
  double read_bytes_per_second = 0.0;  // best pass over a buffer far larger than the caches
  // far below the best one: other programs share the machine
  double median_read_bytes_per_second = 0.0;
  // on registers, with the instruction that the kernel set's matmul uses
  double bf16_flops_per_second = 0.0;
  double f32_flops_per_second = 0.0;
  // multiply-adds of bytes, as the integer block formats use them
  double int8_flops_per_second = 0.0;
};

// Takes about a second and 512 MiB, which must be there: kOverBudget otherwise.
Result<Roofline> measure_roofline(const Compute& compute);

}  // namespace longhaul
