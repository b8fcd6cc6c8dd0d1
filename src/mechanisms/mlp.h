// Gated MLP: y = Wdown( act(Wgate x) * (Wup x) ). Source: GLU Variants Improve Transformer (Shazeer 2020), eq. 6.
#pragma once

#include <limits>
#include <optional>

#include "mechanisms/env.h"

namespace longhaul {

inline Activation kernel_activation(ActivationKind kind) {
  return kind == ActivationKind::kSilu ? Activation::kSilu : Activation::kGeluTanh;
}

// gate = activation(gate) * up, [n]; where there is a limit the gate is cut off above it and up at both sides first.
inline void gate_row(const KernelSet& k, ActivationKind activation, std::optional<float> limit, int64_t n, float* gate, float* up) {
  if (limit) {
    k.clamp(gate, -std::numeric_limits<float>::infinity(), *limit, n);
    k.clamp(up, -*limit, *limit, n);
  }
  k.gated_activation(kernel_activation(activation), gate, up, n, gate);
}

//   x, out  [n_rows, D]
void mlp_forward(Env& env, const GatedMlpSpec& spec, const float* x, int64_t n_rows, float* out);
uint64_t mlp_scratch_bytes(const GatedMlpSpec& spec, int64_t hidden_size, const StepLimits& limits);

}  // namespace longhaul
