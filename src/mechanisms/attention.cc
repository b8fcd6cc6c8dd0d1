#include "mechanisms/attention.h"

#include <array>
#include <cmath>

#include "mechanisms/linear.h"
#include "mechanisms/norm.h"

namespace longhaul {
namespace {

struct Buffers {
  float *q, *k, *v, *mixed;
  float* gate;  // [q_rows, H] or [q_rows, H * head_dim]
};

int64_t gate_width(const AttentionSpec& s) { return !s.gate ? 0 : s.gate->per_element ? s.n_heads * s.head_dim : s.n_heads; }

Buffers take_buffers(Arena& arena, const AttentionSpec& s, int64_t q_rows, int64_t kv_rows) {
  const int64_t q_width = s.n_heads * s.head_dim, kv_width = s.writes_state() ? s.n_kv_heads * s.head_dim : 0;
  return {arena.take<float>(q_rows * q_width), arena.take<float>(kv_rows * kv_width), arena.take<float>(kv_rows * kv_width),
          arena.take<float>(q_rows * q_width), arena.take<float>(q_rows * gate_width(s))};
}

Attention kernel_spec(const AttentionSpec& s, const KvLayout& layout) {
  return {.n_heads = s.n_heads, .layout = layout, .scale = s.scale, .window = s.window};
}

void project(Env& env, const AttentionSpec& s, const AttentionInput& in, const Buffers& b) {
  std::array<Linear, 4> layers = {{{s.q_proj, in.q_x, b.q, in.q_rows.n}}};
  size_t n = 1;
  if (s.gate) layers[n++] = {s.gate->proj, in.q_x, b.gate, in.q_rows.n};
  if (s.writes_state()) layers[n++] = {s.k_proj, in.kv_x, b.k, in.kv_rows.n};
  if (s.v_proj != kNone) layers[n++] = {s.v_proj, in.kv_x, b.v, in.kv_rows.n};
  linear(env, std::span(layers.data(), n));
}

// log(1 + exp(x)); for large x the reference returns x itself.
float softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

void apply_gate(Env& env, const AttentionSpec& s, int64_t n_rows, const Buffers& b) {
  const int64_t width = gate_width(s), head = s.head_dim;
  for_rows(env, n_rows, 8 * width + s.n_heads * head, [&](int64_t row) {
    float *gate = b.gate + row * width, *mixed = b.mixed + row * s.n_heads * head;
    for (int64_t i = 0; i < width; ++i) gate[i] = softplus(gate[i]);
    if (s.gate->per_element) {
      env.kernels().scale_by(mixed, gate, width);
    } else {
      for (int64_t h = 0; h < s.n_heads; ++h) env.kernels().scale(mixed + h * head, gate[h], head);
    }
  });
}

void store_keys_and_values(Env& env, const AttentionSpec& s, const AttentionInput& in, const Buffers& b) {
  const int64_t rows = in.kv_rows.n, heads = s.n_kv_heads, dim = s.head_dim;
  // The values come from the projection before the key norm touches it.
  const float* raw_v = s.v_proj == kNone ? b.k : b.v;
  if (s.v_norm) {
    norm(env, *s.v_norm, raw_v, rows * heads, dim, b.v);
  } else if (raw_v != b.v) {
    std::copy_n(raw_v, rows * heads * dim, b.v);
  }
  if (s.k_norm) norm(env, *s.k_norm, b.k, rows * heads, dim, b.k);
  rope(env, s.rope, in.kv_rope, rows, heads, dim, b.k);
  store_rows(env, in.kv, b.k, b.v);
}

}  // namespace

void store_rows(Env& env, const KvStep& kv, const float* k, const float* v) {
  const int64_t width = kv.layout.n_kv_heads * kv.layout.head_dim;
  for (const KvWrite& w : kv.writes) {
    // Slots of one step of the layout share memory words, so rows are stored by one thread in panels.
    env.compute.pool->run(ceil_div(w.first_slot % kPanel + w.n_rows, kPanel), [&](int64_t chunk, int) {
      const int64_t lead = w.first_slot % kPanel;
      const int64_t begin = std::max<int64_t>(0, chunk * kPanel - lead), end = std::min(w.n_rows, (chunk + 1) * kPanel - lead);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t at = (w.first_row + i) * width;
        store_kv(kv.layout, w.block, w.slots, w.first_slot + i, k + at, v == nullptr ? nullptr : v + at);
      }
    });
  }
}

