// The public choices of precision as the layers below name them.
#pragma once

#include "longhaul/options.h"
#include "tensor/state_format.h"

namespace longhaul {

StateFormat state_format_of(CachePrecision kv);

}  // namespace longhaul
