#include "mechanisms/parallel.h"

#include "mechanisms/mlp.h"
#include "mechanisms/moe.h"
#include "mechanisms/norm.h"

namespace longhaul {
namespace {

struct Buffers {
  float *in, *out;  // [rows, D] of one branch
};

Buffers take_buffers(Arena& arena, int64_t d, int64_t rows) { return {arena.take<float>(rows * d), arena.take<float>(rows * d)}; }

void channel_forward(Env& env, const ChannelMixer& mixer, int64_t d, const float* x, int64_t n_rows, float* out) {
  if (const auto* mlp = std::get_if<GatedMlpSpec>(&mixer)) {
    mlp_forward(env, *mlp, x, n_rows, out);
  } else {
    moe_forward(env, std::get<MoeSpec>(mixer), d, x, n_rows, out);
  }
}

}  // namespace

void parallel_forward(Env& env, const ParallelSpec& s, int64_t d, const float* x, int64_t n_rows, float* out) {
  const ArenaScope scope(*env.scratch);
  const Buffers b = take_buffers(*env.scratch, d, n_rows);
  std::fill_n(out, n_rows * d, 0.0f);
  for (const Branch& branch : s.branches) {
    const float* in = x;
    if (branch.pre_norm) {
      norm(env, *branch.pre_norm, x, n_rows, d, b.in);
      in = b.in;
    }
    channel_forward(env, branch.mixer, d, in, n_rows, b.out);
    if (branch.post_norm) norm(env, *branch.post_norm, b.out, n_rows, d, b.out);
    for_rows(env, n_rows, d, [&](int64_t row) { env.kernels().add(out + row * d, b.out + row * d, d); });
  }
}

uint64_t parallel_scratch_bytes(const ParallelSpec& s, int64_t d, const StepLimits& limits) {
  Arena arena;
  take_buffers(arena, d, limits.max_rows);
  uint64_t branches = 0;
  for (const Branch& branch : s.branches) {
    const auto* mlp = std::get_if<GatedMlpSpec>(&branch.mixer);
    branches = std::max(
        branches, mlp != nullptr ? mlp_scratch_bytes(*mlp, d, limits) : moe_scratch_bytes(std::get<MoeSpec>(branch.mixer), d, limits));
  }
  return arena.used() + branches;
}

}  // namespace longhaul
