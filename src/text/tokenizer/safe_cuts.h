// Where a text may be cut before BPE without changing the result.
//
// Gemma's pre-tokenizer leaves whole documents in one piece, and BPE over millions of symbols is
// slow. But a merge (A, B) acts across the boundary between characters c and d only if A's text
// ends in c and B's begins with d. If no merge of the list does, no merge ever spans that boundary,
// whatever happens on either side; the two sides never exchange a symbol, so each is merged as if
// it stood alone (the order among the merges of one side does not depend on the other's).
//
// Symbols that are not a character of the vocabulary (byte tokens, the unknown token) have a text
// that is not the input's. A cut beside them is allowed only where byte tokens stand for every such
// character and take part in no merge.
#pragma once

#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "text/tokenizer/merges.h"
#include "text/tokenizer/vocabulary.h"

namespace longhaul {

class SafeCuts {
 public:
  // `bytes_cover_all`: every character outside the vocabulary becomes byte tokens. `loose`: the ids
  // of byte and unknown tokens.
  static SafeCuts build(const MergeTexts& texts, const Vocabulary& vocabulary, bool bytes_cover_all,
                        const std::vector<int32_t>& loose);

  // Whether a cut between two adjacent characters is safe. Both must be in the vocabulary, unless
  // unknown_is_safe().
  bool between(char32_t left, char32_t right) const {
    if (left < 128 && right < 128) return !ascii_[left * 128 + right];
    return !joined_.contains(key_of(left, right));
  }
  bool unknown_is_safe() const { return unknown_is_safe_; }

 private:
  // A set of 42-bit keys, open addressing.
  class PairSet {
   public:
    PairSet() : slots_(1024, kFree) {}
    bool contains(uint64_t key) const { return slots_[slot_of(key)] == key; }
    void insert(uint64_t key);

   private:
    static constexpr uint64_t kFree = UINT64_MAX;
    size_t slot_of(uint64_t key) const {
      size_t slot = (key * 0x9e3779b97f4a7c15u >> 32) & (slots_.size() - 1);
      while (slots_[slot] != kFree && slots_[slot] != key) slot = (slot + 1) & (slots_.size() - 1);
      return slot;
    }
    std::vector<uint64_t> slots_;
    size_t size_ = 0;
  };
  static uint64_t key_of(char32_t left, char32_t right) { return uint64_t{left} << 21 | right; }

  std::bitset<128 * 128> ascii_;
  PairSet joined_;
  bool unknown_is_safe_ = false;
};

}  // namespace longhaul
