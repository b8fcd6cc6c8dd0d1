// Gemma 3 and Gemma 4 in GGUF files.
#pragma once

#include "models/gguf_reading.h"

namespace longhaul {

GgufReading gemma3_gguf();
GgufReading gemma4_gguf();

}  // namespace longhaul
