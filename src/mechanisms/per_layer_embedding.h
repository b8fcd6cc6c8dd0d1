// Per-layer embeddings: each layer adds a gated vector made from the token itself.
//
//   ctx = rms( (C e) * context_scale, w ),   tok = table[token][column ..] * table_scale,   p = (ctx + tok) * combine_scale
//   y = Wout( act(Wgate x) * p )
// e is the token's scaled embedding, x the residual stream without a norm. p depends on the token alone, so it is computed just for the rows that
// reach the layer; of the table, which may be larger than the rest of the model, one slice of a row is read per token.
// Source: the families' released code (no paper gives the equations).
#pragma once

#include "mechanisms/env.h"

namespace longhaul {

//   x, embedded, out  [rows.n, D]
void per_layer_embedding_forward(Env& env, const PerLayerEmbeddingSpec& spec, const RowSet& rows, const float* embedded, const float* x,
                                 float* out);
uint64_t per_layer_embedding_scratch_bytes(const PerLayerEmbeddingSpec& spec, int64_t hidden_size, const StepLimits& limits);

}  // namespace longhaul
