// String constants of a Python file, read without running it.
#pragma once

#include <string>
#include <string_view>

#include "base/errors.h"

namespace longhaul {

// The value of the one assignment `name = ...` (or `name: type = ...`) at the top level of
// `source`, whose right side must be string literals alone, side by side, in parentheses or not.
// `where` names the file in messages.
Result<std::string> python_string_constant(std::string_view source, std::string_view name,
                                           std::string_view where);

}  // namespace longhaul
