// Rows of a table that stays in its file: embeddings and per-layer embeddings.
#pragma once

#include "mechanisms/env.h"

namespace longhaul {

// out row i = table[tokens[i]][column ..] * scale. The reference holds the scale in the dtype of
// the model's weights, so it is rounded to that first.
inline void lookup(const Env& env, WeightId table, std::span<const int32_t> tokens, int64_t column,
                   float scale, Rows<float> out) {
  const bool is_f32 = env.weights->format == WeightFormat::kF32;
  env.ops->lookup(env.weights->table(table), tokens, column,
                  is_f32 ? scale : to_f32(to_bf16(scale)), out);
}

}  // namespace longhaul
