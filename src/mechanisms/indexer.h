// Scores every entry for a query by a few narrow heads and keeps the best:
// I_t,i = sum_h w_h relu(q_h . k_i).
#pragma once

#include "mechanisms/compressor.h"

namespace longhaul {

struct IndexerSpec {
  int64_t n_heads = 0, head_dim = 0, top_k = 0;
  bool is_followed = true;        // false: it chooses, and attention goes over all nevertheless
  WeightId q_proj = kNone;        // [n_heads head_dim, q_lora_rank]
  WeightId weights_proj = kNone;  // [n_heads, D]
  CompressorSpec keys;            // of width head_dim

  int64_t q_width() const { return n_heads * head_dim; }
};

void visit_weights(Is<IndexerSpec> auto& s, const auto& visit) {
  visit(s.q_proj);
  visit(s.weights_proj);
  visit_weights(s.keys, visit);
}
void visit_states(Is<IndexerSpec> auto& s, const auto& visit) { visit_states(s.keys, visit); }

// A query's scores: heads times width for the products, heads for their weighted sum, a
// multiply-add each.
inline uint64_t indexer_product_flops(const IndexerSpec& s, int64_t n_entries) {
  return 2 * static_cast<uint64_t>(s.q_width()) * static_cast<uint64_t>(n_entries);
}
inline uint64_t indexer_sum_flops(const IndexerSpec& s, int64_t n_entries) {
  return 2 * static_cast<uint64_t>(s.n_heads) * static_cast<uint64_t>(n_entries);
}
inline uint64_t indexer_flops(const IndexerSpec& s, int64_t n_entries) {
  return indexer_product_flops(s, n_entries) + indexer_sum_flops(s, n_entries);
}

// Adds scoring all entries that a row behind n tokens sees. Products may be computed in the format
// of the keys.
inline void add_scoring(const IndexerSpec& s, int64_t n, ContextWork& work) {
  const int64_t entries = visible_entries(s.keys, n - 1);
  work.work.push_back({indexer_product_flops(s, entries), ComputedIn::kAsKept, s.keys.entries});
  work.work.push_back({indexer_sum_flops(s, entries), ComputedIn::kF32});
  work.reads.push_back({s.keys.entries, entries});
}
// By all rows of a prompt.
inline Wide scoring_flops(const IndexerSpec& s, int64_t n) {
  return Wide{indexer_flops(s, 1)} * entries_seen(n, s.keys.ratio, n);
}

inline std::string choice_words(const IndexerSpec& s) {
  return s.is_followed ? " top " + std::to_string(s.top_k) : ", indexer not followed";
}

}  // namespace longhaul
