#include "mechanisms/moe.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "mechanisms/linear.h"
#include "mechanisms/mlp.h"

namespace longhaul {
namespace {

// By assignment (token, choice), sorted by expert once routed; and still the input where a token
// chose none.
struct Buffers {
  Rows<int32_t> chosen;      // [rows, k]
  Rows<float> weight;        // [rows, k]
  Rows<int64_t> place;       // [rows, k] number among the sorted assignments
  std::span<int64_t> first;  // [E + 2] each expert's first; then of those to none
  Rows<float> sent;          // [rows * k, D] inputs, then outputs
};

Buffers take_buffers(Arena& a, const MoeSpec& s, const BlockIo& io) {
  const int64_t n = io.out.n;
  return {.chosen = a.take_rows<int32_t>(n, s.top_k),
          .weight = a.take_rows<float>(n, s.top_k),
          .place = a.take_rows<int64_t>(n, s.top_k),
          .first = a.take_span<int64_t>(s.n_experts + 2),
          .sent = a.take_rows<float>(n * s.top_k, io.y.width)};
}

// The experts of one mixture, among the loaded weights or behind a cache.
class OfMixture final : public Experts {
 public:
  OfMixture(const Weights& weights, const MoeSpec& s)
      : weights_(weights), ids_{s.gate_proj, s.up_proj, s.down_proj} {}

  PackedMatrix shape(ExpertPart part) const override { return weights_.matrix(id(part)); }
  int64_t acquire(std::span<ExpertRows> wanted) override {
    if (weights_.experts == nullptr) return static_cast<int64_t>(wanted.size());
    return weights_.experts->acquire(ids_.front(), wanted);
  }
  PackedMatrix matrix(ExpertPart part, int64_t expert) const override {
    return weights_.expert(id(part), expert);
  }

 private:
  WeightId id(ExpertPart part) const { return ids_[static_cast<size_t>(part)]; }

  const Weights& weights_;
  std::array<WeightId, 3> ids_;
};

void send(Env& env, const MoeSpec& s, const BlockIo& io, const Buffers& b) {
  if (!s.expert_norm) return env.ops->send_to_experts(io.out_x, b.place, b.sent);
  const ArenaScope scope(*env.scratch);
  const Rows<float> normed = env.scratch->take_rows<float>(io.out.n, io.out_x.width);
  norm(env, *s.expert_norm, io.out_x, normed);
  env.ops->send_to_experts(normed, b.place, b.sent);
}

}  // namespace

void forward(Env& env, const MoeSpec& s, const BlockIo& io) {
  const ArenaScope scope(*env.scratch);
  const Buffers b = take_buffers(*env.scratch, s, io);
  route(env, s.router, s.n_experts, io, b.chosen, b.weight);
  if (env.on_choice) env.on_choice({"experts", io.layer, b.chosen});
  env.ops->sort_by_expert(b.chosen, b.place, b.first);
  send(env, s, io, b);
  OfMixture experts(*env.weights, s);
  const int64_t n = env.ops->run_experts(experts, gated_activation(s.activation, s.limit), b.first,
                                         b.sent, *env.scratch);
  env.flops += 3 * linear_flops(n, s.width, io.y.width);
  env.ops->sum_experts(b.sent, b.place, b.weight, b.chosen,
                       s.skipped == Skipped::kNothing ? s.n_experts : kNoExpert, io.y);
}

Words words(const MoeSpec& s, const Architecture&) {
  return {.name = "moe",
          .tap = "mlp",
          .summary = fmt::format("moe {} of {} x {}{}{}", s.top_k, s.n_experts, s.width,
                                 router_words(s.router),
                                 s.skipped == Skipped::kItself ? ", or itself" : "")};
}

double expected_experts(int64_t n_experts, int64_t top_k, int64_t batch) {
  const auto e = static_cast<double>(n_experts);
  const double untouched = 1.0 - static_cast<double>(top_k) / e;
  return e * (1.0 - std::pow(untouched, static_cast<double>(batch)));
}

}  // namespace longhaul
