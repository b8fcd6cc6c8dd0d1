// Mixture of experts: a router chooses top_k experts a token; their gated MLPs run on just the tokens that chose them.
//
//   y = sum_{e in T} w_e Wdown_e( act(Wgate_e z) * (Wup_e z) )
// T and w come from the router (router.h), z is the experts' own norm of x. Experts nobody chose are not touched. A token that chose none of them
// gets 0 or w z, as the spec says.
// Source: Shazeer et al. 2017, eq. 1; grouping by expert as in MegaBlocks (Gale et al. 2022).
#pragma once

#include "mechanisms/env.h"

namespace longhaul {

//   x, out  [n_rows, D]
void moe_forward(Env& env, const MoeSpec& spec, int64_t hidden_size, const float* x, int64_t n_rows, float* out);
uint64_t moe_scratch_bytes(const MoeSpec& spec, int64_t hidden_size, const StepLimits& limits);

// Expected number of experts touched by a batch of b tokens with independent routing: E (1 - (1 - k/E)^b).
double expected_experts(const MoeSpec& spec, int64_t batch);

}  // namespace longhaul
