#include "mechanisms/latent_attention.h"

#include <fmt/format.h>

namespace longhaul {
namespace {

// Scores and value sums of one query over n_rows latents.
uint64_t latent_flops(const LatentAttentionSpec& s, int64_t n_rows) {
  const int64_t channels = s.attention.head_dim + s.kv_lora_rank;
  return 2 * static_cast<uint64_t>(s.attention.n_heads * channels) * static_cast<uint64_t>(n_rows);
}

}  // namespace

void forward(Env& env, const LatentAttentionSpec&, const BlockIo&) {
  if (env.counts_only()) return;
  LH_CHECK(!"latent attention is described for the planner only, and loading refuses it");
}

ContextWork context_work(const LatentAttentionSpec& s, int64_t n) {
  const int64_t visible = visible_keys(s.attention, n - 1);
  const int64_t rows = s.indexer.is_followed ? std::min(visible, s.indexer.top_k) : visible;
  ContextWork work{.work = {{latent_flops(s, rows)}}, .reads = {{s.attention.state, rows}}};
  add_scoring(s.indexer, n, work);
  return work;
}

Wide prompt_flops(const LatentAttentionSpec& s, int64_t n) {
  const int64_t top_k = s.indexer.is_followed ? s.indexer.top_k : n;
  return Wide{latent_flops(s, 1)} * entries_seen(n, 1, top_k) + scoring_flops(s.indexer, n);
}

Words words(const LatentAttentionSpec& s, const Architecture& arch) {
  return {.name = "latent attention",
          .tap = "attn",
          .summary = fmt::format("latent attention {} + {}{}", s.kv_lora_rank,
                                 s.attention.head_dim - s.kv_lora_rank, choice_words(s.indexer)),
          .heads = head_words(s.attention),
          .schedule = {'L', "L chosen latents", 4},
          .fields = {{"attention", head_json(s.attention, arch)}}};
}

}  // namespace longhaul
