// Grouped-query attention with per-head norms, rotary positions, an optional window and an optional source layer for keys and values.
//
//   q = rope(rms(Wq x))   k = rope(rms(Wk x))   v = rms(Wv x), or rms of the raw Wk x where there is no Wv (K=V)
//   y = Wo concat_h softmax(scale * q_h K_g(h)^T) V_g(h),   g(h) = floor(h G / H)
// With a gate, what head h gives is multiplied by softplus(Wg x) before Wo.
// A layer without Wk reads the keys and values of another layer as that one stored them (cross-layer KV sharing).
// Sources: Ainslie et al. 2023 (GQA); Brandon et al. 2024 (cross-layer sharing).
#pragma once

#include "mechanisms/env.h"
#include "mechanisms/kv_cache.h"
#include "mechanisms/rope.h"

namespace longhaul {

// Keys and values are made for kv_rows, queries for q_rows: the same rows, or fewer where only some rows go on.
struct AttentionInput {
  const float* kv_x = nullptr;  // [kv_rows.n, D]
  RowSet kv_rows;
  RopeTable kv_rope;
  const float* q_x = nullptr;  // [q_rows.n, D]
  RowSet q_rows;
  RopeTable q_rope;
  KvStep kv;
};

// The two halves of attention after the projections, for mechanisms that make queries, keys and values in their own way: rows of the step go to
// the cache (k, v [rows.n, G, head_dim], v null where rows hold no values of their own), queries q [rows.n, H, head_dim] look it up.
void store_rows(Env& env, const KvStep& kv, const float* k, const float* v);
void attend_rows(Env& env, const AttentionSpec& spec, const KvStep& kv, const RowSet& rows, const float* q, float* out);
// Scratch of attend_rows for so many rows.
uint64_t attend_scratch_bytes(const AttentionSpec& spec, const StepLimits& limits);

void attention_forward(Env& env, const AttentionSpec& spec, const AttentionInput& in, float* out);
uint64_t attention_scratch_bytes(const AttentionSpec& spec, int64_t hidden_size, const StepLimits& limits);

// Scores and weighted values of one query that sees n_keys keys: 2 multiply-adds per key, head and channel.
inline uint64_t attention_flops(const AttentionSpec& spec, int64_t n_keys) {
  return 4 * static_cast<uint64_t>(spec.n_heads * spec.head_dim) * static_cast<uint64_t>(n_keys);
}
inline int64_t visible_keys(const AttentionSpec& spec, int64_t position) { return std::min(position + 1, spec.window); }

}  // namespace longhaul
