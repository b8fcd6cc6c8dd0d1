// Merges of a vocabulary that has scores: as a BPE model lists them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace longhaul {

using TokenIds = std::unordered_map<std::string_view, int32_t>;  // by text

struct TokenPair {
  std::string_view left, right;
};

// Every way to cut a token into two others, the preferred ones first: by score of the whole, then
// by the length in code points of the left half, then of the right one; of equals by the ids of
// whole, left and right. Texts are UTF-8 and not longer than some hundred bytes: the time grows
// with the square of that. A token that has another id in `ids` gives none.
//   scores  as many as texts, finite
// The pairs are views of the texts.
std::vector<TokenPair> merges_of_scores(std::span<const std::string> texts,
                                        std::span<const double> scores, const TokenIds& ids);

}  // namespace longhaul
