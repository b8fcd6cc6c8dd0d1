#include "formats/gguf_merges.h"

#include <algorithm>
#include <tuple>

#include "base/utf8.h"

namespace longhaul {
namespace {

struct Merge {
  TokenPair pair;
  double score;
  uint32_t left_length, right_length;  // code points
  int32_t left, right;
};

uint32_t count_code_points(std::string_view text) {
  return static_cast<uint32_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

// Those of one token, by the ids of their halves.
void add_merges_of(std::string_view text, double score, const TokenIds& ids,
                   std::vector<Merge>& merges) {
  const size_t first = merges.size();
  const uint32_t length = count_code_points(text);
  uint32_t left_length = 0;
  for (size_t at = 0; at < text.size();) {
    at += utf8_char_at(text, at).size;
    ++left_length;
    if (at == text.size()) break;
    const auto left = ids.find(text.substr(0, at));
    if (left == ids.end()) continue;
    const auto right = ids.find(text.substr(at));
    if (right == ids.end()) continue;
    merges.push_back({{left->first, right->first},
                      score,
                      left_length,
                      length - left_length,
                      left->second,
                      right->second});
  }
  std::sort(merges.begin() + static_cast<ptrdiff_t>(first), merges.end(),
            [](const Merge& a, const Merge& b) {
              return std::tie(a.left, a.right) < std::tie(b.left, b.right);
            });
}

}  // namespace

std::vector<TokenPair> merges_of_scores(std::span<const std::string> texts,
                                        std::span<const double> scores, const TokenIds& ids) {
  std::vector<Merge> merges;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (ids.at(texts[i]) == static_cast<int32_t>(i))
      add_merges_of(texts[i], scores[i], ids, merges);
  }
  std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
    return std::tie(b.score, b.left_length, b.right_length) <
           std::tie(a.score, a.left_length, a.right_length);
  });
  std::vector<TokenPair> pairs;
  pairs.reserve(merges.size());
  for (const Merge& merge : merges) pairs.push_back(merge.pair);
  return pairs;
}

}  // namespace longhaul
