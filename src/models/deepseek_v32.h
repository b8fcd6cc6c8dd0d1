// DeepSeek V3.2: config.json to description, for the planner.
#pragma once

#include "models/family.h"

namespace longhaul {

const Family& deepseek_v32_family();

}  // namespace longhaul
