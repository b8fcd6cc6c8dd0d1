// Numbers that are whole for most models and have a fraction for some: bytes a token where a
// compressed row stands for many.
#pragma once

#include <string>

#include "base/json.h"

namespace longhaul {

std::string exact_number(double n);  // "6,880", "3,514.25"
Json json_number(double n);          // an integer where it is whole

}  // namespace longhaul
