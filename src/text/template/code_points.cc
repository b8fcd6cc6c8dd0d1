#include "text/template/code_points.h"

#include <utf8proc.h>

#include <algorithm>

namespace longhaul::jinja {
namespace {

bool in_set(uint32_t cp, const std::vector<uint32_t>* set) {
  return set == nullptr ? is_space(cp) : std::find(set->begin(), set->end(), cp) != set->end();
}

utf8proc_category_t category(uint32_t cp) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(cp));
}

template <utf8proc_int32_t (*kChange)(utf8proc_int32_t)>
void append_changed(std::string& out, uint32_t cp) {
  append_utf8(out, static_cast<char32_t>(kChange(static_cast<utf8proc_int32_t>(cp))));
}

}  // namespace

int64_t count_code_points(std::string_view s) {
  int64_t n = 0;
  for (size_t at = 0; at < s.size(); at += utf8_char_at(s, at).size) ++n;
  return n;
}

std::vector<size_t> code_point_offsets(std::string_view s) {
  std::vector<size_t> offsets;
  offsets.reserve(s.size() + 1);
  for (size_t at = 0; at < s.size(); at += utf8_char_at(s, at).size) offsets.push_back(at);
  offsets.push_back(s.size());
  return offsets;
}

bool is_space(uint32_t cp) {
  if (cp < 0x80) return cp == ' ' || (cp >= 9 && cp <= 13) || (cp >= 0x1c && cp <= 0x1f);
  return cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) ||
         cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

bool is_line_break(uint32_t cp) {
  return (cp >= 10 && cp <= 13) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 ||
         cp == 0x2029;
}

bool is_printable(uint32_t cp) {
  if (cp < 0x80) return cp >= 0x20 && cp < 0x7f;
  switch (category(cp)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
  }
}

bool is_cased(uint32_t cp) {
  const auto c = category(cp);
  return c == UTF8PROC_CATEGORY_LU || c == UTF8PROC_CATEGORY_LL || c == UTF8PROC_CATEGORY_LT;
}

// By code point, except for the one expansion that turns up in prose.
std::string to_upper(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  for (size_t at = 0; at < s.size();) {
    const Utf8Char c = utf8_char_at(s, at);
    if (c.code_point == 0xDF) {
      out += "SS";
    } else {
      append_changed<utf8proc_toupper>(out, c.code_point);
    }
    at += c.size;
  }
  return out;
}

std::string to_lower(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  for (size_t at = 0; at < s.size();) {
    const Utf8Char c = utf8_char_at(s, at);
    append_changed<utf8proc_tolower>(out, c.code_point);
    at += c.size;
  }
  return out;
}

std::string capitalize(std::string_view s) {
  if (s.empty()) return {};
  const Utf8Char first = utf8_char_at(s, 0);
  std::string out;
  append_changed<utf8proc_totitle>(out, first.code_point);
  return out + to_lower(s.substr(first.size));
}

std::string_view strip_left(std::string_view s, const std::vector<uint32_t>* set) {
  while (!s.empty()) {
    const Utf8Char c = utf8_char_at(s, 0);
    if (!in_set(c.code_point, set)) break;
    s.remove_prefix(c.size);
  }
  return s;
}

std::string_view strip_right(std::string_view s, const std::vector<uint32_t>* set) {
  while (!s.empty()) {
    const Utf8Char c = utf8_last_char(s);
    if (!in_set(c.code_point, set)) break;
    s.remove_suffix(c.size);
  }
  return s;
}

}  // namespace longhaul::jinja
