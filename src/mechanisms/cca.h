// Compressed convolutional attention: attention inside a narrow latent, with queries and keys mixed over time and half of the values delayed.
//
//   x_t = [Wq u_t ; Wk u_t]                                       C = (H + G) K channels
//   y_t[c] = alpha[c] + sum_j A[c,j] x_{t-t0+1+j}[c]              depthwise, x before the first token is 0
//   z_t = beta + sum_j B_h,j y_{t-t1+1+j}                         grouped by head; y before the first token is alpha: only x is padded
//   mq_j = (q_j + k_g(j)) / 2,   mk_g = mean over the group's mq_j
//   Q = sqrt(K) (zq + mq) / |zq + mq|,   K = temp_g sqrt(K) (zk + mk) / |zk + mk|,   then rope;   temp_g the weight, or exp(clamp(weight))
//   V_t = [ Wc u_t ; Wd u_{t-1} ]                                 the second half of the key heads sees the token before
// State besides the keys and values: the last t0 - 1 of x, the last t1 - 1 of y, and Wd u of the last token.
// Source: Figliolia et al. 2025 (arXiv 2510.04476, abstract); equations as in the reference implementation's zaya model.
#pragma once

#include "mechanisms/attention.h"

namespace longhaul {

struct CcaInput {
  const float* x = nullptr;  // [rows.n, D]
  RowSet rows;               // all rows: convolutions run over time
  RopeTable rope;
  RowSet q_rows;  // those that attend
  RopeTable q_rope;
  const int64_t* q_row_of = nullptr;  // [q_rows.n] their numbers among rows; null: all of them
  KvStep kv;
  FixedStep taps;
};

//   out  [q_rows.n, D]
void cca_forward(Env& env, const CcaSpec& spec, const CcaInput& in, float* out);
uint64_t cca_scratch_bytes(const CcaSpec& spec, int64_t hidden_size, const StepLimits& limits);

}  // namespace longhaul
