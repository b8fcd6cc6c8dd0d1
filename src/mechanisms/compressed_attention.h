// Attention over a window of rows and over compressed entries, with queries and outputs in low-rank
// latents.
//
//   qr = rms(Wqa x)                q = rope(rms(Wqb qr)) by head, the inner rms without weights
//   r  = rope(rms(Wkv x))          one row a token, key and value of all heads
//   o_h = softmax over { r of the last W tokens } and { entries }, with a sink; see
//         kernels/shared_attention.h
//   y  = Wob [ Woa_g rope^-1(o) of group g's heads ]_g
// Values carry the rotation of their own position, keys being values; turning the output back by
// the query's leaves the distance alone. Entries come from a compressor (compressor.h): all of them
// (heavily compressed attention), or those that an indexer chooses (compressed sparse attention;
// indexer.h), with q^I = rope(Wq^I qr), w = Ww x / sqrt(heads * width), and keys from a compressor
// of its own. The indexer scores all entries even where it keeps them all: below top_k * ratio
// tokens that is less than a percent of the layer.
// Source: DeepSeek-V4 report, sections 2.3.1 to 2.3.3; order of norms and rotations as in the
// reference implementation.
#pragma once

#include "mechanisms/gqa.h"
#include "mechanisms/indexer.h"

namespace longhaul {

struct CompressedAttentionSpec {
  // q_proj: from the query latent; k_proj, k_norm: the row; o_proj: from the groups' latents;
  // state: a ring.
  AttentionSpec attention;
  int64_t q_lora_rank = 0, o_groups = 0, o_lora_rank = 0;
  WeightId q_a_proj = kNone;  // [q_lora_rank, D]
  NormSpec q_a_norm;
  WeightId sinks = kNone;     // [H], a score that takes part in the softmax and has no value
  WeightId o_a_proj = kNone;  // o_groups matrices [o_lora_rank, H head_dim / o_groups]
  std::optional<CompressorSpec> compressor;
  std::optional<IndexerSpec> indexer;  // chooses among the entries; without one all are seen

  bool follows_choice() const { return indexer && indexer->is_followed; }
};

void visit_weights(Is<CompressedAttentionSpec> auto& s, const auto& visit) {
  visit(s.q_a_proj);
  visit_norm(s.q_a_norm, visit);
  visit(s.sinks);
  visit(s.o_a_proj);
  visit_weights(s.attention, visit);
  if (s.compressor) visit_weights(*s.compressor, visit);
  if (s.indexer) visit_weights(*s.indexer, visit);
}
void visit_states(Is<CompressedAttentionSpec> auto& s, const auto& visit) {
  visit_states(s.attention, visit);
  if (s.compressor) visit_states(*s.compressor, visit);
  if (s.indexer) visit_states(*s.indexer, visit);
}
inline Needs needs(const CompressedAttentionSpec& s) { return needs(s.attention); }
void forward(Env& env, const CompressedAttentionSpec& s, const BlockIo& io);
ContextWork context_work(const CompressedAttentionSpec& s, int64_t n);
Wide prompt_flops(const CompressedAttentionSpec& s, int64_t n);
Words words(const CompressedAttentionSpec& s, const Architecture& arch);

}  // namespace longhaul
