// What loaded weights occupy: the loader allocates this, the planner reports it.
#pragma once

#include "arch/architecture.h"
#include "base/result.h"
#include "tensor/dtype.h"

namespace longhaul {

// Matrices and experts packed, vectors as f32, tables 0 (they stay in their file).
uint64_t resident_bytes(const WeightSpec& weight, DType packed);
uint64_t resident_weight_bytes(const Architecture& arch, DType packed);
// Of these, the experts.
uint64_t expert_weight_bytes(const Architecture& arch, DType packed);

// A bounded cache of experts that stay in their files: slots of which each holds the matrices of any one expert, of whatever layer.
struct ExpertCacheLayout {
  int64_t n_experts = 0;     // of all mixtures
  int64_t n_slots = 0;       // no more than there are experts
  uint64_t slot_bytes = 0;   // of the largest expert
  uint64_t widen_bytes = 0;  // a panel of rows in f32 for every thread, to widen weights that are stored with scales
  int64_t max_top_k = 0;     // the fewest slots that are of use: a token's experts of one layer
  int64_t n_chosen = 0;      // experts that a token goes to, over all layers

  uint64_t bytes() const { return static_cast<uint64_t>(n_slots) * slot_bytes + widen_bytes; }
};

uint64_t expert_bytes(const Architecture& arch, const MoeSpec& moe, DType packed);
// The cache that fits so many bytes. Too few for a token's experts of one layer, or a model without experts, is an error.
Result<ExpertCacheLayout> expert_cache_layout(const Architecture& arch, DType packed, int n_threads, uint64_t max_bytes);

}  // namespace longhaul
