// Gemma 4 (E2B, E4B, 12B, 26B-A4B, 31B) and Gemma 3 text models (270M to 27B) as descriptions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "models/family.h"
#include "models/rope_config.h"

namespace longhaul {

// One layer's attention after all of config.json's rules have been applied.
struct GemmaLayer {
  bool full = false;  // attends to everything, else to the window
  int64_t head_dim = 0, n_kv_heads = 0;
  bool k_eq_v = false;
};

// config.json normalised: no raw key is looked at behind this.
struct GemmaConfig {
  int generation = 4;
  std::string name;
  int64_t vocab_size = 262144, hidden_size = 0, intermediate_size = 0, num_attention_heads = 0;
  int64_t sliding_window = 512, max_position_embeddings = 131072;
  double rms_norm_eps = 1e-6;
  std::vector<GemmaLayer> layers;
  int64_t num_kv_shared_layers = 0;
  bool use_double_wide_mlp = false;
  int64_t hidden_size_per_layer_input = 0, vocab_size_per_layer_input = 262144;
  int64_t num_experts = 0, top_k_experts = 0, moe_intermediate_size = 0;  // 0 experts: no mixture
  std::optional<double> final_logit_softcapping;
  double attention_scale = 1.0;
  // What is added to the weights of norms. GGUF files of Gemma 3, and what is packed from them,
  // hold the sum: 0.
  double norm_offset = 0.0;
  RopeFields sliding_rope, full_rope;
  bool tie_word_embeddings = true;
};

Result<GemmaConfig> read_gemma_config(const ConfigFile& config);
// shape_of: tells how a checkpoint lays out its experts, where there is one.
Architecture gemma_architecture(const GemmaConfig& config, const ShapeOf& shape_of = {});

// The config.json that describes this model, nested as the published ones are; dtype in the
// reference's spelling ("bfloat16").
Json gemma_config_json(const GemmaConfig& config, const std::string& dtype);
// The last n layers, as many owners and sharers of keys and values among them as the whole model
// has in proportion.
Result<GemmaConfig> keep_gemma_layers(GemmaConfig config, int64_t n);

const Family& gemma_family();

}  // namespace longhaul
