// DeepSeek V4 (Flash, Pro and their base models): hyper-connections, compressed sparse and heavily
// compressed attention.
#pragma once

#include "models/family.h"

namespace longhaul {

const Family& deepseek_v4_family();

}  // namespace longhaul
