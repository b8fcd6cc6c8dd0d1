// Per-layer embeddings: each layer adds a gated vector made from the token itself.
//
//   ctx = rms( (C e) * context_scale, w ),   tok = table[token][column ..] * table_scale
//   p = (ctx + tok) * combine_scale,         y = Wout( act(Wgate x) * p )
// e is the token's scaled embedding, x the residual stream without a norm. p depends on the token
// alone, so it is computed just for the rows that reach the layer. Of the table, which may be
// larger than the rest of the model, one slice of a row is read per token.
// Source: the families' released code (no paper gives the equations).
#pragma once

#include "arch/mixer.h"
#include "mechanisms/block_io.h"
#include "mechanisms/norm.h"

namespace longhaul {

struct PerLayerEmbeddingSpec {
  int64_t width = 0;
  ActivationKind activation = ActivationKind::kGeluTanh;
  WeightId table = kNone;  // [rows, L * width], this layer's slice begins at table_column
  int64_t table_column = 0;
  float table_scale = 1.0f;
  WeightId context_proj = kNone;  // [width, D]
  float context_scale = 1.0f;
  NormSpec context_norm;
  float combine_scale = 1.0f;
  WeightId gate_proj = kNone;  // [width, D]
  WeightId out_proj = kNone;   // [D, width]
};

void visit_weights(Is<PerLayerEmbeddingSpec> auto& s, const auto& visit) {
  visit(s.table);
  visit(s.context_proj);
  visit_norm(s.context_norm, visit);
  visit(s.gate_proj);
  visit(s.out_proj);
}
void visit_states(Is<PerLayerEmbeddingSpec> auto&, const auto&) {}
inline Needs needs(const PerLayerEmbeddingSpec&) { return {.embedding = true}; }
void forward(Env& env, const PerLayerEmbeddingSpec& s, const BlockIo& io);
inline ContextWork context_work(const PerLayerEmbeddingSpec&, int64_t) { return {}; }
inline Wide prompt_flops(const PerLayerEmbeddingSpec&, int64_t) { return 0; }
Words words(const PerLayerEmbeddingSpec& s, const Architecture& arch);

}  // namespace longhaul
