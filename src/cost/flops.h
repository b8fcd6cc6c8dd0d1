// FLOPs of a description: 2 per multiply-add of matrix products, attention scores and value sums;
// norms, rope, softmax, activations and top-k are not counted (below 1 %). The executor counts the
// same way.
#pragma once

#include "arch/architecture.h"
#include "base/checked_math.h"
#include "mechanisms/weight_format.h"

namespace longhaul {

// Matrix products of one row through a block; of experts, those a row is sent to.
uint64_t linear_flops_per_row(const Architecture& arch, const Block& block);
uint64_t head_flops_per_row(const Architecture& arch);
// Putting several residual streams together before the head, done for every row that reaches it.
uint64_t collapse_flops_per_row(const Architecture& arch);

// Work on kept state of one row that stands last in a context of n tokens, itself included.
Wide attention_flops_at(const Architecture& arch, int64_t n);

// A prompt of n tokens, logits of its last row: every row through every block.
Wide prefill_flops(const Architecture& arch, int64_t n);
// The same as the executor runs it: behind the last block that writes state, and in that block's
// own queries, only the last row goes on.
Wide prefill_flops_needed_rows(const Architecture& arch, int64_t n);

// The next token's FLOPs at a context of n in "equivalent FP8 FLOPs": FP8 counts 1, BF16 and F32 2,
// FP4 1/2. Weights count as they are released, those in FP4 as FP8 since they meet FP8 inputs; an
// indexer's products as its keys are kept when released; everything else of attention as BF16,
// residual streams and weighted sums as F32.
// Source: the DeepSeek-V4 report compares in this unit; the bookkeeping per part is our reading.
Wide decode_fp8_equivalent_flops(const Architecture& arch, const WeightFormat& format, int64_t n);

}  // namespace longhaul
