#include "longhaul/nearest.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace longhaul {
namespace {

std::string folded(std::string_view word) {
  std::string out(word);
  for (char& c : out)
    c = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

// Insertions, deletions, replacements and exchanges of neighbours that turn a into b (optimal
// string alignment).
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

size_t common_prefix(std::string_view a, std::string_view b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first -
                             a.begin());
}

}  // namespace

std::vector<std::string> nearest(std::string_view word, const std::vector<std::string>& known) {
  constexpr size_t kMost = 3, kMinBeginning = 3, kMaxLength = 100;
  if (word.size() > kMaxLength) return {};  // no misspelling, and distances are quadratic
  const std::string from = folded(word);
  // edits, characters that are not of a common beginning: less is more alike
  using Likeness = std::tuple<size_t, size_t>;
  std::vector<std::string> found;
  Likeness best{SIZE_MAX, 0};
  for (const std::string& candidate : known) {
    const std::string to = folded(candidate);
    const size_t longer = std::max(from.size(), to.size()),
                 shorter = std::min(from.size(), to.size());
    const size_t allowed = std::max<size_t>(1, longer / 3), shared = common_prefix(from, to);
    size_t edits = distance(from, to);
    if (shared == shorter && shorter >= kMinBeginning)
      edits = std::min(edits, allowed);  // one begins with the other
    const Likeness likeness{edits, shorter - shared};
    if (edits > allowed || likeness > best) continue;
    if (likeness < best) found.clear();
    best = likeness;
    if (found.size() < kMost) found.push_back(candidate);
  }
  return found;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known,
                         std::string_view prefix) {
  std::string out;
  for (const std::string& candidate : nearest(word, known)) {
    out += fmt::format("{}'{}{}'", out.empty() ? "; did you mean " : " or ", prefix, candidate);
  }
  return out.empty() ? out : out + "?";
}

}  // namespace longhaul
