#include "mechanisms/hyper_connections.h"

#include "mechanisms/linear.h"

namespace longhaul {
namespace {

void connect(Env& env, Rows<const float> y, const StreamReader& reader, const HyperStreams& s) {
  env.ops->connect_streams(reader, y, s.x, s.coefficients, s.input);
  const int64_t n = s.n(), d = s.input.width;
  const uint64_t a_row = linear_flops(1, reader.fn.n, reader.fn.k) + hyper_read_flops(n, d) +
                         (y.n == 0 ? 0 : hyper_write_flops(n, d));
  env.flops += static_cast<uint64_t>(s.x.n) * a_row;
}

}  // namespace

void hyper_connect(Env& env, Rows<const float> y, const HyperResidual& next,
                   const HyperStreams& streams) {
  connect(env, y,
          {.fn = env.weights->matrix(next.fn),
           .base = env.weights->vector(next.base),
           .scale = env.weights->vector(next.scale),
           .eps = next.eps,
           .norm_eps = next.norm_eps,
           .sinkhorn_iters = next.sinkhorn_iters},
          streams);
}

void hyper_connect(Env& env, Rows<const float> y, const HyperCollapse& head,
                   const HyperStreams& streams) {
  connect(env, y,
          {.fn = env.weights->matrix(head.fn),
           .base = env.weights->vector(head.base),
           .scale = env.weights->vector(head.scale),
           .eps = head.eps,
           .norm_eps = head.norm_eps,
           .writes_back = false},
          streams);
}

}  // namespace longhaul
