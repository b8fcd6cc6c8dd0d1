// String operations that methods and filters share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/template/value.h"

namespace longhaul::jinja {

Result<std::string> replace_text(Run& run, std::string_view s, std::string_view from,
                                 std::string_view to, int64_t max_count);
std::vector<std::string_view> split_lines(std::string_view s);
std::string title_words(std::string_view s, bool (*starts_word)(uint32_t before));

}  // namespace longhaul::jinja
