// Laguna (XS.2, XS-2.1, S-2.1, M.1): attention budgets by layer, gated heads, mixtures of experts.
#pragma once

#include "models/family.h"

namespace longhaul {

const Family& laguna_family();

}  // namespace longhaul
