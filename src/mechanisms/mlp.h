// Gated MLP: y = Wdown( act(Wgate x) * (Wup x) ). Source: GLU Variants Improve Transformer (Shazeer 2020), eq. 6.
#pragma once

#include "mechanisms/env.h"

namespace longhaul {

inline Activation kernel_activation(ActivationKind kind) {
  return kind == ActivationKind::kSilu ? Activation::kSilu : Activation::kGeluTanh;
}

//   x, out  [n_rows, D]
void mlp_forward(Env& env, const GatedMlpSpec& spec, const float* x, int64_t n_rows, float* out);
uint64_t mlp_scratch_bytes(const GatedMlpSpec& spec, int64_t hidden_size, const StepLimits& limits);

}  // namespace longhaul
