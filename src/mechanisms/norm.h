// RMSNorm over rows: out = x / sqrt(mean(x^2) + eps) * w, in f32. Source: Zhang & Sennrich 2019, eq. 4, eps inside the root as in the
// families' released code.
#pragma once

#include "mechanisms/env.h"

namespace longhaul {

//   x, out  [n_rows, n] with rows contiguous; out may be x
inline void norm(const Env& env, const NormSpec& spec, const float* x, int64_t n_rows, int64_t n, float* out) {
  const float* w = env.weights->vector(spec.weight);
  for_rows(env, n_rows, n, [&](int64_t row) { env.kernels().rms_norm(x + row * n, w, spec.eps, n, out + row * n); });
}

}  // namespace longhaul
