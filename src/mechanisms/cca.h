// Compressed convolutional attention: attention inside a narrow latent, with queries and keys mixed
// over time and half of the values delayed.
//
//   x_t = [Wq u_t ; Wk u_t]                                C = (H + G) K channels
//   y_t[c] = alpha[c] + sum_j A[c,j] x_{t-t0+1+j}[c]       depthwise
//   z_t = beta + sum_j B_h,j y_{t-t1+1+j}                  grouped by head
//   mq_j = (q_j + k_g(j)) / 2,   mk_g = mean over the group's mq_j
//   Q = sqrt(K) (zq + mq) / |zq + mq|,   K = temp_g sqrt(K) (zk + mk) / |zk + mk|,   then rope
//   V_t = [ Wc u_t ; Wd u_{t-1} ]                          half of the heads sees the token before
// Before the first token x is 0 and y is alpha: only x is padded. temp_g is the weight, or
// exp(clamp(weight)).
// State besides keys and values: the last t0 - 1 of x, the last t1 - 1 of y, Wd u of the last
// token. Source: Figliolia et al. 2025 (arXiv 2510.04476, abstract); equations as in the reference
// implementation's zaya model.
#pragma once

#include "mechanisms/gqa.h"

namespace longhaul {

struct CcaSpec {
  AttentionSpec attention;          // v_proj: the current token's half of the values
  WeightId v_proj_delayed = kNone;  // [G head_dim / 2, D]: what the next token uses
  int64_t time0 = 0, time1 = 0;     // taps of the depthwise and of the grouped convolution
  // C = (H + G) head_dim, query heads first.
  WeightId conv_depthwise = kNone, conv_depthwise_bias = kNone;  // [C, time0], [C]
  // H + G matrices [head_dim, head_dim * time1], [C]
  WeightId conv_grouped = kNone, conv_grouped_bias = kNone;
  WeightId temperature = kNone;               // [G]
  std::optional<Clamp> log_temperature = {};  // given: the temperature is exp(clamp(weight))
  StateId taps = kNone;                       // fixed state

  int64_t channels() const { return attention.q_width() + attention.kv_width(); }
  int64_t delayed_width() const { return attention.kv_width() / 2; }
  int64_t state_elements() const { return (time0 - 1 + time1 - 1) * channels() + delayed_width(); }
};

// Convolutions mix queries and keys of all rows, so a row that only leaves its state is spared the
// output projection alone.
void visit_weights(Is<CcaSpec> auto& s, const auto& visit) {
  auto& a = s.attention;
  for (auto* id : {&a.q_proj, &a.k_proj, &a.v_proj}) visit(*id, {.for_state = true});
  visit(a.o_proj);
  for (auto* id : {&s.v_proj_delayed, &s.conv_depthwise, &s.conv_depthwise_bias, &s.conv_grouped,
                   &s.conv_grouped_bias, &s.temperature}) {
    visit(*id, {.for_state = true});
  }
}
void visit_states(Is<CcaSpec> auto& s, const auto& visit) {
  visit(s.attention.state, StateUse::kReadsAndWrites);
  visit(s.taps, StateUse::kReadsAndWrites);
}
inline Needs needs(const CcaSpec& s) { return needs(s.attention); }
void forward(Env& env, const CcaSpec& s, const BlockIo& io);
inline ContextWork context_work(const CcaSpec& s, int64_t n) {
  return context_work(s.attention, n);
}
inline Wide prompt_flops(const CcaSpec& s, int64_t n) { return prompt_flops(s.attention, n); }
Words words(const CcaSpec& s, const Architecture& arch);

}  // namespace longhaul
