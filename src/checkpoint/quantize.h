// A checkpoint into a folder of packed weights.
#pragma once

#include <string>

#include "base/errors.h"
#include "longhaul/checkpoint.h"
#include "mechanisms/weight_format.h"

namespace longhaul {

// The public quantize() in any format that packs; options.weights is not looked at.
Result<QuantizeReport> quantize(const std::string& model, const std::string& out,
                                const WeightFormat& target, const QuantizeOptions& options);

}  // namespace longhaul
