// Multi-head latent attention with an indexer, as DeepSeek V3.2 has it. It is priced, not run: there is no forward here.
//
//   cq = rms(Wqa x)   [q^N_h ; q^R_h] = Wqb cq            c = rms(Wkva x), r = rope(Wkr x): the row kept, [c ; r]
//   score_h,i = (Wk_h^T q^N_h) . c_i + q^R_h . r_i        Wk_h and Wv_h are head h's rows of kv_b_proj
//   y = Wo concat_h Wv_h sum_i p_h,i c_i                  i over the top_k tokens of the indexer
// Applied to query and output, kv_b_proj costs one product a row, and attention works on the latent: width r + d_R for scores, r for values.
// The indexer scores every token: I_t,i = sum_h w_h relu(q^I_h . k^I_i).
// Sources: the reports of DeepSeek-V2 (latent attention and its absorbed form) and DeepSeek-V3.2 (the indexer).
#pragma once

#include "mechanisms/compressed_attention.h"

namespace longhaul {

// Scores and value sums of one query over n_rows latents.
inline uint64_t latent_attention_flops(const LatentAttentionSpec& spec, int64_t n_rows) {
  const int64_t channels = spec.attention.head_dim + spec.kv_lora_rank;
  return 2 * static_cast<uint64_t>(spec.attention.n_heads * channels) * static_cast<uint64_t>(n_rows);
}
inline int64_t attended_rows(const LatentAttentionSpec& spec, int64_t position) {
  const int64_t visible = visible_keys(spec.attention, position);
  return spec.indexer.is_followed ? std::min(visible, spec.indexer.top_k) : visible;
}

}  // namespace longhaul
