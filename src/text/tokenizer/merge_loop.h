// The BPE merge loop: among all adjacent pairs that merge, the one of lowest rank, and of those the
// leftmost, is replaced by its product, until none is left.
//
// Which of two loops runs depends on the length alone; both give the same result
// (merge_loop_test.cc).
#pragma once

#include <cstdint>
#include <vector>

#include "text/tokenizer/merges.h"

namespace longhaul {

// Kept across words to reuse memory.
class MergeLoop {
 public:
  explicit MergeLoop(const Merges& merges) : merges_(&merges) {}

  // Replaces the tokens by the merged ones, in place.
  void run(std::vector<int32_t>& tokens);

  // Rescans for the best pair at each step: quadratic, and the fastest for words.
  void run_short(std::vector<int32_t>& tokens);
  // n log n at worst. Pairs wait in one list a rank, so that a text of millions of symbols is swept
  // from left to right instead of jumping about in one large heap.
  void run_long(std::vector<int32_t>& tokens);

 private:
  struct Symbol {
    int32_t id;
    uint32_t prev, next;  // kEnd outside
    uint32_t size;        // 0: merged into its left neighbour
  };
  // Positions whose pair had this rank when they were put here.
  struct Bucket {
    std::vector<uint32_t> waiting;  // taken from `taken` on
    std::vector<uint32_t> late;     // min-heap: came when their place in `waiting` had been passed
    size_t taken = 0;
    bool sorted = true;
    bool active = false;  // its rank stands in ranks_
  };
  static constexpr uint32_t kEnd = UINT32_MAX;

  void push(uint32_t pos);
  uint32_t pop(Bucket& bucket);
  Bucket& bucket_of(uint32_t rank);
  void merge_at(uint32_t pos, uint32_t rank);

  const Merges* merges_;
  std::vector<uint32_t> pair_ranks_;  // run_short
  std::vector<Symbol> symbols_;
  std::vector<uint32_t> bucket_index_;  // by rank; kEnd: none yet
  std::vector<Bucket> buckets_;
  std::vector<uint32_t> bucket_ranks_;  // by bucket
  std::vector<uint32_t> ranks_;         // min-heap of the ranks of non-empty buckets
};

}  // namespace longhaul
