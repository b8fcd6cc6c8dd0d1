#include "text/chat/python_strings.h"

#include <algorithm>
#include <optional>

#include "base/utf8.h"

namespace longhaul {
namespace {

bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c < 0;
}

// The quotation marks at text[at]: three, one or none of them.
std::string_view quotes_at(std::string_view text, size_t at) {
  if (at >= text.size() || (text[at] != '"' && text[at] != '\'')) return {};
  const std::string_view three = text.substr(at, 3);
  const bool triple = three.size() == 3 && three[1] == three[0] && three[2] == three[0];
  return triple ? three : text.substr(at, 1);
}

// The bytes between a literal's quotation marks, escapes as written; `at` is left behind it.
// Nothing where it does not end.
std::optional<std::string_view> skip_literal(std::string_view text, size_t& at) {
  const std::string_view quotes = quotes_at(text, at);
  const size_t begin = at + quotes.size();
  for (size_t i = begin; i < text.size(); ++i) {
    if (text.substr(i).starts_with(quotes)) {
      at = i + quotes.size();
      return text.substr(begin, i - begin);
    }
    if (text[i] == '\n' && quotes.size() == 1) break;
    if (text[i] == '\\') ++i;
  }
  return std::nullopt;
}

// A value of `digits` in `base`; nothing where one of them is none.
std::optional<uint32_t> number(std::string_view digits, uint32_t base) {
  uint32_t value = 0;
  for (const char c : digits) {
    const uint32_t digit = c >= '0' && c <= '9'   ? static_cast<uint32_t>(c - '0')
                           : c >= 'a' && c <= 'f' ? static_cast<uint32_t>(c - 'a') + 10
                           : c >= 'A' && c <= 'F' ? static_cast<uint32_t>(c - 'A') + 10
                                                  : base;
    if (digit >= base) return std::nullopt;
    value = value * base + digit;
  }
  return value;
}

// The escape behind a backslash at text[at], which is left behind it. False where Python would
// refuse it, and for \N{...}.
bool append_escape(std::string_view text, size_t& at, std::string& out) {
  static constexpr std::string_view kLetters = "abfnrtv\\'\"", kMeanings = "\a\b\f\n\r\t\v\\'\"";
  const char c = text[at++];
  if (const size_t i = kLetters.find(c); i != kLetters.npos) {
    out += kMeanings[i];
    return true;
  }
  if (c == '\n') return true;  // the line goes on
  size_t n_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
  uint32_t base = 16;
  if (c >= '0' && c <= '7') {
    --at;
    base = 8;
    n_digits =
        std::min(std::min(text.find_first_not_of("01234567", at), text.size()) - at, size_t{3});
  } else if (n_digits == 0) {
    out += '\\';
    out += c;
    return c != 'N';
  }
  const std::string_view digits = text.substr(at, n_digits);
  const auto value = number(digits, base);
  if (digits.size() < n_digits || !value || *value > 0x10ffff ||
      (*value >= 0xd800 && *value < 0xe000))
    return false;
  at += n_digits;
  append_utf8(out, static_cast<char32_t>(*value));
  return true;
}

bool append_literal(std::string_view body, bool raw, std::string& out) {
  for (size_t at = 0; at < body.size();) {
    if (body[at] != '\\' || raw) {
      out += body[at++];
    } else if (++at >= body.size() || !append_escape(body, at, out)) {
      return false;
    }
  }
  return true;
}

// Spaces, comments and, inside parentheses, line breaks.
void skip_between(std::string_view text, size_t& at, bool lines_too) {
  while (at < text.size()) {
    if (text[at] == '#') {
      at = std::min(text.find('\n', at), text.size());
    } else if (text[at] == ' ' || text[at] == '\t' || (lines_too && text[at] == '\n')) {
      ++at;
    } else if (text.substr(at).starts_with("\\\n")) {
      at += 2;
    } else {
      return;
    }
  }
}

// String literals side by side, to the end of their statement.
std::optional<std::string> read_literals(std::string_view text, size_t at) {
  std::string out;
  skip_between(text, at, false);
  const bool parentheses = at < text.size() && text[at] == '(';
  if (parentheses) ++at;
  size_t n_literals = 0;
  while (true) {
    skip_between(text, at, parentheses);
    const bool raw = at < text.size() && (text[at] == 'r' || text[at] == 'R');
    const bool unicode = at < text.size() && (text[at] == 'u' || text[at] == 'U');
    const size_t quote = at + (raw || unicode ? 1 : 0);
    if (quotes_at(text, quote).empty()) break;
    at = quote;
    const auto body = skip_literal(text, at);
    if (!body || !append_literal(*body, raw, out)) return std::nullopt;
    ++n_literals;
  }
  if (parentheses && (at >= text.size() || text[at++] != ')')) return std::nullopt;
  skip_between(text, at, false);
  const bool ends = at >= text.size() || text[at] == '\n';
  if (n_literals == 0 || !ends) return std::nullopt;
  return out;
}

// Where the right side of an assignment to `name` begins, if a statement at text[at] is one.
std::optional<size_t> assignment_at(std::string_view text, size_t at, std::string_view name) {
  if (!text.substr(at).starts_with(name)) return std::nullopt;
  at += name.size();
  if (at < text.size() && is_word(text[at])) return std::nullopt;
  const size_t equals = text.find_first_of("=\n\"'#", at);
  if (equals == text.npos || text[equals] != '=' || text.substr(equals).starts_with("=="))
    return std::nullopt;
  const std::string_view between = text.substr(at, equals - at);
  const size_t first = between.find_first_not_of(" \t");
  if (first != between.npos && between[first] != ':') return std::nullopt;
  return equals + 1;
}

std::string with_unix_line_breaks(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    out += source[i] == '\r' ? '\n' : source[i];
  }
  return out;
}

}  // namespace

Result<std::string> python_string_constant(std::string_view source, std::string_view name,
                                           std::string_view where) {
  if (const auto bad = find_invalid_utf8(source))
    return corrupt("{}: not UTF-8: ill-formed byte at offset {}", where, *bad);
  const std::string text = with_unix_line_breaks(source);
  std::optional<std::string> value;
  bool line_start = true;
  for (size_t at = 0; at < text.size();) {
    if (const auto right = line_start ? assignment_at(text, at, name) : std::nullopt) {
      if (value) return corrupt("{}: '{}' is assigned twice", where, name);
      value = read_literals(text, *right);
      if (!value)
        return corrupt("{}: '{}' is not made of plain string literals alone", where, name);
    }
    line_start = text[at] == '\n';
    if (text[at] == '#') {
      at = std::min(text.find('\n', at), text.size());
    } else if (!quotes_at(text, at).empty()) {
      // What stands inside a literal is no statement.
      if (!skip_literal(text, at))
        return corrupt("{}: a string literal that does not end, at byte {}", where, at);
      line_start = false;
    } else {
      ++at;
    }
  }
  if (!value) return corrupt("{}: no assignment to '{}'", where, name);
  return std::move(*value);
}

}  // namespace longhaul
