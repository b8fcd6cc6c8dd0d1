// Attention over a window of rows and over compressed entries, with queries and outputs in low-rank latents.
//
//   qr = rms(Wqa x)                q = rope(rms(Wqb qr)) by head, the inner rms without weights
//   r  = rope(rms(Wkv x))          one row a token, key and value of all heads
//   o_h = softmax over { r of the last W tokens } and { entries }, with a sink; see kernels/shared_attention.h
//   y  = Wob [ Woa_g rope^-1(o) of group g's heads ]_g
// Values carry the rotation of their own position, keys being values; turning the output back by the query's leaves the distance alone.
// Entries come from a compressor (compressor.h): all of them (heavily compressed attention), or those that an indexer chooses (compressed
// sparse attention): I_t,i = sum_h w_h relu(q^I_h . k^I_i), q^I = rope(Wq^I qr), w = Ww x / sqrt(heads * width), k^I from a compressor of its own.
// The indexer scores all entries even where it keeps them all: below top_k * ratio tokens that is less than a percent of the layer.
// Source: DeepSeek-V4 report, sections 2.3.1 to 2.3.3; order of norms and rotations as in the reference implementation.
#pragma once

#include "mechanisms/attention.h"

namespace longhaul {

// What a step has for a compressor.
struct CompressedStep {
  FixedStep open;
  KvStep entries;
};

struct CompressedAttentionInput {
  AttentionInput attention;  // the window; states, rows and angles
  const std::vector<float>* frequencies = nullptr;
  CompressedStep compressor, index;
};

//   out  [q_rows.n, D]
void compressed_attention_forward(Env& env, const CompressedAttentionSpec& spec, const CompressedAttentionInput& in, float* out);
uint64_t compressed_attention_scratch_bytes(const CompressedAttentionSpec& spec, int64_t hidden_size, const StepLimits& limits);

// Entries of a compressor that a query sees, and rows and entries that its attention reads.
inline int64_t visible_entries(const CompressorSpec& spec, int64_t position) { return (position + 1) / spec.ratio; }
inline int64_t attended_rows(const CompressedAttentionSpec& spec, int64_t position) {
  const int64_t window = visible_keys(spec.attention, position);
  if (!spec.compressor) return window;
  const int64_t entries = visible_entries(*spec.compressor, position);
  return window + (spec.indexer ? std::min(entries, spec.indexer->top_k) : entries);
}
// A query's scores: heads times width for the products, heads for their weighted sum, a multiply-add each.
inline uint64_t indexer_flops(const IndexerSpec& spec, int64_t n_entries) {
  return 2 * static_cast<uint64_t>(spec.n_heads * (spec.head_dim + 1)) * static_cast<uint64_t>(n_entries);
}

}  // namespace longhaul
