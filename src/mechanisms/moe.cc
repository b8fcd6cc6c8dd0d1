#include "mechanisms/moe.h"

#include <cmath>

#include "mechanisms/linear.h"
#include "mechanisms/mlp.h"
#include "mechanisms/norm.h"
#include "mechanisms/router.h"

namespace longhaul {
namespace {

// Everything by assignment (token, choice): n_rows * top_k of them, sorted by expert once routed.
struct Buffers {
  int32_t* chosen;   // [rows, k] expert
  float* weight;     // [rows, k]
  int64_t* place;    // [rows, k] index into the sorted assignments
  int64_t* first;    // [E + 2] first sorted assignment of each expert, then of those to none
  float* normed;     // [rows, D]
  float* gathered;   // [rows * k, D], sorted; later the experts' outputs, and still the input where a token chose none
  float *gate, *up;  // [rows * k, F]
  Matmul* group;     // [2 E]
};

Buffers take_buffers(Arena& a, const MoeSpec& s, int64_t d, int64_t rows) {
  const int64_t n = rows * s.top_k;
  Buffers b;
  b.chosen = a.take<int32_t>(n);
  b.weight = a.take<float>(n);
  b.place = a.take<int64_t>(n);
  b.first = a.take<int64_t>(s.n_experts + 2);
  b.normed = a.take<float>(rows * d);
  b.gathered = a.take<float>(n * d);
  b.gate = a.take<float>(n * s.width);
  b.up = a.take<float>(n * s.width);
  b.group = a.take<Matmul>(2 * s.n_experts);
  return b;
}

// Counting sort of the assignments by expert; assignments to none come last.
void sort_by_expert(const MoeSpec& s, int64_t n_rows, const Buffers& b) {
  const int64_t n = n_rows * s.top_k, classes = s.n_experts + 1;
  std::fill_n(b.first, classes + 1, 0);
  for (int64_t a = 0; a < n; ++a) ++b.first[b.chosen[a] + 1];
  for (int64_t e = 0; e < classes; ++e) b.first[e + 1] += b.first[e];
  for (int64_t a = 0; a < n; ++a) b.place[a] = b.first[b.chosen[a]]++;
  for (int64_t e = classes; e > 0; --e) b.first[e] = b.first[e - 1];
  b.first[0] = 0;
}

struct ExpertLayer {
  WeightId weight;
  float* y;
};

// The products of each expert that has tokens, all in one parallel region; layers of one expert share its input.
void grouped_linear(Env& env, const MoeSpec& s, const Buffers& b, const float* x, std::initializer_list<ExpertLayer> layers) {
  int64_t n = 0;
  uint64_t scratch = 0;
  for (int64_t e = 0; e < s.n_experts; ++e) {
    const int64_t rows = b.first[e + 1] - b.first[e];
    if (rows == 0) continue;
    for (const ExpertLayer& layer : layers) {
      const PackedMatrix w = env.weights->expert(layer.weight, e);
      const float* in = x + b.first[e] * w.k;
      if (n == 0 || b.group[n - 1].x != in) scratch += matmul_scratch_bytes(w.dtype, rows, w.k);
      b.group[n++] = {.x = in, .x_stride = w.k, .w = w, .y = layer.y + b.first[e] * w.n, .y_stride = w.n, .m = rows};
      env.flops += linear_flops(rows, w.n, w.k);
    }
  }
  const ArenaScope scope(*env.scratch);
  matmul(env.compute, std::span(b.group, static_cast<size_t>(n)), env.scratch->take_bytes(scratch));
}

}  // namespace

void moe_forward(Env& env, const MoeSpec& s, int64_t d, const float* x, int64_t n_rows, float* out) {
  const ArenaScope scope(*env.scratch);
  const Buffers b = take_buffers(*env.scratch, s, d, n_rows);
  route(env, s, d, x, n_rows, b.chosen, b.weight);
  if (env.on_choice) env.on_choice({.what = "experts", .layer = env.layer, .n_rows = n_rows, .k = s.top_k, .chosen = b.chosen});
  sort_by_expert(s, n_rows, b);

  const float* expert_in = x;
  if (s.expert_norm) {
    norm(env, *s.expert_norm, x, n_rows, d, b.normed);
    expert_in = b.normed;
  }
  for_rows(env, n_rows, s.top_k * d, [&](int64_t row) {
    for (int64_t j = 0; j < s.top_k; ++j) std::copy_n(expert_in + row * d, d, b.gathered + b.place[row * s.top_k + j] * d);
  });
  grouped_linear(env, s, b, b.gathered, {{s.gate_proj, b.gate}, {s.up_proj, b.up}});
  for_rows(env, b.first[s.n_experts], s.width,
           [&](int64_t a) { gate_row(env.kernels(), s.activation, s.limit, s.width, b.gate + a * s.width, b.up + a * s.width); });
  grouped_linear(env, s, b, b.gate, {{s.down_proj, b.gathered}});
  for_rows(env, n_rows, s.top_k * d, [&](int64_t row) {
    std::fill_n(out + row * d, d, 0.0f);
    for (int64_t j = row * s.top_k; j < (row + 1) * s.top_k; ++j) {
      if (b.chosen[j] == s.n_experts && s.skipped == Skipped::kNothing) continue;
      env.kernels().add_scaled(out + row * d, b.gathered + b.place[j] * d, b.weight[j], d);
    }
  });
}

uint64_t moe_scratch_bytes(const MoeSpec& s, int64_t d, const StepLimits& limits) {
  Arena arena;
  take_buffers(arena, s, d, limits.max_rows);
  const uint64_t base = arena.used();
  arena.take_bytes(route_scratch_bytes(s, d, limits));
  arena.reset_to(base);
  // An expert's share of the rows is rounded on its own: at worst each assignment is alone.
  const int64_t n = limits.max_rows * s.top_k;
  arena.take_bytes(static_cast<uint64_t>(n) * matmul_scratch_bytes(limits.weights, 1, std::max(d, s.width)));
  return arena.peak();
}

double expected_experts(const MoeSpec& s, int64_t batch) {
  const auto e = static_cast<double>(s.n_experts);
  return e * (1.0 - std::pow(1.0 - static_cast<double>(s.top_k) / e, static_cast<double>(batch)));
}

}  // namespace longhaul
