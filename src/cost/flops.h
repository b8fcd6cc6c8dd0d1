// FLOPs of a description: 2 per multiply-add of matrix products, attention scores and value sums; norms, rope, softmax, activations and top-k
// are not counted (below 1 %). The executor counts the same way.
#pragma once

#include "arch/architecture.h"

namespace longhaul {

// Sums over a context are of order n^2: they are formed in 128 bits and checked when they leave.
using Wide = unsigned __int128;

// Matrix products of one row through a block; of experts, those a row is sent to.
uint64_t linear_flops_per_row(const Architecture& arch, const Block& block);
uint64_t head_flops_per_row(const Architecture& arch);
// Putting several residual streams together before the head, done for every row that reaches it.
uint64_t collapse_flops_per_row(const Architecture& arch);

// Attention of one row that stands last in a context of n tokens, itself included.
uint64_t attention_flops_at(const Block& block, int64_t n);
Wide attention_flops_at(const Architecture& arch, int64_t n);

// A prompt of n tokens, logits of its last row: every row through every block.
Wide prefill_flops(const Architecture& arch, int64_t n);
// The same as the executor runs it: behind the last block that writes state, and in that block's own queries, only the last row goes on.
Wide prefill_flops_needed_rows(const Architecture& arch, int64_t n);

}  // namespace longhaul
