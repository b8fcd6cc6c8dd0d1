// The published Gemma 4 sizes, from their configs.
#include "models/gemma.h"

namespace longhaul {
namespace {

struct Size {
  const char* name;
  int64_t hidden, intermediate, layers, period, heads, kv_heads, global_kv_heads;
  bool k_eq_v;
  int64_t shared;
  bool double_wide;
  int64_t per_layer, window, max_positions, experts, top_k, expert_width;
};

constexpr Size kSizes[] = {
    {"gemma-4-E2B", 1536, 6144, 35, 5, 8, 1, 1, false, 20, true, 256, 512, 131072, 0, 0, 0},
    {"gemma-4-E4B", 2560, 10240, 42, 6, 8, 2, 2, false, 18, false, 256, 512, 131072, 0, 0, 0},
    {"gemma-4-12B", 3840, 15360, 48, 6, 16, 8, 1, true, 0, false, 0, 1024, 262144, 0, 0, 0},
    {"gemma-4-26B-A4B", 2816, 2112, 30, 6, 16, 8, 2, true, 0, false, 0, 1024, 262144, 128, 8, 704},
    {"gemma-4-31B", 5376, 21504, 60, 6, 32, 16, 4, true, 0, false, 0, 1024, 262144, 0, 0, 0},
};

GemmaConfig preset(const Size& s) {
  GemmaConfig c;
  c.name = s.name;
  c.hidden_size = s.hidden;
  c.intermediate_size = s.intermediate;
  c.num_attention_heads = s.heads;
  c.sliding_window = s.window;
  c.max_position_embeddings = s.max_positions;
  for (int64_t l = 0; l < s.layers; ++l) {
    const bool full = (l + 1) % s.period == 0;
    c.layers.push_back(
        {full, full ? 512 : 256, full ? s.global_kv_heads : s.kv_heads, full && s.k_eq_v});
  }
  c.num_kv_shared_layers = s.shared;
  c.use_double_wide_mlp = s.double_wide;
  c.hidden_size_per_layer_input = s.per_layer;
  c.num_experts = s.experts;
  c.top_k_experts = s.top_k;
  c.moe_intermediate_size = s.expert_width;
  c.final_logit_softcapping = 30.0;
  c.sliding_rope = {.max_position_embeddings = s.max_positions};
  c.full_rope = {.type = RopeType::kProportional,
                 .theta = 1e6,
                 .partial_rotary_factor = 0.25,
                 .factor = 1.0,
                 .max_position_embeddings = s.max_positions};
  return c;
}

}  // namespace

const std::vector<GemmaConfig>& gemma_presets() {
  static const std::vector<GemmaConfig> presets = [] {
    std::vector<GemmaConfig> all;
    for (const Size& s : kSizes) all.push_back(preset(s));
    return all;
  }();
  return presets;
}

}  // namespace longhaul
