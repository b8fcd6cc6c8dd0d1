// Logits of a model at any path, of which loading takes what its plan says.
#pragma once

#include <string>
#include <vector>

#include "api/loaded_model.h"

namespace longhaul::testing {

// State in f32, 384 tokens of context, room for all logits.
LoadOptions f32_state(const std::string& weights);

// All logits of a prompt [T, V]; none where the model does not load. A failed test where loading
// allocates or maps another number of bytes than plan() says.
std::vector<float> planned_logits(const std::string& path, const std::vector<int32_t>& prompt,
                                  const LoadOptions& load = f32_state("f32"));

}  // namespace longhaul::testing
