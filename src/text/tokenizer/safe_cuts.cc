#include "text/tokenizer/safe_cuts.h"

#include <algorithm>

namespace longhaul {

SafeCuts SafeCuts::build(const MergeTexts& texts, const Vocabulary& vocabulary,
                         bool bytes_cover_all, const std::vector<int32_t>& loose) {
  SafeCuts cuts;
  std::vector<std::string_view> loose_texts;
  for (const int32_t id : loose) loose_texts.push_back(vocabulary.text(id));
  std::sort(loose_texts.begin(), loose_texts.end());
  const auto is_loose = [&](std::string_view text) {
    return std::binary_search(loose_texts.begin(), loose_texts.end(), text);
  };
  bool loose_merge = false;
  const Status status = texts.for_each(
      [&](size_t, std::string_view left, std::string_view right, std::string_view) -> Status {
        const char32_t before = utf8_last_char(left).code_point,
                       after = utf8_char_at(right, 0).code_point;
        if (before < 128 && after < 128) {
          cuts.ascii_.set(before * 128 + after);
        } else {
          cuts.joined_.insert(key_of(before, after));
        }
        // Any merged token that holds a loose symbol began as a merge with that symbol as one side.
        loose_merge = loose_merge || is_loose(left) || is_loose(right);
        return {};
      });
  cuts.unknown_is_safe_ = status.ok() && bytes_cover_all && !loose_merge;
  return cuts;
}

void SafeCuts::PairSet::insert(uint64_t key) {
  const size_t slot = slot_of(key);
  if (slots_[slot] == key) return;
  slots_[slot] = key;
  if (++size_ * 2 <= slots_.size()) return;
  std::vector<uint64_t> old(slots_.size() * 2, kFree);
  old.swap(slots_);
  for (const uint64_t k : old) {
    if (k != kFree) slots_[slot_of(k)] = k;
  }
}

}  // namespace longhaul