void attend_rows(Env& env, const AttentionSpec& s, const KvStep& kv, const RowSet& rows, const float* q, float* out) {
  const int64_t width = s.n_heads * s.head_dim;
  const ArenaScope scope(*env.scratch);
  const auto n_sequences = static_cast<int64_t>(rows.sequences.size());
  auto* queries = env.scratch->take<AttentionQueries>(n_sequences);
  int64_t n = 0;
  for (int64_t i = 0; i < n_sequences; ++i) {
    const SequenceRows& r = rows.sequences[static_cast<size_t>(i)];
    if (r.n_rows == 0) continue;
    const std::span<const int64_t> positions = rows.positions_of(r);
    queries[n++] = {.q = q + r.first_row * width,
                    .out = out + r.first_row * width,
                    .q_stride = width,
                    .out_stride = width,
                    .positions = positions,
                    .segments = kv.segments[static_cast<size_t>(i)]};
    for (int64_t p : positions) env.flops += attention_flops(s, visible_keys(s, p));
  }
  const Attention spec = kernel_spec(s, kv.layout);
  const uint64_t bytes = attention_scratch_bytes(spec, rows.n, n_sequences, env.compute.pool->n_threads());
  attention(env.compute, spec, std::span(queries, static_cast<size_t>(n)), env.scratch->take_bytes(bytes));
}

uint64_t attend_scratch_bytes(const AttentionSpec& s, const StepLimits& limits) {
  Arena arena;
  arena.take<AttentionQueries>(limits.max_sequences);
  const KvLayout layout{s.n_kv_heads, s.head_dim, limits.kv.dtype, RowKind::kKeysAndValues};
  arena.take_bytes(attention_scratch_bytes(kernel_spec(s, layout), limits.max_rows, limits.max_sequences, limits.n_threads));
  return arena.peak();
}

void attention_forward(Env& env, const AttentionSpec& s, const AttentionInput& in, float* out) {
  const ArenaScope scope(*env.scratch);
  const Buffers b = take_buffers(*env.scratch, s, in.q_rows.n, in.kv_rows.n);
  project(env, s, in, b);
  if (s.writes_state()) store_keys_and_values(env, s, in, b);
  if (in.q_rows.n == 0) return;
  if (s.q_norm) norm(env, *s.q_norm, b.q, in.q_rows.n * s.n_heads, s.head_dim, b.q);
  rope(env, s.rope, in.q_rope, in.q_rows.n, s.n_heads, s.head_dim, b.q);
  attend_rows(env, s, in.kv, in.q_rows, b.q, b.mixed);
  if (s.gate) apply_gate(env, s, in.q_rows.n, b);
  linear(env, {{s.o_proj, b.mixed, out, in.q_rows.n}});
}

uint64_t attention_scratch_bytes(const AttentionSpec& s, int64_t hidden_size, const StepLimits& limits) {
  Arena arena;
  take_buffers(arena, s, limits.max_rows, limits.max_rows);
  const uint64_t base = arena.used();
  // Queries and keys may come from different inputs, each rounded once.
  arena.take_bytes(product_scratch_bytes(limits, limits.max_rows, hidden_size));
  arena.take_bytes(product_scratch_bytes(limits, limits.max_rows, hidden_size));
  arena.reset_to(base);
  arena.take_bytes(attend_scratch_bytes(s, limits));
  arena.reset_to(base);
  arena.take_bytes(product_scratch_bytes(limits, limits.max_rows, s.n_heads * s.head_dim));
  return arena.peak();
}

}  // namespace longhaul
