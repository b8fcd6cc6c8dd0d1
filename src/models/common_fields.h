// Fields that many a config.json carries: those that change nothing a model computes, and refusals that families share.
#pragma once

#include <fmt/format.h>

#include <initializer_list>

#include "formats/config_reader.h"

namespace longhaul {

inline constexpr IgnoredField kCommonIgnoredFields[] = {
    {"architectures", "the class that saved it; model_type decides"},
    {"auto_map", "code of the checkpoint's own is never run"},
    {"_name_or_path", "where it was saved from"},
    {"transformers_version", "who saved it"},
    {"torch_dtype", "tensors state their own dtype"},
    {"dtype", "tensors state their own dtype"},
    {"initializer_range", "training only"},
    {"attention_dropout", "training only"},
    {"hidden_dropout", "training only"},
    {"router_aux_loss_coef", "training only"},
    {"output_router_logits", "not offered"},
    {"output_attentions", "not offered"},
    {"output_hidden_states", "not offered"},
    {"return_dict", "an interface of the reference"},
    {"use_cache", "there is always a cache"},
    {"cache_implementation", "state is laid out as the architecture declares it"},
    {"is_encoder_decoder", "always a decoder"},
    {"chunk_size_feed_forward", "changes no result"},
    {"problem_type", "training only"},
    {"id2label", "classification only"},
    {"label2id", "classification only"},
    {"bos_token_id", "read with the generation defaults"},
    {"eos_token_id", "read with the generation defaults"},
    {"pad_token_id", "no padding"},
};

// Projections have no bias in any model here; a config may say so.
inline void refuse_biases(ConfigReader& config, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (config.boolean(key, false)) config.refuse(key, "biased projections are not supported, expected false");
  }
}

// Experts may stand in tensors of their own, and a name is kept for each: the largest model published has some 23,000.
inline void check_number_of_experts(ConfigReader& config, std::string_view key, size_t n_layers, int64_t n_experts) {
  constexpr int64_t kMost = 1 << 16;
  const int64_t all = static_cast<int64_t>(n_layers) * n_experts;
  if (all > kMost) config.refuse(key, fmt::format("makes {} experts in all layers, supported are {}", all, kMost));
}

}  // namespace longhaul
