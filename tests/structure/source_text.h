// C++ source as text, well enough to read its includes and names.
#pragma once

#include <string>

namespace longhaul {

// Comments removed, line numbers and string, character and raw string literals kept.
std::string without_comments(const std::string& source);

}  // namespace longhaul
