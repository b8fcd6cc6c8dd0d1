// DeepSeek V4 in GGUF files.
#pragma once

#include "models/gguf_reading.h"

namespace longhaul {

GgufReading deepseek_v4_gguf();

}  // namespace longhaul
