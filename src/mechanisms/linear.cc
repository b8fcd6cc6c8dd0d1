#include "mechanisms/linear.h"

#include <array>

namespace longhaul {

void linear(Env& env, std::span<const Linear> layers) {
  std::array<Matmul, kMaxLinears> group;
  LH_CHECK(layers.size() <= group.size());
  size_t n = 0;
  for (const Linear& l : layers) {
    if (l.x.n == 0) continue;
    const PackedMatrix& w = env.weights->matrix(l.weight);
    group[n++] = product(l.x, w, l.y);
    env.flops += linear_flops(l.x.n, w.n, w.k);
  }
  env.ops->matmul(std::span(group.data(), n), *env.scratch);
}

void grouped_linear(Env& env, WeightId weight, int64_t n_groups, Rows<const float> x,
                    Rows<float> y) {
  const PackedMatrix& w = env.weights->matrix(weight);
  env.flops += linear_flops(x.n * n_groups, w.n, w.k);
  env.ops->grouped_matmul(w, n_groups, x, y, *env.scratch);
}

}  // namespace longhaul
