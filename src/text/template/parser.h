// Template source to syntax tree.
#pragma once

#include <string_view>

#include "text/template/ast.h"

namespace longhaul::jinja {

// Messages start with `where` and the line.
Result<Block> parse_template(std::string_view source, std::string_view where);

}  // namespace longhaul::jinja
