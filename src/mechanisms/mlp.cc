#include "mechanisms/mlp.h"

#include <fmt/format.h>

#include "mechanisms/linear.h"

namespace longhaul {

void forward(Env& env, const GatedMlpSpec& s, const BlockIo& io) {
  const ArenaScope scope(*env.scratch);
  const Rows<float> gate = env.scratch->take_rows<float>(io.out.n, s.width);
  const Rows<float> up = env.scratch->take_rows<float>(io.out.n, s.width);
  linear(env, {{s.gate_proj, io.out_x, gate}, {s.up_proj, io.out_x, up}});
  env.ops->activate(gated_activation(s.activation, s.limit), gate, up);
  linear(env, {{s.down_proj, gate, io.y}});
}

Words words(const GatedMlpSpec& s, const Architecture&) {
  return {.name = "mlp", .tap = "mlp", .summary = fmt::format("mlp {}", s.width)};
}

}  // namespace longhaul
