// Gated MLP: y = Wdown( act(Wgate x) * (Wup x) ).
// Source: GLU Variants Improve Transformer (Shazeer 2020), eq. 6.
#pragma once

#include "arch/mixer.h"
#include "mechanisms/block_io.h"

namespace longhaul {

struct GatedMlpSpec {
  int64_t width = 0;
  ActivationKind activation = ActivationKind::kGeluTanh;
  // The gate is cut off above it, the up projection at both sides, before they meet.
  std::optional<float> limit = {};
  WeightId gate_proj = kNone, up_proj = kNone, down_proj = kNone;
};

void visit_weights(Is<GatedMlpSpec> auto& s, const auto& visit) {
  for (auto* id : {&s.gate_proj, &s.up_proj, &s.down_proj}) visit(*id);
}
void visit_states(Is<GatedMlpSpec> auto&, const auto&) {}
inline Needs needs(const GatedMlpSpec&) { return {}; }
void forward(Env& env, const GatedMlpSpec& s, const BlockIo& io);
inline ContextWork context_work(const GatedMlpSpec&, int64_t) { return {}; }
inline Wide prompt_flops(const GatedMlpSpec&, int64_t) { return 0; }
Words words(const GatedMlpSpec& s, const Architecture& arch);

inline GatedActivation gated_activation(ActivationKind kind, std::optional<float> limit = {}) {
  const bool is_silu = kind == ActivationKind::kSilu;
  return {is_silu ? Activation::kSilu : Activation::kGeluTanh, limit};
}

}  // namespace longhaul
