// Text as Python sees a str: counted in code points; whitespace, case. All text is valid UTF-8: the
// template's source and its context are checked on their way in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"

namespace longhaul::jinja {

int64_t count_code_points(std::string_view s);
// Byte offset of each code point, and the size as a last entry.
std::vector<size_t> code_point_offsets(std::string_view s);

bool is_space(uint32_t cp);
bool is_line_break(uint32_t cp);
bool is_printable(uint32_t cp);
bool is_cased(uint32_t cp);

std::string to_upper(std::string_view s);
std::string to_lower(std::string_view s);
std::string capitalize(std::string_view s);

// Without the whitespace, or the code points of `set`, at an end.
std::string_view strip_left(std::string_view s, const std::vector<uint32_t>* set = nullptr);
std::string_view strip_right(std::string_view s, const std::vector<uint32_t>* set = nullptr);

}  // namespace longhaul::jinja
