#include "text/tokenizer/merge_loop.h"

#include <algorithm>
#include <functional>

namespace longhaul {
namespace {
constexpr size_t kShort = 48;
}

void MergeLoop::run(std::vector<int32_t>& tokens) {
  if (tokens.size() <= kShort) {
    run_short(tokens);
  } else {
    run_long(tokens);
  }
}

void MergeLoop::run_short(std::vector<int32_t>& tokens) {
  size_t n = tokens.size();
  if (n < 2) return;
  auto& ranks = pair_ranks_;
  ranks.resize(n);
  const auto rank_at = [&](size_t i) {
    return i + 1 < n ? merges_->find(tokens[i], tokens[i + 1]).rank : Merges::kNone;
  };
  for (size_t i = 0; i < n; ++i) ranks[i] = rank_at(i);
  while (true) {
    const size_t best = static_cast<size_t>(
        std::min_element(ranks.begin(), ranks.begin() + static_cast<ptrdiff_t>(n)) - ranks.begin());
    if (ranks[best] == Merges::kNone) break;
    tokens[best] = merges_->find(tokens[best], tokens[best + 1]).product;
    std::copy(tokens.begin() + static_cast<ptrdiff_t>(best) + 2,
              tokens.begin() + static_cast<ptrdiff_t>(n),
              tokens.begin() + static_cast<ptrdiff_t>(best) + 1);
    std::copy(ranks.begin() + static_cast<ptrdiff_t>(best) + 2,
              ranks.begin() + static_cast<ptrdiff_t>(n),
              ranks.begin() + static_cast<ptrdiff_t>(best) + 1);
    --n;
    ranks[best] = rank_at(best);
    if (best > 0) ranks[best - 1] = rank_at(best - 1);
  }
  tokens.resize(n);
}

void MergeLoop::run_long(std::vector<int32_t>& tokens) {
  const auto n = static_cast<uint32_t>(tokens.size());
  bucket_index_.resize(merges_->size(), kEnd);
  symbols_.resize(n);
  for (uint32_t i = 0; i < n; ++i)
    symbols_[i] = {tokens[i], i == 0 ? kEnd : i - 1, i + 1 == n ? kEnd : i + 1, 1};
  for (uint32_t i = 0; i + 1 < n; ++i) push(i);
  while (!ranks_.empty()) {
    const uint32_t rank = ranks_.front();
    Bucket& bucket = buckets_[bucket_index_[rank]];
    if (bucket.taken == bucket.waiting.size() && bucket.late.empty()) {
      std::pop_heap(ranks_.begin(), ranks_.end(), std::greater<>());
      ranks_.pop_back();
      bucket.active = false;
      std::vector<uint32_t>().swap(bucket.waiting);
      bucket.taken = 0;
      continue;
    }
    merge_at(pop(bucket), rank);
  }
  tokens.clear();
  for (uint32_t i = 0; i != kEnd && n > 0; i = symbols_[i].next) tokens.push_back(symbols_[i].id);
  for (const uint32_t rank : bucket_ranks_) bucket_index_[rank] = kEnd;
  bucket_ranks_.clear();
  buckets_.clear();
}

// A pair that changed while it waited is dropped: whoever changed it has put the new pair in a
// bucket.
void MergeLoop::merge_at(uint32_t pos, uint32_t rank) {
  Symbol& left = symbols_[pos];
  if (left.size == 0 || left.next == kEnd) return;
  Symbol& right = symbols_[left.next];
  const Merges::Merge merge = merges_->find(left.id, right.id);
  if (merge.rank != rank) return;
  left.id = merge.product;
  left.next = right.next;
  right.size = 0;
  if (right.next != kEnd) {
    symbols_[right.next].prev = pos;
    push(pos);
  }
  if (left.prev != kEnd) push(left.prev);
}

MergeLoop::Bucket& MergeLoop::bucket_of(uint32_t rank) {
  uint32_t& index = bucket_index_[rank];
  if (index == kEnd) {
    index = static_cast<uint32_t>(buckets_.size());
    buckets_.emplace_back();
    bucket_ranks_.push_back(rank);
  }
  return buckets_[index];
}

void MergeLoop::push(uint32_t pos) {
  const uint32_t rank = merges_->find(symbols_[pos].id, symbols_[symbols_[pos].next].id).rank;
  if (rank == Merges::kNone) return;
  Bucket& bucket = bucket_of(rank);
  if (!bucket.active) {
    bucket.active = true;
    ranks_.push_back(rank);
    std::push_heap(ranks_.begin(), ranks_.end(), std::greater<>());
  }
  if (bucket.waiting.empty() || pos > bucket.waiting.back() || bucket.taken == 0) {
    bucket.sorted = bucket.sorted && (bucket.waiting.empty() || pos > bucket.waiting.back());
    bucket.waiting.push_back(pos);
  } else {
    bucket.late.push_back(pos);
    std::push_heap(bucket.late.begin(), bucket.late.end(), std::greater<>());
  }
}

uint32_t MergeLoop::pop(Bucket& bucket) {
  if (!bucket.sorted) {
    std::sort(bucket.waiting.begin(), bucket.waiting.end());
    bucket.sorted = true;
  }
  const bool has_waiting = bucket.taken < bucket.waiting.size();
  if (!bucket.late.empty() &&
      (!has_waiting || bucket.late.front() < bucket.waiting[bucket.taken])) {
    std::pop_heap(bucket.late.begin(), bucket.late.end(), std::greater<>());
    const uint32_t pos = bucket.late.back();
    bucket.late.pop_back();
    return pos;
  }
  return bucket.waiting[bucket.taken++];
}

}  // namespace longhaul
