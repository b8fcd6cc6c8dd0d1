#include "text/tokenizer/merges.h"

#include <bit>

namespace longhaul {

Status MergeTexts::add(std::string_view left, std::string_view right, std::string_view where) {
  if (left.empty() || right.empty())
    return corrupt("{}[{}]: a merge with an empty side", where, size());
  if (size() >= UINT32_MAX - 1 || left.size() + right.size() > UINT32_MAX)
    return corrupt("{}: too long", where);
  texts_.append(left).append(right);
  left_sizes_.push_back(static_cast<uint32_t>(left.size()));
  right_sizes_.push_back(static_cast<uint32_t>(right.size()));
  return {};
}

Result<Merges> Merges::build(const MergeTexts& texts, const Vocabulary& vocabulary,
                             std::string_view where) {
  Merges merges;
  const size_t n_slots = std::bit_ceil(texts.size() + texts.size() / 2 + 2);
  merges.slots_.resize(n_slots);
  merges.mask_ = n_slots - 1;
  merges.shift_ = 64 - std::countr_zero(n_slots);
  LH_RETURN_IF_ERROR(texts.for_each([&](size_t rank, std::string_view left, std::string_view right,
                                        std::string_view both) -> Status {
    const auto l = vocabulary.find(left), r = vocabulary.find(right),
               product = vocabulary.find(both);
    if (!l) return corrupt("{}[{}]: '{}' is not in the vocabulary", where, rank, left);
    if (!r) return corrupt("{}[{}]: '{}' is not in the vocabulary", where, rank, right);
    if (!product)
      return corrupt("{}[{}]: its product '{}' is not in the vocabulary", where, rank, both);
    if (merges.insert(*l, *r, {static_cast<uint32_t>(rank), *product})) return {};
    return corrupt("{}[{}]: the merge '{}' + '{}' stands twice", where, rank, left, right);
  }));
  merges.size_ = texts.size();
  return merges;
}

bool Merges::insert(int32_t left, int32_t right, Merge merge) {
  const uint64_t key = key_of(left, right);
  size_t slot = hash(key);
  for (; slots_[slot].key != kFree; slot = (slot + 1) & mask_) {
    if (slots_[slot].key == key) return false;
  }
  slots_[slot] = {key, merge};
  return true;
}

}  // namespace longhaul
