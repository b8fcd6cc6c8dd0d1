// Routers choose experts: which ones each token goes to, and with what weights.
//
// Linear:  p = score(Wr r(x)),  T = top_k(p + bias),  w_e = p_e / sum_T p * scale_e.  The score is
// a
//          softmax over the experts, or of each a sigmoid or the root of its softplus. The bias
//          moves the choice alone (DeepSeek-AI 2024, arXiv 2408.15664); r is the router's own norm
//          and scales.
// MLP:     s = Wd x + b (+ the s of the layer before * scale),
//          p = softmax(W3 gelu(W2 gelu(W1 rms(s) + b1) + b2)),
//          e = argmax(p + bias),  w_e = p_e; the output behind the last expert means none. gelu is
//          the exact one, x Phi(x).
#pragma once

#include <variant>

#include "arch/mixer.h"
#include "mechanisms/block_io.h"
#include "mechanisms/norm.h"

namespace longhaul {

// Scores over all experts; the top_k by score + bias are kept, their scores renormalised. The input
// may be normed, scaled by a vector and by a constant. Or the token's id alone names its experts,
// and only their weights come from the scores.
struct LinearRouterSpec {
  RouterScore score = RouterScore::kSoftmax;
  std::optional<NormSpec> norm;
  WeightId scale = kNone;  // [D], may be kNone
  float factor = 1.0f;
  WeightId proj = kNone;              // [E, D]
  std::optional<float> softcap = {};  // of the projection's output
  WeightId selection_bias = kNone;    // [E], moves the choice but not the weights; may be kNone
  WeightId token_experts = kNone;     // [V, top_k] the experts of a token id; kNone: by score
  WeightId per_expert_scale = kNone;  // [E], applied after renormalising; may be kNone
  float output_scale = 1.0f;          // applied to every weight
};

// A small MLP on a projection of the token, to which the router of the layer before hands its own
// projection. One more output than experts: it stands for skipping them. The best of softmax + bias
// is taken, weighted by its probability.
struct MlpRouterSpec {
  int64_t width = 0;
  WeightId down_proj = kNone, down_bias = kNone;  // [width, D], [width]
  WeightId states_scale = kNone;                  // [width]; kNone: takes nothing over
  NormSpec norm;
  WeightId fc1 = kNone, fc1_bias = kNone;  // [width, width], [width]
  WeightId fc2 = kNone, fc2_bias = kNone;  // likewise
  WeightId out_proj = kNone;               // [E + 1, width]
  WeightId selection_bias = kNone;         // [E + 1]
};

using RouterSpec = std::variant<LinearRouterSpec, MlpRouterSpec>;

void visit_router(Is<LinearRouterSpec> auto& r, const auto& visit) {
  visit_norm(r.norm, visit);
  for (auto* id : {&r.scale, &r.proj, &r.selection_bias, &r.token_experts, &r.per_expert_scale}) {
    visit(*id);
  }
}
void visit_router(Is<MlpRouterSpec> auto& r, const auto& visit) {
  for (auto* id : {&r.down_proj, &r.down_bias, &r.states_scale, &r.norm.weight, &r.fc1, &r.fc1_bias,
                   &r.fc2, &r.fc2_bias, &r.out_proj, &r.selection_bias}) {
    visit(*id);
  }
}
void visit_weights(Is<RouterSpec> auto& router, const auto& visit) {
  std::visit([&](auto& r) { visit_router(r, visit); }, router);
}

// For each output row its top_k experts in falling order of choice and their weights. The id
// n_experts stands for no expert.
//   chosen, weight  [rows, top_k]
void route(Env& env, const RouterSpec& router, int64_t n_experts, const BlockIo& io,
           Rows<int32_t> chosen, Rows<float> weight);

// Width of what routers hand from layer to layer; 0 where none does.
int64_t router_state_width(const RouterSpec& router);
std::string router_words(const RouterSpec& router);  // " by token id", or nothing

}  // namespace longhaul
