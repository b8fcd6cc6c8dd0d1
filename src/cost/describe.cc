#include "cost/describe.h"

#include <fmt/format.h>

namespace longhaul {
namespace {

std::string describe_part(const AttentionSpec& s) {
  return s.window == kUnbounded ? "attention full" : fmt::format("attention sliding {}", s.window);
}

std::string choice_text(const IndexerSpec& s) { return s.is_followed ? fmt::format(" top {}", s.top_k) : ", indexer not followed"; }

std::string describe_part(const CcaSpec& s) { return "convolutional " + describe_part(s.attention); }
std::string describe_part(const CompressedAttentionSpec& s) {
  std::string text = describe_part(s.attention);
  if (s.compressor) text += fmt::format(" + entries 1:{}", s.compressor->ratio);
  if (s.indexer) text += choice_text(*s.indexer);
  return text;
}

std::string describe_part(const LatentAttentionSpec& s) {
  const std::string text = fmt::format("latent attention {} + {}", s.kv_lora_rank, s.attention.head_dim - s.kv_lora_rank);
  return text + choice_text(s.indexer);
}

std::string describe_part(const GatedMlpSpec& s) { return fmt::format("mlp {}", s.width); }
std::string describe_part(const MoeSpec& s) {
  const auto* linear = std::get_if<LinearRouterSpec>(&s.router);
  return fmt::format("moe {} of {} x {}{}{}", s.top_k, s.n_experts, s.width,
                     linear != nullptr && linear->token_experts != kNone ? " by token id" : "",
                     s.skipped == Skipped::kItself ? ", or itself" : "");
}
std::string describe_part(const PerLayerEmbeddingSpec& s) { return fmt::format("per-layer embedding {}", s.width); }

std::string describe_part(const ParallelSpec& s) {
  std::string text;
  for (const Branch& branch : s.branches) {
    if (!text.empty()) text += " + ";
    text += std::visit([](const auto& mixer) { return describe_part(mixer); }, branch.mixer);
  }
  return text;
}

std::string heads(const AttentionSpec& s) {
  std::string text = fmt::format("{} query heads of {}, {} KV head{}, rope theta {}", s.n_heads, s.head_dim, s.n_kv_heads,
                                 s.n_kv_heads == 1 ? "" : "s", s.rope.theta);
  if (s.rope.neighbours_at_end) text += fmt::format(" on the last {} channels", 2 * s.rope.n_pairs);
  if (s.rope.live_pairs < s.rope.n_pairs) text += fmt::format(" on {} of {} pairs", s.rope.live_pairs, s.rope.n_pairs);
  return text;
}

}  // namespace

std::string describe(const Mixer& mixer) {
  return std::visit([](const auto& spec) { return describe_part(spec); }, mixer);
}

std::string describe_heads(const Mixer& mixer) {
  if (const auto* cca = std::get_if<CcaSpec>(&mixer)) return heads(cca->attention);
  if (const auto* plain = std::get_if<AttentionSpec>(&mixer))
    return heads(*plain) + (plain->writes_state() && plain->v_proj == kNone ? ", values from the key projection" : "");
  if (const auto* latent = std::get_if<LatentAttentionSpec>(&mixer)) return heads(latent->attention);
  const auto* s = std::get_if<CompressedAttentionSpec>(&mixer);
  return s == nullptr ? "" : heads(s->attention);
}

std::string describe_latents(const CompressedAttentionSpec& s) {
  std::string text = fmt::format("queries from a latent of {}, outputs by {} groups through {}", s.q_lora_rank, s.o_groups, s.o_lora_rank);
  if (s.compressor) text += fmt::format(", entries pooled over {} tokens", s.compressor->series() * s.compressor->ratio);
  if (s.indexer) text += fmt::format(", chosen by {} heads of {}", s.indexer->n_heads, s.indexer->head_dim);
  return text;
}

std::string describe(const StateSpec& s) {
  if (s.is_fixed()) return fmt::format("a block of {} numbers in f32", s.fixed_elements);
  const char* holds = s.rows == RowKind::kShared ? "key and value at once" : s.rows == RowKind::kKeys ? "a key" : "keys and values";
  const std::string row = fmt::format("{} x {}, {}", s.n_kv_heads, s.head_dim, holds);
  if (s.is_ring()) return fmt::format("a ring of {} rows of {}", s.window, row);
  return s.ratio == 1 ? fmt::format("a row a token of {}", row) : fmt::format("a row every {} tokens of {}", s.ratio, row);
}

std::string layer_schedule(const Architecture& arch) {
  std::string letters(static_cast<size_t>(arch.n_layers), '-');
  for (const Block& block : arch.blocks) {
    const auto* s = as_attention(block);
    if (s == nullptr) continue;
    const auto* compressed = std::get_if<CompressedAttentionSpec>(&block.mixer);
    if (compressed != nullptr && compressed->compressor) {
      letters[static_cast<size_t>(block.layer)] = compressed->indexer ? 'C' : 'H';
      continue;
    }
    if (std::holds_alternative<LatentAttentionSpec>(block.mixer)) {
      letters[static_cast<size_t>(block.layer)] = 'L';
      continue;
    }
    const bool full = s->window == kUnbounded;
    letters[static_cast<size_t>(block.layer)] = s->writes_state() ? (full ? 'F' : 'S') : (full ? 'f' : 's');
  }
  return letters;
}

}  // namespace longhaul
