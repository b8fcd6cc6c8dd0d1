// The public choices of precision as the layers below name them.
#pragma once

#include "longhaul/options.h"
#include "tensor/state_format.h"
#include "tensor/weight_format.h"

namespace longhaul {

StateFormat state_format_of(CachePrecision kv);
WeightPrecision precision_of(WeightFormat format);

}  // namespace longhaul
