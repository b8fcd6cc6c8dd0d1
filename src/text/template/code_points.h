// UTF-8 seen as Python sees a str: code points, whitespace, case. Bytes that are no valid UTF-8
// count as one code point each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::jinja {

struct CodePoint {
  uint32_t value;
  uint32_t n_bytes;
};

CodePoint decode_at(std::string_view s, size_t at);  // at < s.size()
size_t previous_code_point(std::string_view s,
                           size_t at);  // where the one before `at` begins; at > 0
void append_utf8(std::string& out, uint32_t cp);
bool is_valid_utf8(std::string_view s);
int64_t count_code_points(std::string_view s);
// Byte offset of each code point, and the size as a last entry.
std::vector<size_t> code_point_offsets(std::string_view s);

bool is_space(uint32_t cp);
bool is_line_break(uint32_t cp);
bool is_printable(uint32_t cp);
bool is_alphabetic(uint32_t cp);
bool is_decimal(uint32_t cp);
bool is_word(uint32_t cp);  // what \w matches
bool is_upper(uint32_t cp);
bool is_lower(uint32_t cp);
bool is_cased(uint32_t cp);

// Some cased character, and none of the other case.
bool is_upper_text(std::string_view s);
bool is_lower_text(std::string_view s);

std::string to_upper(std::string_view s);
std::string to_lower(std::string_view s);
std::string capitalize(std::string_view s);

std::string_view strip_left(std::string_view s,
                            const std::vector<uint32_t>* set = nullptr);  // null: whitespace
std::string_view strip_right(std::string_view s, const std::vector<uint32_t>* set = nullptr);

}  // namespace longhaul::jinja
