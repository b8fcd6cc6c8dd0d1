// The merge list of a BPE model: which two adjacent tokens become which token, and in which order
// of preference.
#pragma once

#include <cstdint>
#include <vector>

#include "base/errors.h"
#include "text/tokenizer/vocabulary.h"

namespace longhaul {

// Merge lists as a file has them: texts, kept until the vocabulary is known (JSON members come in
// any order).
class MergeTexts {
 public:
  Status add(std::string_view left, std::string_view right, std::string_view where);
  size_t size() const { return left_sizes_.size(); }

  template <class F>
  Status for_each(F&& on_merge) const {
    std::string_view rest = texts_;
    for (size_t i = 0; i < size(); ++i) {
      const std::string_view left = rest.substr(0, left_sizes_[i]);
      const std::string_view both = rest.substr(0, left_sizes_[i] + right_sizes_[i]);
      LH_RETURN_IF_ERROR(on_merge(i, left, both.substr(left.size()), both));
      rest.remove_prefix(both.size());
    }
    return {};
  }

 private:
  std::string texts_;
  std::vector<uint32_t> left_sizes_, right_sizes_;
};

class Merges {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Merge {
    uint32_t rank = kNone;  // lower merges first
    int32_t product = -1;
  };

  // Both sides and the product must be tokens, neither side empty, no pair twice. So a product is
  // always longer than its sides and merging ends.
  static Result<Merges> build(const MergeTexts& texts, const Vocabulary& vocabulary,
                              std::string_view where);

  // rank is kNone where the two do not merge.
  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right);
    for (size_t slot = hash(key);; slot = (slot + 1) & mask_) {
      if (slots_[slot].key == key) return slots_[slot].merge;
      if (slots_[slot].key == kFree) return {};
    }
  }
  size_t size() const { return size_; }

 private:
  static constexpr uint64_t kFree = UINT64_MAX;
  struct Slot {
    uint64_t key = kFree;
    Merge merge;
  };
  static uint64_t key_of(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  size_t hash(uint64_t key) const {
    return (key * 0x9e3779b97f4a7c15u ^ key >> 29) * 0xbf58476d1ce4e5b9u >> shift_;
  }
  bool insert(int32_t left, int32_t right, Merge merge);

  std::vector<Slot> slots_;
  size_t mask_ = 0;
  int shift_ = 0;
  size_t size_ = 0;
};

}  // namespace longhaul
