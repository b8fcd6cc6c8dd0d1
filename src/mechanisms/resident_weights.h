// What loaded weights occupy: the loader allocates this, the planner reports it.
#pragma once

#include "arch/architecture.h"
#include "base/errors.h"
#include "longhaul/planner.h"
#include "mechanisms/env.h"

namespace longhaul {

// The codec of a matrix that is to be kept in `codec` as it is stored: rows that share scales must
// not be cut by those that a weight takes out of its tensor. Where they are, it is widened to bf16.
const Codec& kept_codec(const WeightSpec& weight, const Codec& codec);
// What a matrix is packed in.
const Codec& packed_codec(const WeightSpec& weight, const WeightFormat& format);
// Codecs and shapes of all matrices as the loader packs them, and nothing in them.
Weights empty_weights(const Architecture& arch, const WeightFormat& format);

// Matrices and experts packed, vectors as f32, tables 0 (they stay in their file).
uint64_t resident_bytes(const WeightSpec& weight, const WeightFormat& format);
uint64_t resident_weight_bytes(const Architecture& arch, const WeightFormat& format);
// Of these, the experts.
uint64_t expert_weight_bytes(const Architecture& arch, const WeightFormat& format);

// Of all matrices of one expert.
uint64_t expert_bytes(const Architecture& arch, const Mixture& mixture, const WeightFormat& format);
// The cache that fits so many bytes. Too few for a token's experts of one layer, or a model without
// experts, is an error.
Result<ExpertCacheLayout> expert_cache_layout(const Architecture& arch, const WeightFormat& format,
                                              int n_threads, uint64_t max_bytes);

}  // namespace longhaul
