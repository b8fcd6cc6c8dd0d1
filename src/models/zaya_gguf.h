// ZAYA1 in GGUF files.
#pragma once

#include "models/gguf_reading.h"

namespace longhaul {

GgufReading zaya_gguf();

}  // namespace longhaul
