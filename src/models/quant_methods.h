// Quantisation methods that bear the name of a family.
#pragma once

#include <string_view>

namespace longhaul {

// The quant_method of Gemma's checkpoints for phones: integers of 2, 4 and 8 bits.
// Source: transformers 5.18, integrations/gemma_quant.py.
inline constexpr std::string_view kMobileQuantMethod = "gemma";

}  // namespace longhaul
