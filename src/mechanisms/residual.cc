#include "mechanisms/residual.h"

#include <fmt/format.h>

namespace longhaul {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

// The next reader is a block, or the head behind the last one.
void connect(Env& env, const Architecture& arch, size_t next, Rows<const float> y,
             const ResidualStream& s) {
  const HyperStreams streams{s.x, s.coefficients, s.input};
  if (next < arch.blocks.size()) {
    hyper_connect(env, y, std::get<HyperResidual>(arch.blocks[next].residual), streams);
  } else {
    hyper_connect(env, y, *arch.head.collapse, streams);
  }
}

const HyperResidual* as_hyper(const Residual& r) { return std::get_if<HyperResidual>(&r); }

}  // namespace

void begin_stream(Env& env, const Architecture& arch, const ResidualStream& stream) {
  if (stream.is_one()) return;
  env.ops->repeat(stream.input, arch.n_streams, stream.x);
  connect(env, arch, 0, {}, stream);
}

void write_back(Env& env, const Architecture& arch, size_t block, Rows<float> y,
                const ResidualStream& stream) {
  const auto vector = [&](WeightId id) { return env.weights->vector(id); };
  std::visit(Overloaded{[&](const PlainResidual& r) {
                          env.ops->add_residual(y, vector(r.output_scale), stream.x);
                        },
                        [&](const ScaledResidual& r) {
                          env.ops->add_scaled_residual({.scale = vector(r.scale),
                                                        .bias = vector(r.bias),
                                                        .residual_scale = vector(r.residual_scale),
                                                        .residual_bias = vector(r.residual_bias)},
                                                       y, stream.x);
                        },
                        [&](const HyperResidual&) { connect(env, arch, block + 1, y, stream); }},
             arch.blocks[block].residual);
}

uint64_t read_flops(const Architecture& arch, const Residual& residual) {
  if (as_hyper(residual) == nullptr) return 0;
  return hyper_read_flops(arch.n_streams, arch.hidden_size);
}

uint64_t write_flops(const Architecture& arch, const Residual& residual) {
  if (as_hyper(residual) == nullptr) return 0;
  return hyper_write_flops(arch.n_streams, arch.hidden_size);
}

ResidualWords residual_words(const Residual& residual) {
  const HyperResidual* r = as_hyper(residual);
  if (r == nullptr) return {};
  const Json json =
      Json::object({{"sinkhorn_iters", r->sinkhorn_iters}, {"eps", static_cast<double>(r->eps)}});
  return {fmt::format("hyper-connections, {} Sinkhorn iterations", r->sinkhorn_iters),
          {{"hyper_connections", json}}};
}

}  // namespace longhaul
