// Laguna in GGUF files.
#pragma once

#include "models/gguf_reading.h"

namespace longhaul {

GgufReading laguna_gguf();

}  // namespace longhaul
