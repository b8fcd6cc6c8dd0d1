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

// Upper case by code point, except for the one expansion that turns up in prose.
void append_upper(std::string& out, uint32_t cp) {
  if (cp == 0xDF) {
    out += "SS";
  } else {
    append_utf8(out, static_cast<uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(cp))));
  }
}

}  // namespace

CodePoint decode_at(std::string_view s, size_t at) {
  const auto lead = static_cast<unsigned char>(s[at]);
  if (lead < 0x80) return {lead, 1};
  utf8proc_int32_t cp = 0;
  const auto rest = static_cast<utf8proc_ssize_t>(std::min<size_t>(s.size() - at, 4));
  const auto n =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(s.data() + at), rest, &cp);
  if (n <= 0) return {lead, 1};
  return {static_cast<uint32_t>(cp), static_cast<uint32_t>(n)};
}

size_t previous_code_point(std::string_view s, size_t at) {
  size_t begin = at - 1;
  for (int back = 0; back < 3 && begin > 0 && (static_cast<unsigned char>(s[begin]) & 0xc0) == 0x80;
       ++back)
    --begin;
  return begin + decode_at(s, begin).n_bytes == at ? begin : at - 1;
}

void append_utf8(std::string& out, uint32_t cp) {
  if (cp < 0x80) {
    out += static_cast<char>(cp);
    return;
  }
  utf8proc_uint8_t bytes[4];
  const auto n = utf8proc_encode_char(static_cast<utf8proc_int32_t>(cp), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(n));
}

bool is_valid_utf8(std::string_view s) {
  for (size_t at = 0; at < s.size();) {
    const CodePoint c = decode_at(s, at);
    if (c.n_bytes == 1 && c.value >= 0x80) return false;
    at += c.n_bytes;
  }
  return true;
}

int64_t count_code_points(std::string_view s) {
  int64_t n = 0;
  for (size_t at = 0; at < s.size(); at += decode_at(s, at).n_bytes) ++n;
  return n;
}

std::vector<size_t> code_point_offsets(std::string_view s) {
  std::vector<size_t> offsets;
  offsets.reserve(s.size() + 1);
  for (size_t at = 0; at < s.size(); at += decode_at(s, at).n_bytes) offsets.push_back(at);
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

bool is_alphabetic(uint32_t cp) {
  const auto c = category(cp);
  return c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(uint32_t cp) { return category(cp) == UTF8PROC_CATEGORY_ND; }

bool is_word(uint32_t cp) {
  const auto c = category(cp);
  return cp == '_' || is_alphabetic(cp) || (c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO);
}

bool is_upper(uint32_t cp) { return category(cp) == UTF8PROC_CATEGORY_LU; }
bool is_lower(uint32_t cp) { return category(cp) == UTF8PROC_CATEGORY_LL; }
bool is_cased(uint32_t cp) {
  return is_upper(cp) || is_lower(cp) || category(cp) == UTF8PROC_CATEGORY_LT;
}

bool is_upper_text(std::string_view s) {
  bool some = false;
  for (size_t at = 0; at < s.size(); at += decode_at(s, at).n_bytes) {
    const uint32_t cp = decode_at(s, at).value;
    if (is_cased(cp) && !is_upper(cp)) return false;
    some = some || is_upper(cp);
  }
  return some;
}

bool is_lower_text(std::string_view s) {
  bool some = false;
  for (size_t at = 0; at < s.size(); at += decode_at(s, at).n_bytes) {
    const uint32_t cp = decode_at(s, at).value;
    if (is_cased(cp) && !is_lower(cp)) return false;
    some = some || is_lower(cp);
  }
  return some;
}

std::string to_upper(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  for (size_t at = 0; at < s.size();) {
    const CodePoint c = decode_at(s, at);
    append_upper(out, c.value);
    at += c.n_bytes;
  }
  return out;
}

std::string to_lower(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  for (size_t at = 0; at < s.size();) {
    const CodePoint c = decode_at(s, at);
    append_utf8(out,
                static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.value))));
    at += c.n_bytes;
  }
  return out;
}

std::string capitalize(std::string_view s) {
  if (s.empty()) return {};
  const CodePoint first = decode_at(s, 0);
  std::string out;
  append_utf8(out,
              static_cast<uint32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(first.value))));
  return out + to_lower(s.substr(first.n_bytes));
}

std::string_view strip_left(std::string_view s, const std::vector<uint32_t>* set) {
  while (!s.empty()) {
    const CodePoint c = decode_at(s, 0);
    if (!in_set(c.value, set)) break;
    s.remove_prefix(c.n_bytes);
  }
  return s;
}

std::string_view strip_right(std::string_view s, const std::vector<uint32_t>* set) {
  while (!s.empty()) {
    const CodePoint c = decode_at(s, previous_code_point(s, s.size()));
    if (!in_set(c.value, set)) break;
    s.remove_suffix(c.n_bytes);
  }
  return s;
}

}  // namespace longhaul::jinja
