// Multi-head latent attention with an indexer, as DeepSeek V3.2 has it. It is priced, not run.
//
//   cq = rms(Wqa x)   [q^N_h ; q^R_h] = Wqb cq       c = rms(Wkva x), r = rope(Wkr x): the row kept
//   score_h,i = (Wk_h^T q^N_h) . c_i + q^R_h . r_i   Wk_h and Wv_h are head h's rows of kv_b_proj
//   y = Wo concat_h Wv_h sum_i p_h,i c_i             i over the top_k tokens of the indexer
// Applied to query and output, kv_b_proj costs one product a row, and attention works on the
// latent: width r + d_R for scores, r for values. The indexer scores every token. Sources: the
// reports of DeepSeek-V2 (latent attention and its absorbed form) and DeepSeek-V3.2 (the indexer).
#pragma once

#include "mechanisms/gqa.h"
#include "mechanisms/indexer.h"

namespace longhaul {

// One latent a token and a few rotated channels beside it are the key of all heads at once; the
// latent is their value too.
struct LatentAttentionSpec {
  // q_proj: from the query latent; k_proj: latent and rotated channels; k_norm: of the latent;
  // state: rows of both.
  AttentionSpec attention;
  int64_t q_lora_rank = 0, kv_lora_rank = 0;
  WeightId q_a_proj = kNone;  // [q_lora_rank, D]
  NormSpec q_a_norm;
  WeightId kv_b_proj = kNone;      // [H (unrotated key + value), kv_lora_rank]
  IndexerSpec indexer;             // keys: of every token, ratio 1, nothing pooled
  WeightId key_norm_bias = kNone;  // [indexer.head_dim]: the index keys' norm subtracts the mean
};

void visit_weights(Is<LatentAttentionSpec> auto& s, const auto& visit) {
  visit_weights(s.attention, visit);
  visit(s.q_a_proj);
  visit_norm(s.q_a_norm, visit);
  visit(s.kv_b_proj);
  visit(s.key_norm_bias);
  visit_weights(s.indexer, visit);
}
void visit_states(Is<LatentAttentionSpec> auto& s, const auto& visit) {
  visit_states(s.attention, visit);
  visit_states(s.indexer, visit);
}
inline Needs needs(const LatentAttentionSpec& s) { return needs(s.attention); }
void forward(Env& env, const LatentAttentionSpec& s, const BlockIo& io);
ContextWork context_work(const LatentAttentionSpec& s, int64_t n);
Wide prompt_flops(const LatentAttentionSpec& s, int64_t n);
Words words(const LatentAttentionSpec& s, const Architecture& arch);

}  // namespace longhaul
