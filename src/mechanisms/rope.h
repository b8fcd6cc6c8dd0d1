// Rotary position embedding: the pair (x[i], x[i + n_pairs]), or of neighbours at the end of a
// head, is turned by the angle position * frequency[i].
//
// Frequencies and angles are computed in f32 like the reference does: at long positions the
// rounding of the product is part of what the model was trained with.
// Source: RoFormer (Su et al. 2021), eq. 15; half-split pairing as in the families' released code.
#pragma once

#include "arch/specs.h"
#include "mechanisms/env.h"

namespace longhaul {

// Radians a position of each pair [n_pairs], in a text of n_tokens in all; only
// spec.follows_length() asks.
std::vector<float> rope_frequencies(const RopeSpec& spec, int64_t n_tokens = 0);

// The same, into memory that is there [n_pairs].
void rope_frequencies(const RopeSpec& spec, int64_t n_tokens, std::span<float> out);

inline void rope_angles(const Env& env, const RopeSpec& spec, std::span<const float> frequencies,
                        std::span<const int64_t> positions, Rows<float> cos, Rows<float> sin) {
  env.ops->rope_angles(positions, frequencies, spec.attention_factor, cos, sin);
}

// Turns every head of x [n, n_heads * head_dim] in place.
inline void rope(const Env& env, const RopeSpec& spec, const RopeAngles& angles, int64_t n_heads,
                 Rows<float> x, Turn turn = Turn::kForward) {
  const RopePairs pairs = spec.neighbours_at_end ? RopePairs::kNeighboursAtEnd : RopePairs::kHalves;
  env.ops->rope(pairs, turn, angles, n_heads, x);
}

}  // namespace longhaul
