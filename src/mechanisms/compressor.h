// Pools windows of tokens into entries: channel by channel a softmax over the window's gates weighs the window's projections.
//
//   c_t = Wkv x_t,  g_t = Wgate x_t + bias[t mod m]
//   e_i = rope( rms( sum_t softmax_t(g_t) c_t ), m i ),   t = m i .. m i + m - 1
// With overlap c and g have two halves: entry i pools the first halves of window i - 1 and the second halves of window i in one softmax.
// A window that is not full is kept as a running softmax (largest gate, sum, weighted sum a channel: Milakov & Gimelshein 2018, alg. 3)
// instead of its rows. It takes in token after token, so entries do not depend on how the tokens were cut into steps.
// Source: DeepSeek-V4 report, section 2.3.1, eqs. 9 to 12, and section 2.3.2, eqs. 20 to 23; which half is whose as in the reference implementation.
#pragma once

#include "mechanisms/attention.h"

namespace longhaul {

struct CompressorInput {
  const float *kv = nullptr, *gate = nullptr;  // [rows.n, series * width] projections of the step's rows
  RowSet rows;
  const RopeSpec* rope = nullptr;
  const std::vector<float>* frequencies = nullptr;
  FixedStep open;
  KvStep entries;
};

// Stores the entries that the step completes and carries the open windows on.
void compress(Env& env, const CompressorSpec& spec, const CompressorInput& in);
uint64_t compress_scratch_bytes(const CompressorSpec& spec, const RopeSpec& rope, const StepLimits& limits);

}  // namespace longhaul
