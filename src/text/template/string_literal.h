// The escapes of a Python string literal, as Jinja reads them.
#pragma once

#include <string>
#include <string_view>

#include "base/errors.h"

namespace longhaul::jinja {

// `body` is what stands between the quotes.
Result<std::string> unescape_literal(std::string_view body);

}  // namespace longhaul::jinja
