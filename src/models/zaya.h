// ZAYA1: compressed convolutional attention, top-1 mixture of experts with an MLP router, scaled
// residuals.
#pragma once

#include "models/family.h"

namespace longhaul {

const Family& zaya_family();

}  // namespace longhaul
