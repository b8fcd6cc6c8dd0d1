#include "text/template/string_literal.h"

#include "text/template/code_points.h"

namespace longhaul::jinja {
namespace {

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 16;
}

// Up to max_digits digits of the base at `at`, which moves past them.
uint32_t read_digits(std::string_view s, size_t& at, size_t max_digits, int base) {
  uint32_t value = 0;
  for (size_t n = 0; n < max_digits && at < s.size() && digit_value(s[at]) < base; ++n) {
    value = value * static_cast<uint32_t>(base) + static_cast<uint32_t>(digit_value(s[at++]));
  }
  return value;
}

Status append_hex(std::string& out, std::string_view s, size_t& at, size_t n_digits) {
  const size_t begin = at;
  const uint32_t cp = read_digits(s, at, n_digits, 16);
  if (at - begin != n_digits)
    return invalid("an escape in a string needs {} hexadecimal digits", n_digits);
  if (cp > 0x10ffff) return invalid("an escape in a string stands for no character");
  if (cp >= 0xd800 && cp <= 0xdfff)
    return invalid("an escape in a string is half of a surrogate pair");
  append_utf8(out, cp);
  return {};
}

char simple_escape(char c) {
  switch (c) {
    case 'n': return '\n';
    case 't': return '\t';
    case 'r': return '\r';
    case 'a': return '\a';
    case 'b': return '\b';
    case 'f': return '\f';
    case 'v': return '\v';
    case '\\':
    case '\'':
    case '"': return c;
    default: return 0;
  }
}

}  // namespace

Result<std::string> unescape_literal(std::string_view body) {
  std::string out;
  out.reserve(body.size());
  for (size_t at = 0; at < body.size();) {
    if (body[at] != '\\' || at + 1 == body.size()) {
      out += body[at++];
      continue;
    }
    const char c = body[at + 1];
    at += 2;
    if (const char simple = simple_escape(c)) {
      out += simple;
    } else if (c == '\n') {
      continue;  // a line continued inside the literal
    } else if (c >= '0' && c <= '7') {
      --at;
      append_utf8(out, read_digits(body, at, 3, 8));
    } else if (c == 'x' || c == 'u' || c == 'U') {
      LH_RETURN_IF_ERROR(append_hex(out, body, at, c == 'x' ? 2 : c == 'u' ? 4 : 8));
    } else if (c == 'N') {
      return unsupported("escapes by character name (\\N{{...}}) are not supported");
    } else {
      out += '\\';
      out += c;
    }
  }
  return out;
}

}  // namespace longhaul::jinja
