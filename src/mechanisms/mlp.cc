#include "mechanisms/mlp.h"

#include "mechanisms/linear.h"

namespace longhaul {
namespace {

struct Buffers {
  float *gate, *up;
};

Buffers take_buffers(Arena& arena, const GatedMlpSpec& s, int64_t rows) {
  return {arena.take<float>(rows * s.width), arena.take<float>(rows * s.width)};
}

}  // namespace

void mlp_forward(Env& env, const GatedMlpSpec& s, const float* x, int64_t n_rows, float* out) {
  const ArenaScope scope(*env.scratch);
  const Buffers b = take_buffers(*env.scratch, s, n_rows);
  linear(env, {{s.gate_proj, x, b.gate, n_rows}, {s.up_proj, x, b.up, n_rows}});
  for_rows(env, n_rows, s.width,
           [&](int64_t row) { gate_row(env.kernels(), s.activation, s.limit, s.width, b.gate + row * s.width, b.up + row * s.width); });
  linear(env, {{s.down_proj, b.gate, out, n_rows}});
}

uint64_t mlp_scratch_bytes(const GatedMlpSpec& s, int64_t hidden_size, const StepLimits& limits) {
  Arena arena;
  take_buffers(arena, s, limits.max_rows);
  arena.take_bytes(
      std::max(product_scratch_bytes(limits, limits.max_rows, hidden_size), product_scratch_bytes(limits, limits.max_rows, s.width)));
  return arena.peak();
}

}  // namespace longhaul
