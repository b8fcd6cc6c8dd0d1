#include "mechanisms/per_layer_embedding.h"

#include "mechanisms/linear.h"
#include "mechanisms/lookup.h"
#include "mechanisms/mlp.h"

namespace longhaul {
namespace {

struct Buffers {
  float *gate, *context, *token;  // [rows, width]
};

Buffers take_buffers(Arena& arena, const PerLayerEmbeddingSpec& s, int64_t rows) {
  return {arena.take<float>(rows * s.width), arena.take<float>(rows * s.width), arena.take<float>(rows * s.width)};
}

}  // namespace

void per_layer_embedding_forward(Env& env, const PerLayerEmbeddingSpec& s, const RowSet& rows, const float* embedded, const float* x,
                                 float* out) {
  const ArenaScope scope(*env.scratch);
  const Buffers b = take_buffers(*env.scratch, s, rows.n);
  const KernelSet& k = env.kernels();
  linear(env, {{s.gate_proj, x, b.gate, rows.n}, {s.context_proj, embedded, b.context, rows.n}});
  for_rows(env, rows.n, 4 * s.width, [&](int64_t row) {
    float *gate = b.gate + row * s.width, *context = b.context + row * s.width, *token = b.token + row * s.width;
    k.scale(context, s.context_scale, s.width);
    k.rms_norm(context, env.weights->vector(s.context_norm.weight), s.context_norm.eps, s.width, context);
    lookup_row(env, env.weights->table(s.table), rows.tokens[row], s.table_column, s.width, s.table_scale, token);
    k.add(context, token, s.width);
    k.scale(context, s.combine_scale, s.width);
    k.gated_activation(kernel_activation(s.activation), gate, context, s.width, gate);
  });
  linear(env, {{s.out_proj, b.gate, out, rows.n}});
}

uint64_t per_layer_embedding_scratch_bytes(const PerLayerEmbeddingSpec& s, int64_t hidden_size, const StepLimits& limits) {
  Arena arena;
  take_buffers(arena, s, limits.max_rows);
  arena.take_bytes(2 * product_scratch_bytes(limits, limits.max_rows, std::max(hidden_size, s.width)));
  return arena.peak();
}

}  // namespace longhaul
