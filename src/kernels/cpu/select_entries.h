// The entries that score best for a query: I_i = sum_h w_h relu(q_h . k_i), the top_k largest of
// those it may see.
//
// Scores are computed a tile at a time and pass through a streaming selection: at most 2 top_k
// candidates are kept, and never a row of scores. Many entries of few queries are cut into spans
// whose best are merged. Ties go to the lower entry, so the choice does not depend on the cut.
// Source: DeepSeek-V4 report, section 2.3.1, eqs. 13 to 17.
#pragma once

#include "kernels/cpu/attention.h"

namespace longhaul {

struct EntrySelection {
  int64_t n_heads = 0;
  KvLayout layout;  // of keys alone, one head
  int64_t entry_ratio = 1;
  int64_t top_k = 0;

  int64_t visible_entries(int64_t position) const { return (position + 1) / entry_ratio; }
};

// One sequence's queries in a step.
struct SelectionQueries {
  const float* q = nullptr;            // [T, H, head_dim]
  const float* weights = nullptr;      // [T, H]
  std::span<const int64_t> positions;  // [T]
  std::span<const KvSegment> keys;     // pages of one size, in order
  int32_t* chosen = nullptr;  // [T, top_k], filled with min(visible, top_k) entries, ascending
};

// Of steps of any size.
uint64_t select_entries_scratch_bytes(const EntrySelection& spec, int n_threads);
void select_entries(const Compute& compute, const EntrySelection& spec,
                    std::span<const SelectionQueries> sequences, std::span<std::byte> scratch);

}  // namespace longhaul
