// Token ids of recently seen words. Direct-mapped, a cache line a word: a collision only costs a
// recomputation, so no text can make it slow. Words or results that don't fit a line are not kept.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "text/tokenizer/hash.h"

namespace longhaul {

class WordCache {
 public:
  static constexpr size_t kMaxWord = 28;
  static constexpr size_t kMaxIds = 8;

  // Sized for a text of that many bytes: clearing lines must not cost more than a short text.
  explicit WordCache(size_t text_bytes)
      : lines_(std::bit_ceil(std::clamp<size_t>(text_bytes / 8, 16, size_t{1} << 16))) {}

  // Appends the word's ids to `out`, or returns false where it isn't here.
  bool find(std::string_view word, std::vector<int32_t>& out) const {
    if (word.size() > kMaxWord) return false;
    const Line& line = lines_[index(word)];
    if (line.size != word.size() || std::memcmp(line.text, word.data(), word.size()) != 0)
      return false;
    out.insert(out.end(), line.ids, line.ids + line.n_ids);
    return true;
  }

  void put(std::string_view word, std::span<const int32_t> ids) {
    if (word.empty() || word.size() > kMaxWord || ids.size() > kMaxIds) return;
    Line& line = lines_[index(word)];
    line.size = static_cast<uint8_t>(word.size());
    line.n_ids = static_cast<uint8_t>(ids.size());
    std::memcpy(line.text, word.data(), word.size());
    std::copy(ids.begin(), ids.end(), line.ids);
  }

 private:
  struct alignas(64) Line {
    uint8_t size = 0;  // 0: free
    uint8_t n_ids = 0;
    char text[kMaxWord];
    int32_t ids[kMaxIds];
  };
  size_t index(std::string_view word) const { return hash_bytes(word) & (lines_.size() - 1); }

  std::vector<Line> lines_;
};

}  // namespace longhaul
