#include "source_text.h"

#include <algorithm>
#include <cctype>

namespace longhaul {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// The end of the literal that starts at `at` with a quote; the text's end where it does not close.
size_t literal_end(const std::string& text, size_t at) {
  const char quote = text[at];
  if (quote == '"' && at > 0 && text[at - 1] == 'R') {
    const size_t open = text.find('(', at);
    if (open == std::string::npos) return text.size();
    const std::string close = ")" + text.substr(at + 1, open - at - 1) + "\"";
    const size_t end = text.find(close, open);
    return end == std::string::npos ? text.size() : end + close.size();
  }
  for (size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      return i + 1;
    }
  }
  return text.size();
}

bool starts_literal(const std::string& text, size_t at) {
  if (text[at] == '"') return true;
  return text[at] == '\'' && (at == 0 || !is_word(text[at - 1]));  // else a digit separator: 1'000
}

}  // namespace

std::string without_comments(const std::string& text) {
  std::string out;
  size_t i = 0;
  while (i < text.size()) {
    if (text.compare(i, 2, "//") == 0) {
      i = std::min(text.find('\n', i), text.size());
    } else if (text.compare(i, 2, "/*") == 0) {
      const size_t close = text.find("*/", i + 2);
      const size_t end = close == std::string::npos ? text.size() : close + 2;
      out.append(static_cast<size_t>(std::count(text.begin() + static_cast<long>(i),
                                                text.begin() + static_cast<long>(end), '\n')),
                 '\n');
      i = end;
    } else if (starts_literal(text, i)) {
      const size_t end = literal_end(text, i);
      out += text.substr(i, end - i);
      i = end;
    } else {
      out += text[i++];
    }
  }
  return out;
}

}  // namespace longhaul
