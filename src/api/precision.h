// The public choices of precision as the layers below name them.
#pragma once

#include "longhaul/options.h"
#include "mechanisms/weight_format.h"
#include "tensor/state_format.h"

namespace longhaul {

WeightFormat with_inputs(WeightFormat weights, InputPrecision inputs);
StateFormat state_format_of(CachePrecision kv);

}  // namespace longhaul
