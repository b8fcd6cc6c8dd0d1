#include "mechanisms/per_layer_embedding.h"

#include <fmt/format.h>

#include "mechanisms/linear.h"
#include "mechanisms/lookup.h"
#include "mechanisms/mlp.h"

namespace longhaul {

void forward(Env& env, const PerLayerEmbeddingSpec& s, const BlockIo& io) {
  const ArenaScope scope(*env.scratch);
  const auto take = [&] { return env.scratch->take_rows<float>(io.out.n, s.width); };
  const Rows<float> gate = take(), p = take(), token = take();
  linear(env, {{s.gate_proj, io.out_x, gate}, {s.context_proj, io.embedded, p}});
  env.ops->scale(s.context_scale, p);
  norm(env, s.context_norm, p, p);
  lookup(env, s.table, io.out.tokens, s.table_column, s.table_scale, token);
  env.ops->add(token, p);
  env.ops->scale(s.combine_scale, p);
  env.ops->activate(gated_activation(s.activation), gate, p);
  linear(env, {{s.out_proj, gate, io.y}});
}

Words words(const PerLayerEmbeddingSpec& s, const Architecture&) {
  return {.name = "per-layer embedding",
          .tap = "ple",
          .summary = fmt::format("per-layer embedding {}", s.width)};
}

}  // namespace longhaul
