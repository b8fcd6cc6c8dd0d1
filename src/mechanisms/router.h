// Routers choose experts: which ones each token goes to, and with what weights.
//
// Linear:  p = score(Wr r(x)),  T = top_k(p + bias),  w_e = p_e / sum_T p * scale_e.  score is a softmax over the experts or a sigmoid of each; the
//          bias moves the choice alone (DeepSeek-AI 2024, arXiv 2408.15664); r is the router's own norm and scales.
// MLP:     s = Wd x + b (+ the s of the layer before * scale),  p = softmax(W3 gelu(W2 gelu(W1 rms(s) + b1) + b2)),
//          e = argmax(p + bias),  w_e = p_e; the output behind the last expert means none. gelu is the exact one, x Phi(x).
#pragma once

#include "mechanisms/env.h"

namespace longhaul {

// For each row its top_k experts in falling order of choice and their weights. Expert n_experts means none.
//   x  [n_rows, D]    chosen, weight  [n_rows, top_k]
void route(Env& env, const MoeSpec& spec, int64_t hidden_size, const float* x, int64_t n_rows, int32_t* chosen, float* weight);
uint64_t route_scratch_bytes(const MoeSpec& spec, int64_t hidden_size, const StepLimits& limits);

// Width of what routers hand from layer to layer; 0 where none does.
int64_t router_state_width(const RouterSpec& router);

}  // namespace longhaul
