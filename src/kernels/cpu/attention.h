// Softmax attention over cached keys and values, tile by tile: no buffer grows with the context.
//
// Grouped queries: the H/G query heads that share a key head are rows of one product, so each key
// is read once for all of them. Keys are cut at absolute positions (spans.h), so a row's result is
// the same to the bit whatever else is in the step, however its keys are kept, and on any number of
// threads. Long contexts of few queries run span by span in parallel (span_tasks.h). Source:
// FlashAttention-2 (Dao 2023), section 3.1; split over keys as in Flash-Decoding (Dao et al. 2023).
#pragma once

#include <limits>
#include <span>

#include "kernels/cpu/matmul.h"
#include "kernels/cpu/softmax_partial.h"
#include "kernels/kv/kv_layout.h"

namespace longhaul {

inline constexpr int64_t kUnboundedWindow = std::numeric_limits<int64_t>::max();

// One sequence's queries in a step. A query at position p sees the keys at positions max(0, p -
// window + 1) .. p.
struct AttentionQueries {
  const float* q = nullptr;  // [T, H, head_dim], rows q_stride apart
  float* out = nullptr;      // [T, H, head_dim], rows out_stride apart
  int64_t q_stride = 0, out_stride = 0;
  std::span<const int64_t> positions;   // [T], ascending
  std::span<const KvSegment> segments;  // ascending, each position in at most one
};

struct Attention {
  int64_t n_heads = 0;
  KvLayout layout;
  float scale = 1.0f;
  int64_t window = kUnboundedWindow;
};

// Of steps of any size.
uint64_t attention_scratch_bytes(const Attention& spec, int n_threads);
void attention(const Compute& compute, const Attention& spec,
               std::span<const AttentionQueries> sequences, std::span<std::byte> scratch);

}  // namespace longhaul
