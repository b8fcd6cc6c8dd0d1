// Outside text made fit for a message: names in files come from strangers and end up on terminals.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace longhaul {

// Control characters are escaped (\x1b); beyond max_bytes the text is cut and its length told.
std::string printable(std::string_view text, size_t max_bytes = 200);

}  // namespace longhaul
