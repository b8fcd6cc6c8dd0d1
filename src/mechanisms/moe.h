// Mixture of experts: a router chooses top_k experts a token; their gated MLPs run on just the
// tokens that chose them.
//
//   y = sum_{e in T} w_e Wdown_e( act(Wgate_e z) * (Wup_e z) )
// T and w come from the router (router.h), z is the experts' own norm of x. Experts nobody chose
// are not touched. A token that chose none of them gets 0 or w z, as the spec says.
// Source: Shazeer et al. 2017, eq. 1; grouping by expert as in MegaBlocks (Gale et al. 2022).
#pragma once

#include "mechanisms/router.h"

namespace longhaul {

// What a token gets whose router chose none of the experts: nothing, or its own input times the
// weight of that choice.
enum class Skipped { kNothing, kItself };

struct MoeSpec {
  int64_t n_experts = 0, top_k = 0, width = 0;
  ActivationKind activation = ActivationKind::kGeluTanh;
  std::optional<float> limit = {};  // as in GatedMlpSpec
  RouterSpec router;
  Skipped skipped = Skipped::kNothing;
  std::optional<NormSpec> expert_norm;  // on the experts' input; the router sees the block's input
  WeightId gate_proj = kNone, up_proj = kNone;  // [E, width, D]
  WeightId down_proj = kNone;                   // [E, D, width]
};

void visit_weights(Is<MoeSpec> auto& s, const auto& visit) {
  visit_weights(s.router, visit);
  visit_norm(s.expert_norm, visit);
  const WeightRole role{.top_k = s.top_k, .mixture = s.gate_proj};
  for (auto* id : {&s.gate_proj, &s.up_proj, &s.down_proj}) visit(*id, role);
}
void visit_states(Is<MoeSpec> auto&, const auto&) {}
inline Needs needs(const MoeSpec& s) {
  return {.router_state_width = router_state_width(s.router)};
}
void forward(Env& env, const MoeSpec& s, const BlockIo& io);
inline ContextWork context_work(const MoeSpec&, int64_t) { return {}; }
inline Wide prompt_flops(const MoeSpec&, int64_t) { return 0; }
Words words(const MoeSpec& s, const Architecture& arch);

// Expected number of experts touched by a batch of b tokens with independent routing:
// E (1 - (1 - k/E)^b).
double expected_experts(int64_t n_experts, int64_t top_k, int64_t batch);

}  // namespace longhaul
