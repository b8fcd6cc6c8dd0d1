// A gated running mean, the simplest recurrent mixer: the example of docs/add-a-mixer.md.
//
//   g_t = sigmoid(Wg x_t)   v_t = Wv x_t   m_t = g_t m_{t-1} + (1 - g_t) v_t   y_t = Wo m_t
// The state is m of the last token; before the first token it is 0.
#pragma once

#include <fmt/format.h>

#include <cmath>

#include "arch/architecture.h"
#include "mechanisms/block_io.h"
#include "mechanisms/linear.h"

namespace longhaul {

struct GatedMeanSpec {
  int64_t width = 0;
  WeightId gate_proj = kNone, value_proj = kNone;  // [width, D]
  WeightId out_proj = kNone;                       // [D, width]
  StateId mean = kNone;                            // fixed: [width]
};

void visit_weights(Is<GatedMeanSpec> auto& s, const auto& visit) {
  visit(s.gate_proj, {.for_state = true});
  visit(s.value_proj, {.for_state = true});
  visit(s.out_proj);
}

void visit_states(Is<GatedMeanSpec> auto& s, const auto& visit) {
  visit(s.mean, StateUse::kReadsAndWrites);
}

inline Needs needs(const GatedMeanSpec&) { return {}; }

// The rows of `gate` and `value` become gates and means; each sequence's mean is carried on.
inline void run_mean(const RowSet& rows, const FixedStep& state, Rows<float> gate,
                     Rows<float> value) {
  for (size_t i = 0; i < rows.sequences.size(); ++i) {
    const SequenceRows& r = rows.sequences[i];
    for (int64_t row = r.first_row; row < r.first_row + r.n_rows; ++row) {
      float* mean = state.blocks[i].carry(row - r.first_row, r.n_rows);
      if (rows.positions[static_cast<size_t>(row)] == 0) std::fill_n(mean, value.width, 0.0f);
      for (int64_t c = 0; c < value.width; ++c) {
        const float g = 1.0f / (1.0f + std::exp(-gate.row(row)[c]));
        mean[c] = g * mean[c] + (1.0f - g) * value.row(row)[c];
        value.row(row)[c] = mean[c];
      }
    }
  }
}

inline void forward(Env& env, const GatedMeanSpec& s, const BlockIo& io) {
  const ArenaScope scope(*env.scratch);
  const Rows<float> gate = env.scratch->take_rows<float>(io.in.n, s.width);
  const Rows<float> mean = env.scratch->take_rows<float>(io.in.n, s.width);
  linear(env, {{s.gate_proj, io.x, gate}, {s.value_proj, io.x, mean}});
  if (!env.counts_only()) run_mean(io.in, io.states->fixed(s.mean), gate, mean);
  if (io.out.n == 0) return;
  linear(env, {{s.out_proj, output_rows(env, io, mean), io.y}});
}

inline ContextWork context_work(const GatedMeanSpec& s, int64_t) {
  return {.work = {}, .reads = {{s.mean, 1}}};
}

inline Wide prompt_flops(const GatedMeanSpec&, int64_t) { return 0; }

inline Words words(const GatedMeanSpec& s, const Architecture&) {
  return {.name = "gated mean",
          .tap = "mean",
          .summary = fmt::format("gated mean {}", s.width),
          .schedule = {'M', "M gated means"},
          .fields = {{"gated_mean", Json::object({{"width", s.width}})}}};
}

}  // namespace longhaul
