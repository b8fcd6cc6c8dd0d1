// Softmax attention where a row of state is key and value at once and serves all heads: over a
// window of recent rows and over compressed entries, all of them or those chosen for the query, in
// one softmax.
//
//   o_h = sum_e p_e row_e,   p_e = exp(scale q_h . row_e) / (exp(sink_h) + sum_e exp(scale q_h .
//   row_e))
// Rows are kept once, as they are; a tile of them is packed as keys and as values, and then
// multiplied for all heads and queries that see it. Memory does not depend on the context, and a
// query's result to the bit not on the queries beside it, nor on the number of threads. Entry i
// stands for tokens [ratio i, ratio (i + 1)) and is seen from its last token on. Source:
// DeepSeek-V4 report, sections 2.3.1 and 2.3.2; sinks as in the reference implementation.
#pragma once

#include "kernels/cpu/attention.h"

namespace longhaul {

struct SharedAttention {
  int64_t n_heads = 0;
  KvLayout layout;  // of shared rows, one KV head
  float scale = 1.0f;
  int64_t window = kUnboundedWindow;
  int64_t entry_ratio = 0;       // tokens an entry; 0: no entries
  int64_t top_k = 0;             // entries a query looks at; 0: all that it may see
  const float* sinks = nullptr;  // [H], may be null

  int64_t visible_entries(int64_t position) const {
    return entry_ratio == 0 ? 0 : (position + 1) / entry_ratio;
  }
  int64_t seen_entries(int64_t position) const {
    const int64_t visible = visible_entries(position);
    return top_k == 0 ? visible : std::min(visible, top_k);
  }
};

// One sequence's queries in a step, [T, H, head_dim] without gaps.
struct SharedQueries {
  const float* q = nullptr;
  float* out = nullptr;
  std::span<const int64_t> positions;  // [T], ascending
  std::span<const KvSegment> rows;     // by position
  std::span<const KvSegment> entries;  // by entry number: pages of one size, in order
  const int32_t* chosen = nullptr;  // [T, top_k]: the first seen_entries() of each row, ascending
};

// Of steps of any size.
uint64_t shared_attention_scratch_bytes(const SharedAttention& spec, int n_threads);
void shared_attention(const Compute& compute, const SharedAttention& spec,
                      std::span<const SharedQueries> sequences, std::span<std::byte> scratch);

}  // namespace longhaul
