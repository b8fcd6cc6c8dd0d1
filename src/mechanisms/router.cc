#include "mechanisms/router.h"

#include "mechanisms/linear.h"

namespace longhaul {
namespace {

// r(x): the rows themselves where the router has neither norm nor scales.
Rows<const float> prepared(Env& env, const LinearRouterSpec& r, Rows<const float> x) {
  if (!r.norm && r.scale == kNone && r.factor == 1.0f) return x;
  const Rows<float> in = env.scratch->take_rows<float>(x.n, x.width);
  if (r.norm) {
    norm(env, *r.norm, x, in);
  } else {
    env.ops->copy(x, in);
  }
  if (r.scale != kNone) env.ops->scale_by(env.weights->vector(r.scale), in);
  if (r.factor != 1.0f) env.ops->scale(r.factor, in);
  return in;
}

void route_with(Env& env, const LinearRouterSpec& r, int64_t n_experts, const BlockIo& io,
                Rows<int32_t> chosen, Rows<float> weight) {
  const Rows<float> logits = env.scratch->take_rows<float>(io.out.n, n_experts);
  linear(env, {{r.proj, prepared(env, r, io.out_x), logits}});
  const bool by_token = r.token_experts != kNone;
  env.ops->choose_experts(
      {.score = r.score,
       .softcap = r.softcap,
       .bias = env.weights->vector(r.selection_bias),
       .token_experts = by_token ? &env.weights->table(r.token_experts) : nullptr,
       .expert_scale = env.weights->vector(r.per_expert_scale),
       .output_scale = r.output_scale},
      io.out.tokens, logits, chosen, weight);
}

void route_with(Env& env, const MlpRouterSpec& r, int64_t n_experts, const BlockIo& io,
                Rows<int32_t> chosen, Rows<float> weight) {
  const auto take = [&](int64_t width) { return env.scratch->take_rows<float>(io.out.n, width); };
  const Rows<float> state = take(r.width), a = take(r.width), b = take(r.width);
  const Rows<float> logits = take(n_experts + 1);
  linear(env, {{r.down_proj, io.out_x, state}});
  add_bias(env, r.down_bias, state);
  env.ops->hand_on(env.weights->vector(r.states_scale), state, io.router_states);
  norm(env, r.norm, state, state);
  linear(env, {{r.fc1, state, a}});
  add_bias(env, r.fc1_bias, a);
  env.ops->gelu(a);
  linear(env, {{r.fc2, a, b}});
  add_bias(env, r.fc2_bias, b);
  env.ops->gelu(b);
  linear(env, {{r.out_proj, b, logits}});
  env.ops->choose_experts({.score = RouterScore::kSoftmax,
                           .bias = env.weights->vector(r.selection_bias),
                           .renormalises = false},
                          io.out.tokens, logits, chosen, weight);
}

}  // namespace

void route(Env& env, const RouterSpec& router, int64_t n_experts, const BlockIo& io,
           Rows<int32_t> chosen, Rows<float> weight) {
  const ArenaScope scope(*env.scratch);
  std::visit([&](const auto& r) { route_with(env, r, n_experts, io, chosen, weight); }, router);
}

int64_t router_state_width(const RouterSpec& router) {
  const auto* mlp = std::get_if<MlpRouterSpec>(&router);
  return mlp == nullptr ? 0 : mlp->width;
}

std::string router_words(const RouterSpec& router) {
  const auto* linear = std::get_if<LinearRouterSpec>(&router);
  return linear != nullptr && linear->token_experts != kNone ? " by token id" : "";
}

}  // namespace longhaul
