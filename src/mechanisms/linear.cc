#include "mechanisms/linear.h"

#include <array>

namespace longhaul {

void linear(Env& env, std::span<const Linear> layers) {
  std::array<Matmul, 8> group;
  LH_CHECK(layers.size() <= group.size());
  size_t n = 0;
  uint64_t scratch = 0;
  for (const Linear& l : layers) {
    if (l.rows == 0) continue;
    const PackedMatrix& w = env.weights->matrix(l.weight);
    if (n == 0 || group[n - 1].x != l.x) scratch += matmul_scratch_bytes(w.dtype, l.rows, w.k);
    group[n++] = {.x = l.x, .x_stride = w.k, .w = w, .y = l.y, .y_stride = l.y_stride > 0 ? l.y_stride : w.n, .m = l.rows};
    env.flops += linear_flops(l.rows, w.n, w.k);
  }
  const ArenaScope scope(*env.scratch);
  matmul(env.compute, std::span(group.data(), n), env.scratch->take_bytes(scratch));
}

void grouped_linear(Env& env, WeightId weight, int64_t n_groups, const float* x, int64_t rows, float* y, Matmul* group) {
  uint64_t scratch = 0;
  for (int64_t g = 0; g < n_groups; ++g) {
    const PackedMatrix w = env.weights->expert(weight, g);
    group[g] = {.x = x + g * w.k, .x_stride = n_groups * w.k, .w = w, .y = y + g * w.n, .y_stride = n_groups * w.n, .m = rows};
    scratch += matmul_scratch_bytes(w.dtype, rows, w.k);
    env.flops += linear_flops(rows, w.n, w.k);
  }
  const ArenaScope scope(*env.scratch);
  matmul(env.compute, std::span(group, static_cast<size_t>(n_groups)), env.scratch->take_bytes(scratch));
}

uint64_t grouped_linear_scratch_bytes(const StepLimits& limits, int64_t n_groups, int64_t in) {
  return static_cast<uint64_t>(n_groups) * matmul_scratch_bytes(limits.weights, limits.max_rows, in);
}

void add_bias(const Env& env, WeightId bias, int64_t rows, int64_t n, float* y) {
  const float* b = env.weights->vector(bias);
  for_rows(env, rows, n, [&](int64_t row) { env.kernels().add(y + row * n, b, n); });
}

}  // namespace longhaul
