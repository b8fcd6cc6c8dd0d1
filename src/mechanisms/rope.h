// Rotary position embedding: the pair (x[i], x[i + n_pairs]), or of neighbours at the end of a head, is turned by the angle
// position * frequency[i].
//
// Frequencies and angles are computed in f32 like the reference does: at long positions the rounding of the product is part of
// what the model was trained with. Source: RoFormer (Su et al. 2021), eq. 15; half-split pairing as in the families' released code.
#pragma once

#include "mechanisms/env.h"

namespace longhaul {

// Radians a position of each pair [n_pairs], in a text of n_tokens in all; only
// spec.follows_length() asks.
std::vector<float> rope_frequencies(const RopeSpec& spec, int64_t n_tokens = 0);

// The same, kept: where the length changes them they are computed anew, in memory that was there
// before.
class RopeFrequencies {
 public:
  explicit RopeFrequencies(const RopeSpec& spec) : spec_(spec), values_(rope_frequencies(spec)) {}
  // Valid until the next call.
  const std::vector<float>& in_text_of(int64_t n_tokens);

 private:
  RopeSpec spec_;
  std::vector<float> values_;
  int64_t n_tokens_ = 0;
};

// cos and sin [rows, n_pairs] for the positions of a row set.
struct RopeTable {
  const float* cos = nullptr;
  const float* sin = nullptr;
};

void fill_rope_table(const Env& env, const RopeSpec& spec, const std::vector<float>& frequencies, std::span<const int64_t> positions,
                     float* cos, float* sin);

// Rotates every head of x [rows, n_heads, head_dim] in place.
void rope(const Env& env, const RopeSpec& spec, const RopeTable& table, int64_t n_rows, int64_t n_heads, int64_t head_dim, float* x);
// Turns back by the same angles; of neighbours at the end alone.
void rope_back(const Env& env, const RopeSpec& spec, const RopeTable& table, int64_t n_rows, int64_t n_heads, int64_t head_dim, float* x);

}  // namespace longhaul
