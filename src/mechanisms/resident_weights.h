// What loaded weights occupy: the loader allocates this, the planner reports it.
#pragma once

#include "arch/architecture.h"
#include "base/errors.h"
#include "longhaul/planner.h"
#include "tensor/weight_format.h"

namespace longhaul {

// The type a matrix is packed in. Kept as released, blocks of E4M3 must not be cut by the rows that
// a weight takes out of its tensor; where they are, and where a type has no kernel, it is widened
// to bf16.
DType packed_dtype(const WeightSpec& weight, WeightFormat format);

// Matrices and experts packed, vectors as f32, tables 0 (they stay in their file).
uint64_t resident_bytes(const WeightSpec& weight, WeightFormat format);
uint64_t resident_weight_bytes(const Architecture& arch, WeightFormat format);
// Of these, the experts.
uint64_t expert_weight_bytes(const Architecture& arch, WeightFormat format);

// Of all matrices of one expert.
uint64_t expert_bytes(const Architecture& arch, const Mixture& mixture, WeightFormat format);
// The cache that fits so many bytes. Too few for a token's experts of one layer, or a model without
// experts, is an error.
Result<ExpertCacheLayout> expert_cache_layout(const Architecture& arch, WeightFormat format,
                                              int n_threads, uint64_t max_bytes);

}  // namespace longhaul
