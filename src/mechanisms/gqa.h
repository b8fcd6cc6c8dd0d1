// Grouped-query attention with per-head norms, rotary positions, an optional window and an optional
// source layer for keys and values.
//
//   q = rope(rms(Wq x))   k = rope(rms(Wk x))   v = rms(Wv x), or rms of the raw Wk x without a Wv
//   y = Wo concat_h softmax(scale * q_h K_g(h)^T) V_g(h),   g(h) = floor(h G / H)
// With a gate, what head h gives is multiplied by softplus(Wg x) before Wo.
// A layer without Wk reads the keys and values of another layer as that one stored them.
// Sources: Ainslie et al. 2023 (GQA); Brandon et al. 2024 (cross-layer sharing).
#pragma once

#include "arch/mixer.h"
#include "mechanisms/block_io.h"
#include "mechanisms/norm.h"

namespace longhaul {

// Multiplies what the heads give by softplus(Wg x), one value a head or one an element.
struct GateSpec {
  WeightId proj = kNone;
  bool per_element = false;
};

// Without k_proj the layer owns no keys and values and reads the state of another (KV sharing).
// Without v_proj but with k_proj the values are the raw key projection (K=V).
struct AttentionSpec {
  int64_t n_heads = 0, n_kv_heads = 0, head_dim = 0;
  int64_t window = kUnbounded;  // keys visible to a query, itself included
  float scale = 1.0f;
  RopeSpec rope;
  WeightId q_proj = kNone, k_proj = kNone, v_proj = kNone, o_proj = kNone;
  std::optional<NormSpec> q_norm, k_norm, v_norm;
  std::optional<GateSpec> gate = {};
  StateId state = kNone;

  bool writes_state() const { return k_proj != kNone; }
  int64_t q_width() const { return n_heads * head_dim; }
  int64_t kv_width() const { return n_kv_heads * head_dim; }
};

void visit_weights(Is<AttentionSpec> auto& s, const auto& visit) {
  visit(s.q_proj);
  visit(s.k_proj, {.for_state = true});
  visit(s.v_proj, {.for_state = true});
  visit(s.o_proj);
  if (s.gate) visit(s.gate->proj);
  for (auto* norm : {&s.q_norm, &s.k_norm, &s.v_norm}) visit_norm(*norm, visit);
}
void visit_states(Is<AttentionSpec> auto& s, const auto& visit) {
  visit(s.state, s.writes_state() ? StateUse::kReadsAndWrites : StateUse::kReads);
}
inline Needs needs(const AttentionSpec& s) { return {.rope = s.rope}; }
void forward(Env& env, const AttentionSpec& s, const BlockIo& io);
ContextWork context_work(const AttentionSpec& s, int64_t n);
Wide prompt_flops(const AttentionSpec& s, int64_t n);
Words words(const AttentionSpec& s, const Architecture& arch);

// --- for mixers that are built around it

// Queries of the output rows, q [n, H * head_dim], look up what is kept.
void attend(Env& env, const AttentionSpec& s, const KvStep& kv, const RowSet& rows,
            Rows<const float> q, Rows<float> out);

// Scores and weighted values of one query that sees n_keys keys: 2 multiply-adds per key, head and
// channel.
inline uint64_t attention_flops(const AttentionSpec& s, int64_t n_keys) {
  return 4 * static_cast<uint64_t>(s.q_width()) * static_cast<uint64_t>(n_keys);
}
inline int64_t visible_keys(const AttentionSpec& s, int64_t position) {
  return std::min(position + 1, s.window);
}
// By all rows of a prompt of n tokens: sum over t = 1..n of min(t, window).
Wide keys_seen(int64_t n, int64_t window);

std::string window_words(const AttentionSpec& s);  // "attention sliding 512"
std::string head_words(const AttentionSpec& s);    // "8 query heads of 256, 1 KV head, ..."
ScheduleLetter window_letter(const AttentionSpec& s);
Json head_json(const AttentionSpec& s, const Architecture& arch);

}  // namespace longhaul
