// Substring search whose cost is linear whatever the texts: both may come from an attacker.
#pragma once

#include <string_view>
#include <vector>

namespace longhaul::jinja {

// Knuth-Morris-Pratt, walking all occurrences, overlapping ones included.
class TextFinder {
 public:
  explicit TextFinder(std::string_view needle);
  // Byte position of the next occurrence at or behind `from`, npos where there is none. The needle
  // must not be empty.
  size_t next(std::string_view text, size_t from) const;

 private:
  std::string_view needle_;
  std::vector<size_t> border_;  // length of the longest proper border of needle[0..i]
};

size_t find_text(std::string_view text, std::string_view needle, size_t from = 0);

}  // namespace longhaul::jinja
