// Pools windows of tokens into entries: channel by channel a softmax over the window's gates weighs
// the window's projections.
//
//   c_t = Wkv x_t,  g_t = Wgate x_t + bias[t mod m]
//   e_i = rope( rms( sum_t softmax_t(g_t) c_t ), m i ),   t = m i .. m i + m - 1
// With overlap c and g have two halves: entry i pools the first halves of window i - 1 and the
// second halves of window i in one softmax.
// A window that is not full is kept as a running softmax (largest gate, sum, weighted sum a
// channel: Milakov & Gimelshein 2018, alg. 3) instead of its rows. It takes in token after token,
// so entries do not depend on how the tokens were cut into steps.
// Source: DeepSeek-V4 report, section 2.3.1, eqs. 9 to 12, and section 2.3.2, eqs. 20 to 23; which
// half is whose as in the reference implementation.
#pragma once

#include "arch/mixer.h"
#include "mechanisms/block_io.h"
#include "mechanisms/norm.h"

namespace longhaul {

// `ratio` tokens become one entry. With overlap an entry also pools the window before, through
// projections of its own: the first half of the rows of kv_proj and gate_proj.
struct CompressorSpec {
  int64_t ratio = 0, width = 0;
  bool overlaps = false;
  WeightId kv_proj = kNone, gate_proj = kNone;  // [series() * width, D]
  WeightId position_bias = kNone;               // [ratio, series() * width], added to the gates
  NormSpec norm;                                // [width]
  StateId entries = kNone;                      // one row every `ratio` tokens
  StateId open = kNone;                         // fixed: running softmaxes of windows not yet full

  int64_t series() const { return overlaps ? 2 : 1; }
  int64_t projected_width() const { return series() * width; }
  int64_t state_elements() const { return 3 * series() * width; }  // maximum, sum, weighted sum
};

void visit_weights(Is<CompressorSpec> auto& s, const auto& visit) {
  visit(s.kv_proj, {.for_state = true});
  visit(s.gate_proj, {.for_state = true});
  visit(s.position_bias);
  visit_norm(s.norm, visit);
}
void visit_states(Is<CompressorSpec> auto& s, const auto& visit) {
  visit(s.entries, StateUse::kReadsAndWrites);
  visit(s.open, StateUse::kReadsAndWrites);
}

struct CompressorInput {
  Rows<const float> kv, gate;  // [rows.n, series * width] projections of the step's rows
  RowSet rows;
  const RopeSpec* rope = nullptr;
  std::span<const float> frequencies;
  FixedStep open;
  KvStep entries;
};

// Stores the entries that the step completes and carries the open windows on.
void compress(Env& env, const CompressorSpec& s, const CompressorInput& in);

inline int64_t visible_entries(const CompressorSpec& s, int64_t position) {
  return (position + 1) / s.ratio;
}
// By all rows of a prompt: sum over t = 1..n of min(floor(t / ratio), top_k).
Wide entries_seen(int64_t n, int64_t ratio, int64_t top_k);

Json compressor_json(const CompressorSpec& s);

}  // namespace longhaul
