#include "mechanisms/compressed_attention.h"

#include <array>
#include <cmath>

#include "kernels/select_entries.h"
#include "kernels/shared_attention.h"
#include "mechanisms/compressor.h"
#include "mechanisms/linear.h"
#include "mechanisms/norm.h"

namespace longhaul {
namespace {

struct Pooled {
  float *kv, *gate;  // [kv_rows, series * width]
};

struct Buffers {
  float* latent;         // [q_rows, q_lora_rank]
  float* q;              // [q_rows, H, K]
  float* row;            // [kv_rows, K]
  float* mixed;          // [q_rows, H, K]
  float* groups;         // [q_rows, o_groups * o_lora_rank]
  Pooled pooled, index;  // where there is a compressor, an indexer
  float* index_q;        // [q_rows, index heads, index width]
  float* index_weights;  // [q_rows, index heads]
  int32_t* chosen;       // [q_rows, top_k]
  Matmul* group;         // [o_groups]
};

Pooled take_pooled(Arena& a, const CompressorSpec& s, int64_t rows) {
  return {a.take<float>(rows * s.series() * s.width), a.take<float>(rows * s.series() * s.width)};
}

Buffers take_buffers(Arena& a, const CompressedAttentionSpec& s, int64_t q_rows, int64_t kv_rows) {
  const int64_t q_width = s.attention.n_heads * s.attention.head_dim;
  Buffers b{};
  b.latent = a.take<float>(q_rows * s.q_lora_rank);
  b.q = a.take<float>(q_rows * q_width);
  b.row = a.take<float>(kv_rows * s.attention.head_dim);
  b.mixed = a.take<float>(q_rows * q_width);
  b.groups = a.take<float>(q_rows * s.o_groups * s.o_lora_rank);
  b.group = a.take<Matmul>(s.o_groups);
  if (s.compressor) b.pooled = take_pooled(a, *s.compressor, kv_rows);
  if (!s.indexer) return b;
  b.index = take_pooled(a, s.indexer->keys, kv_rows);
  b.index_q = a.take<float>(q_rows * s.indexer->n_heads * s.indexer->head_dim);
  b.index_weights = a.take<float>(q_rows * s.indexer->n_heads);
  b.chosen = a.take<int32_t>(q_rows * s.indexer->top_k);
  return b;
}

SharedAttention attention_kernel(const Env& env, const CompressedAttentionSpec& s, const KvLayout& layout) {
  const AttentionSpec& a = s.attention;
  return {.n_heads = a.n_heads,
          .layout = layout,
          .scale = a.scale,
          .window = a.window,
          .entry_ratio = s.compressor ? s.compressor->ratio : 0,
          .top_k = s.follows_choice() ? s.indexer->top_k : 0,
          .sinks = env.weights == nullptr ? nullptr : env.weights->vector(s.sinks)};
}

EntrySelection selection_kernel(const IndexerSpec& s, const KvLayout& layout) {
  return {.n_heads = s.n_heads, .layout = layout, .entry_ratio = s.keys.ratio, .top_k = s.top_k};
}

// Everything that reads the block's input.
void project(Env& env, const CompressedAttentionSpec& s, const AttentionInput& in, const Buffers& b) {
  std::array<Linear, 7> layers;
  size_t n = 0;
  layers[n++] = {s.q_a_proj, in.q_x, b.latent, in.q_rows.n};
  if (s.indexer) layers[n++] = {s.indexer->weights_proj, in.q_x, b.index_weights, in.q_rows.n};
  layers[n++] = {s.attention.k_proj, in.kv_x, b.row, in.kv_rows.n};
  const auto pool = [&](const CompressorSpec& c, const Pooled& to) {
    layers[n++] = {c.kv_proj, in.kv_x, to.kv, in.kv_rows.n};
    layers[n++] = {c.gate_proj, in.kv_x, to.gate, in.kv_rows.n};
  };
  if (s.compressor) pool(*s.compressor, b.pooled);
  if (s.indexer) pool(s.indexer->keys, b.index);
  linear(env, std::span(layers.data(), n));
}

void store_row(Env& env, const CompressedAttentionSpec& s, const AttentionInput& in, const Buffers& b) {
  norm(env, *s.attention.k_norm, b.row, in.kv_rows.n, s.attention.head_dim, b.row);
  rope(env, s.attention.rope, in.kv_rope, in.kv_rows.n, 1, s.attention.head_dim, b.row);
  store_rows(env, in.kv, b.row, nullptr);
}

void pool(Env& env, const CompressedAttentionSpec& s, const CompressorSpec& c, const CompressedAttentionInput& in,
          const CompressedStep& step, const Pooled& projected) {
  compress(env, c,
           {.kv = projected.kv,
            .gate = projected.gate,
            .rows = in.attention.kv_rows,
            .rope = &s.attention.rope,
            .frequencies = in.frequencies,
            .open = step.open,
            .entries = step.entries});
}

// Calls body(i, rows) for each sequence that has queries.
template <class Body>
void for_sequences(const RowSet& rows, const Body& body) {
  for (size_t i = 0; i < rows.sequences.size(); ++i) {
    if (rows.sequences[i].n_rows > 0) body(i, rows.sequences[i]);
  }
}

std::span<const int64_t> positions_of(const RowSet& rows, const SequenceRows& r) { return rows.positions_of(r); }

void choose(Env& env, const CompressedAttentionSpec& s, const CompressedAttentionInput& in, const Buffers& b) {
  const IndexerSpec& x = *s.indexer;
  const RowSet& rows = in.attention.q_rows;
  const int64_t width = x.n_heads * x.head_dim;
  linear(env, {{x.q_proj, b.latent, b.index_q, rows.n}});
  rope(env, s.attention.rope, in.attention.q_rope, rows.n, x.n_heads, x.head_dim, b.index_q);
  const float scale = 1.0f / std::sqrt(static_cast<float>(width));
  for_rows(env, rows.n, x.n_heads, [&](int64_t row) { env.kernels().scale(b.index_weights + row * x.n_heads, scale, x.n_heads); });
  const ArenaScope scope(*env.scratch);
  auto* queries = env.scratch->take<SelectionQueries>(static_cast<int64_t>(rows.sequences.size()));
  size_t n = 0;
  for_sequences(rows, [&](size_t i, const SequenceRows& r) {
    queries[n++] = {.q = b.index_q + r.first_row * width,
                    .weights = b.index_weights + r.first_row * x.n_heads,
                    .positions = positions_of(rows, r),
                    .keys = in.index.entries.segments[i],
                    .chosen = b.chosen + r.first_row * x.top_k};
    for (int64_t p : positions_of(rows, r)) env.flops += indexer_flops(x, visible_entries(x.keys, p));
  });
  const EntrySelection kernel = selection_kernel(x, in.index.entries.layout);
  const uint64_t bytes = select_entries_scratch_bytes(kernel, static_cast<int64_t>(n), env.compute.pool->n_threads());
  select_entries(env.compute, kernel, std::span(queries, n), env.scratch->take_bytes(bytes));
  if (!env.on_choice) return;
  // A query that sees fewer entries than it may keep has -1 behind them.
  for (int64_t row = 0; row < rows.n; ++row) {
    const int64_t kept = std::min(x.top_k, visible_entries(x.keys, rows.positions[row]));
    std::fill(b.chosen + row * x.top_k + kept, b.chosen + (row + 1) * x.top_k, -1);
  }
  env.on_choice({.what = "entries", .layer = env.layer, .n_rows = rows.n, .k = x.top_k, .chosen = b.chosen});
}

void attend(Env& env, const CompressedAttentionSpec& s, const CompressedAttentionInput& in, const Buffers& b) {
  const RowSet& rows = in.attention.q_rows;
  const int64_t width = s.attention.n_heads * s.attention.head_dim;
  const ArenaScope scope(*env.scratch);
  auto* queries = env.scratch->take<SharedQueries>(static_cast<int64_t>(rows.sequences.size()));
  size_t n = 0;
  for_sequences(rows, [&](size_t i, const SequenceRows& r) {
    queries[n++] = {.q = b.q + r.first_row * width,
                    .out = b.mixed + r.first_row * width,
                    .positions = positions_of(rows, r),
                    .rows = in.attention.kv.segments[i],
                    .entries = s.compressor ? in.compressor.entries.segments[i] : std::span<const KvSegment>(),
                    .chosen = s.follows_choice() ? b.chosen + r.first_row * s.indexer->top_k : nullptr};
    for (int64_t p : positions_of(rows, r)) env.flops += attention_flops(s.attention, attended_rows(s, p));
  });
  const SharedAttention kernel = attention_kernel(env, s, in.attention.kv.layout);
  const uint64_t bytes = shared_attention_scratch_bytes(kernel, rows.n, static_cast<int64_t>(n), env.compute.pool->n_threads());
  shared_attention(env.compute, kernel, std::span(queries, n), env.scratch->take_bytes(bytes));
}

}  // namespace

void compressed_attention_forward(Env& env, const CompressedAttentionSpec& s, const CompressedAttentionInput& in, float* out) {
  const AttentionSpec& a = s.attention;
  const AttentionInput& rows = in.attention;
  const int64_t n = rows.q_rows.n;
  const ArenaScope scope(*env.scratch);
  const Buffers b = take_buffers(*env.scratch, s, n, rows.kv_rows.n);
  project(env, s, rows, b);
  store_row(env, s, rows, b);
  if (s.compressor) pool(env, s, *s.compressor, in, in.compressor, b.pooled);
  if (s.indexer) pool(env, s, s.indexer->keys, in, in.index, b.index);
  if (n == 0) return;
  norm(env, s.q_a_norm, b.latent, n, s.q_lora_rank, b.latent);
  linear(env, {{a.q_proj, b.latent, b.q, n}});
  norm(env, *a.q_norm, b.q, n * a.n_heads, a.head_dim, b.q);
  rope(env, a.rope, rows.q_rope, n, a.n_heads, a.head_dim, b.q);
  if (s.indexer) choose(env, s, in, b);
  attend(env, s, in, b);
  rope_back(env, a.rope, rows.q_rope, n, a.n_heads, a.head_dim, b.mixed);
  grouped_linear(env, s.o_a_proj, s.o_groups, b.mixed, n, b.groups, b.group);
  linear(env, {{a.o_proj, b.groups, out, n}});
}

uint64_t compressed_attention_scratch_bytes(const CompressedAttentionSpec& s, int64_t hidden_size, const StepLimits& limits) {
  const AttentionSpec& a = s.attention;
  Arena arena;
  take_buffers(arena, s, limits.max_rows, limits.max_rows);
  const uint64_t base = arena.used();
  const auto stage = [&](auto... bytes) {
    arena.reset_to(base);
    (arena.take_bytes(bytes), ...);
  };
  const auto products = [&](int64_t in) { return product_scratch_bytes(limits, limits.max_rows, in); };
  stage(products(hidden_size), products(hidden_size));  // queries and rows may come from different inputs, each rounded once
  stage(std::max(products(s.q_lora_rank), products(s.o_groups * s.o_lora_rank)));
  stage(grouped_linear_scratch_bytes(limits, s.o_groups, a.n_heads * a.head_dim / s.o_groups));
  if (s.compressor) stage(compress_scratch_bytes(*s.compressor, a.rope, limits));
  // Rows in a format of the release need room to be widened, whatever it is.
  const bool released = limits.kv.cache == CacheFormat::kReleased;
  const RowFormat row_format{released ? RowCoding::kFp8ByE8M0 : RowCoding::kPlain},
      key_format{released ? RowCoding::kMxFp4 : RowCoding::kPlain};
  const KvLayout rows{1, a.head_dim, limits.kv.dtype, RowKind::kShared, row_format};
  stage(static_cast<uint64_t>(limits.max_sequences) * sizeof(SharedQueries),
        shared_attention_scratch_bytes(attention_kernel({}, s, rows), limits.max_rows, limits.max_sequences, limits.n_threads));
  if (!s.indexer) return arena.peak();
  stage(compress_scratch_bytes(s.indexer->keys, a.rope, limits));
  const KvLayout keys{1, s.indexer->head_dim, limits.kv.dtype, RowKind::kKeys, key_format};
  stage(static_cast<uint64_t>(limits.max_sequences) * sizeof(SelectionQueries),
        select_entries_scratch_bytes(selection_kernel(*s.indexer, keys), limits.max_sequences, limits.n_threads));
  return arena.peak();
}

}  // namespace longhaul
