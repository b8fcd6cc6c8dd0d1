// Branches that read the same input and whose outputs add up, each between norms of its own: y = sum_i post_i( mixer_i( pre_i(x) ) ).
#pragma once

#include "mechanisms/env.h"

namespace longhaul {

//   x, out  [n_rows, D]
void parallel_forward(Env& env, const ParallelSpec& spec, int64_t hidden_size, const float* x, int64_t n_rows, float* out);
uint64_t parallel_scratch_bytes(const ParallelSpec& spec, int64_t hidden_size, const StepLimits& limits);

}  // namespace longhaul
