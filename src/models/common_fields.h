// Refusals that families share.
#pragma once

#include <fmt/format.h>

#include <initializer_list>

#include "formats/config_reader.h"

namespace longhaul {

// Projections have no bias in any model here; a config may say so.
inline void refuse_biases(ConfigReader& config, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    if (config.boolean(key, false))
      config.refuse(key, "biased projections are not supported, expected false");
  }
}

// The reference does not look.
inline void refuse_unnormalised_experts(ConfigReader& config) {
  if (!config.boolean("norm_topk_prob", true))
    config.refuse(
        "norm_topk_prob",
        "the weights of the chosen experts are always made to add up to one, expected true");
}

// Experts may stand in tensors of their own, and a name is kept for each: the largest model
// published has some 23,000.
inline void check_number_of_experts(ConfigReader& config, std::string_view key, size_t n_layers,
                                    int64_t n_experts) {
  constexpr int64_t kMost = 1 << 16;
  const int64_t all = static_cast<int64_t>(n_layers) * n_experts;
  if (all > kMost)
    config.refuse(key, fmt::format("makes {} experts in all layers, supported are {}", all, kMost));
}

}  // namespace longhaul
