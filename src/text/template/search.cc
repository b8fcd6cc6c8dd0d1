#include "text/template/search.h"

namespace longhaul::jinja {

TextFinder::TextFinder(std::string_view needle) : needle_(needle), border_(needle.size(), 0) {
  for (size_t i = 1, k = 0; i < needle.size(); ++i) {
    while (k > 0 && needle[i] != needle[k]) k = border_[k - 1];
    if (needle[i] == needle[k]) ++k;
    border_[i] = k;
  }
}

size_t TextFinder::next(std::string_view text, size_t from) const {
  // A short needle bounds the library's search, which is faster.
  if (needle_.size() <= 16) return text.find(needle_, from);
  for (size_t i = from, k = 0; i < text.size(); ++i) {
    while (k > 0 && text[i] != needle_[k]) k = border_[k - 1];
    if (text[i] == needle_[k]) ++k;
    if (k == needle_.size()) return i + 1 - k;
  }
  return text.npos;
}

size_t find_text(std::string_view text, std::string_view needle, size_t from) {
  if (needle.empty()) return from <= text.size() ? from : text.npos;
  return TextFinder(needle).next(text, from);
}

}  // namespace longhaul::jinja
