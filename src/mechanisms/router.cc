#include "mechanisms/router.h"

#include <algorithm>
#include <cmath>

#include "mechanisms/linear.h"
#include "mechanisms/lookup.h"
#include "mechanisms/norm.h"

namespace longhaul {
namespace {

// The k outputs of the largest score + bias, in falling order, ties to the lower index. `best` holds k values of scratch.
void top_k(const float* score, const float* bias, int64_t n, int64_t k, float* best, int32_t* out) {
  int64_t kept = 0;
  for (int64_t e = 0; e < n; ++e) {
    const float value = bias == nullptr ? score[e] : score[e] + bias[e];
    if (kept == k && !(value > best[k - 1])) continue;
    int64_t at = kept < k ? kept++ : k - 1;
    for (; at > 0 && value > best[at - 1]; --at) {
      best[at] = best[at - 1];
      out[at] = out[at - 1];
    }
    best[at] = value;
    out[at] = static_cast<int32_t>(e);
  }
}

struct LinearBuffers {
  float *in, *probs;  // [rows, D], [rows, E]
};

LinearBuffers take_buffers(Arena& a, const LinearRouterSpec&, const MoeSpec& s, int64_t d, int64_t rows) {
  return {a.take<float>(rows * d), a.take<float>(rows * s.n_experts)};
}

void score_experts(const Env& env, const LinearRouterSpec& r, int64_t n, float* logits) {
  if (r.softcap) env.kernels().softcap(logits, n, *r.softcap);
  switch (r.score) {
    case RouterScore::kSoftmax: return env.kernels().softmax(logits, n);
    case RouterScore::kSigmoid:
      for (int64_t e = 0; e < n; ++e) logits[e] = 1.0f / (1.0f + std::exp(-logits[e]));
      return;
    case RouterScore::kSqrtSoftplus:
      for (int64_t e = 0; e < n; ++e) logits[e] = std::sqrt(std::max(logits[e], 0.0f) + std::log1p(std::exp(-std::abs(logits[e]))));
      return;
  }
}

void route_with(Env& env, const LinearRouterSpec& r, const MoeSpec& s, int64_t d, const float* x, int64_t n_rows, int32_t* chosen,
                float* weight) {
  const LinearBuffers b = take_buffers(*env.scratch, r, s, d, n_rows);
  const KernelSet& k = env.kernels();
  const float *scale = env.weights->vector(r.scale), *expert_scale = env.weights->vector(r.per_expert_scale);
  for_rows(env, n_rows, d, [&](int64_t row) {
    float* in = b.in + row * d;
    if (r.norm) {
      k.rms_norm(x + row * d, env.weights->vector(r.norm->weight), r.norm->eps, d, in);
    } else {
      std::copy_n(x + row * d, d, in);
    }
    if (scale != nullptr) k.scale_by(in, scale, d);
    if (r.factor != 1.0f) k.scale(in, r.factor, d);
  });
  linear(env, {{r.proj, b.in, b.probs, n_rows}});
  for_rows(env, n_rows, s.n_experts * s.top_k, [&](int64_t row) {
    float *p = b.probs + row * s.n_experts, *w = weight + row * s.top_k;
    int32_t* out = chosen + row * s.top_k;
    score_experts(env, r, s.n_experts, p);
    if (r.token_experts != kNone) {
      lookup_index(env.weights->table(r.token_experts), env.tokens[row], out);
    } else {
      top_k(p, env.weights->vector(r.selection_bias), s.n_experts, s.top_k, w, out);
    }
    float sum = 0.0f;
    for (int64_t j = 0; j < s.top_k; ++j) sum += p[out[j]];
    for (int64_t j = 0; j < s.top_k; ++j) w[j] = p[out[j]] / sum * (expert_scale == nullptr ? 1.0f : expert_scale[out[j]]) * r.output_scale;
  });
}

struct MlpBuffers {
  float *state, *a, *b, *probs;  // [rows, width] three times, [rows, E + 1]
};

MlpBuffers take_buffers(Arena& a, const MlpRouterSpec& r, const MoeSpec& s, int64_t, int64_t rows) {
  return {a.take<float>(rows * r.width), a.take<float>(rows * r.width), a.take<float>(rows * r.width),
          a.take<float>(rows * (s.n_experts + 1))};
}

void biased_gelu(const Env& env, WeightId bias, int64_t n_rows, int64_t n, float* x) {
  add_bias(env, bias, n_rows, n, x);
  for_rows(env, n_rows, 16 * n, [&](int64_t row) {
    float* v = x + row * n;
    for (int64_t i = 0; i < n; ++i) v[i] = 0.5f * v[i] * (1.0f + std::erf(v[i] * static_cast<float>(M_SQRT1_2)));
  });
}

void route_with(Env& env, const MlpRouterSpec& r, const MoeSpec& s, int64_t d, const float* x, int64_t n_rows, int32_t* chosen,
                float* weight) {
  const MlpBuffers b = take_buffers(*env.scratch, r, s, d, n_rows);
  const int64_t outputs = s.n_experts + 1;
  linear(env, {{r.down_proj, x, b.state, n_rows}});
  add_bias(env, r.down_bias, n_rows, r.width, b.state);
  const float* take_over = env.weights->vector(r.states_scale);
  for_rows(env, n_rows, r.width, [&](int64_t row) {
    float *now = b.state + row * r.width, *handed = env.router_states + row * r.width;
    for (int64_t i = 0; take_over != nullptr && i < r.width; ++i) now[i] += handed[i] * take_over[i];
    std::copy_n(now, r.width, handed);  // before the norm
  });
  norm(env, r.norm, b.state, n_rows, r.width, b.state);
  linear(env, {{r.fc1, b.state, b.a, n_rows}});
  biased_gelu(env, r.fc1_bias, n_rows, r.width, b.a);
  linear(env, {{r.fc2, b.a, b.b, n_rows}});
  biased_gelu(env, r.fc2_bias, n_rows, r.width, b.b);
  linear(env, {{r.out_proj, b.b, b.probs, n_rows}});
  for_rows(env, n_rows, outputs, [&](int64_t row) {
    float *p = b.probs + row * outputs, *w = weight + row * s.top_k;
    int32_t* out = chosen + row * s.top_k;
    env.kernels().softmax(p, outputs);
    top_k(p, env.weights->vector(r.selection_bias), outputs, s.top_k, w, out);
    for (int64_t j = 0; j < s.top_k; ++j) w[j] = p[out[j]];
  });
}

}  // namespace

void route(Env& env, const MoeSpec& s, int64_t d, const float* x, int64_t n_rows, int32_t* chosen, float* weight) {
  const ArenaScope scope(*env.scratch);
  std::visit([&](const auto& r) { route_with(env, r, s, d, x, n_rows, chosen, weight); }, s.router);
}

uint64_t route_scratch_bytes(const MoeSpec& s, int64_t d, const StepLimits& limits) {
  Arena arena;
  std::visit([&](const auto& r) { take_buffers(arena, r, s, d, limits.max_rows); }, s.router);
  arena.take_bytes(matmul_scratch_bytes(limits.weights, limits.max_rows, std::max(d, router_state_width(s.router))));
  return arena.peak();
}

int64_t router_state_width(const RouterSpec& router) {
  const auto* mlp = std::get_if<MlpRouterSpec>(&router);
  return mlp == nullptr ? 0 : mlp->width;
}

}  // namespace longhaul
