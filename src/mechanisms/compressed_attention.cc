#include "mechanisms/compressed_attention.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "mechanisms/linear.h"
#include "mechanisms/rope.h"

namespace longhaul {
namespace {

struct Pooled {
  Rows<float> kv, gate;  // [input rows, series * width]
};

struct Buffers {
  Rows<float> latent;         // [rows, q_lora_rank]
  Rows<float> q, mixed;       // [rows, H * K]
  Rows<float> groups;         // [rows, o_groups * o_lora_rank]
  Rows<float> row;            // [input rows, K]
  Pooled pooled, index;       // where there is a compressor, an indexer
  Rows<float> index_q;        // [rows, index heads * index width]
  Rows<float> index_weights;  // [rows, index heads]
  Rows<int32_t> chosen;       // [rows, top_k]
};

Pooled take_pooled(Arena& a, const CompressorSpec& s, int64_t rows) {
  return {a.take_rows<float>(rows, s.projected_width()),
          a.take_rows<float>(rows, s.projected_width())};
}

Buffers take_buffers(Arena& a, const CompressedAttentionSpec& s, const BlockIo& io) {
  const auto take = [&](int64_t width) { return a.take_rows<float>(io.out.n, width); };
  Buffers b{.latent = take(s.q_lora_rank),
            .q = take(s.attention.q_width()),
            .mixed = take(s.attention.q_width()),
            .groups = take(s.o_groups * s.o_lora_rank),
            .row = a.take_rows<float>(io.in.n, s.attention.head_dim)};
  if (s.compressor) b.pooled = take_pooled(a, *s.compressor, io.in.n);
  if (!s.indexer) return b;
  b.index = take_pooled(a, s.indexer->keys, io.in.n);
  b.index_q = take(s.indexer->q_width());
  b.index_weights = take(s.indexer->n_heads);
  b.chosen = a.take_rows<int32_t>(io.out.n, s.indexer->top_k);
  return b;
}

// Everything that reads the block's input.
void project(Env& env, const CompressedAttentionSpec& s, const BlockIo& io, const Buffers& b) {
  std::array<Linear, 7> layers;
  size_t n = 0;
  layers[n++] = {s.q_a_proj, io.out_x, b.latent};
  if (s.indexer) layers[n++] = {s.indexer->weights_proj, io.out_x, b.index_weights};
  layers[n++] = {s.attention.k_proj, io.x, b.row};
  const auto pool = [&](const CompressorSpec& c, const Pooled& to) {
    layers[n++] = {c.kv_proj, io.x, to.kv};
    layers[n++] = {c.gate_proj, io.x, to.gate};
  };
  if (s.compressor) pool(*s.compressor, b.pooled);
  if (s.indexer) pool(s.indexer->keys, b.index);
  linear(env, std::span(layers.data(), n));
}

void store_row(Env& env, const AttentionSpec& s, const BlockIo& io, const Buffers& b) {
  norm(env, *s.k_norm, b.row, b.row);
  rope(env, s.rope, io.angles, 1, b.row);
  env.ops->store(io.states->kv(s.state), b.row, {});
}

void pool(Env& env, const CompressedAttentionSpec& s, const CompressorSpec& c, const BlockIo& io,
          const Pooled& projected) {
  LH_CHECK(!s.attention.rope.follows_length());  // entries have no text of their own
  compress(env, c,
           {.kv = projected.kv,
            .gate = projected.gate,
            .rows = io.in,
            .rope = &s.attention.rope,
            .frequencies = io.frequencies,
            .open = io.states->fixed(c.open),
            .entries = io.states->kv(c.entries)});
}

void choose(Env& env, const CompressedAttentionSpec& s, const BlockIo& io, const Buffers& b) {
  const IndexerSpec& x = *s.indexer;
  linear(env, {{x.q_proj, b.latent, b.index_q}});
  rope(env, s.attention.rope, io.out_angles, x.n_heads, b.index_q);
  env.ops->scale(1.0f / std::sqrt(static_cast<float>(x.q_width())), b.index_weights);
  const KvStep keys = io.states->kv(x.keys.entries);
  const EntrySelection spec{
      .n_heads = x.n_heads, .layout = keys.layout, .entry_ratio = x.keys.ratio, .top_k = x.top_k};
  env.ops->select_entries(spec, keys, io.out, b.index_q, b.index_weights, b.chosen, *env.scratch);
  for (int64_t p : io.out.positions) env.flops += indexer_flops(x, visible_entries(x.keys, p));
  if (env.on_choice) env.on_choice({"entries", io.layer, b.chosen});
}

// Rows and entries that a query attends to.
struct Attended {
  int64_t window = 0, entries = 0;
};

Attended attended(const CompressedAttentionSpec& s, int64_t position) {
  const int64_t window = visible_keys(s.attention, position);
  if (!s.compressor) return {window, 0};
  const int64_t entries = visible_entries(*s.compressor, position);
  return {window, s.follows_choice() ? std::min(entries, s.indexer->top_k) : entries};
}

void attend(Env& env, const CompressedAttentionSpec& s, const BlockIo& io, const Buffers& b) {
  const AttentionSpec& a = s.attention;
  const KvStep kv = io.states->kv(a.state);
  const KvStep entries = s.compressor ? io.states->kv(s.compressor->entries) : KvStep{};
  const SharedAttention spec{.n_heads = a.n_heads,
                             .layout = kv.layout,
                             .scale = a.scale,
                             .window = a.window,
                             .entry_ratio = s.compressor ? s.compressor->ratio : 0,
                             .top_k = s.follows_choice() ? s.indexer->top_k : 0,
                             .sinks = env.weights->vector(s.sinks).data()};
  env.ops->attend_shared(spec, kv, s.compressor ? &entries : nullptr, io.out,
                         s.follows_choice() ? b.chosen : Rows<int32_t>(), b.q, b.mixed,
                         *env.scratch);
  for (int64_t p : io.out.positions) {
    const Attended at = attended(s, p);
    env.flops += attention_flops(a, at.window + at.entries);
  }
}

std::string summary(const CompressedAttentionSpec& s) {
  std::string text = window_words(s.attention);
  if (s.compressor) text += fmt::format(" + entries 1:{}", s.compressor->ratio);
  if (s.indexer) text += choice_words(*s.indexer);
  return text;
}

// What stands around the heads.
std::string latent_words(const CompressedAttentionSpec& s) {
  std::string text = fmt::format("queries from a latent of {}, outputs by {} groups through {}",
                                 s.q_lora_rank, s.o_groups, s.o_lora_rank);
  if (s.compressor) {
    text += fmt::format(", entries pooled over {} tokens",
                        s.compressor->series() * s.compressor->ratio);
  }
  if (s.indexer) {
    text += fmt::format(", chosen by {} heads of {}", s.indexer->n_heads, s.indexer->head_dim);
  }
  return text;
}

ScheduleLetter letter(const CompressedAttentionSpec& s) {
  if (!s.compressor) return window_letter(s.attention);
  if (s.indexer) return {'C', "C sliding and chosen compressed entries", 2};
  return {'H', "H sliding and all heavily compressed entries", 3};
}

Json json(const CompressedAttentionSpec& s) {
  Json json = Json::object(
      {{"q_lora_rank", s.q_lora_rank}, {"o_groups", s.o_groups}, {"o_lora_rank", s.o_lora_rank}});
  if (s.compressor) json.set("compressor", compressor_json(*s.compressor));
  if (s.indexer) {
    json.set("indexer", Json::object({{"n_heads", s.indexer->n_heads},
                                      {"head_dim", s.indexer->head_dim},
                                      {"top_k", s.indexer->top_k},
                                      {"keys", compressor_json(s.indexer->keys)}}));
  }
  return json;
}

}  // namespace

void forward(Env& env, const CompressedAttentionSpec& s, const BlockIo& io) {
  const AttentionSpec& a = s.attention;
  const ArenaScope scope(*env.scratch);
  const Buffers b = take_buffers(*env.scratch, s, io);
  project(env, s, io, b);
  store_row(env, a, io, b);
  if (s.compressor) pool(env, s, *s.compressor, io, b.pooled);
  if (s.indexer) pool(env, s, s.indexer->keys, io, b.index);
  if (io.out.n == 0) return;
  norm(env, s.q_a_norm, b.latent, b.latent);
  linear(env, {{a.q_proj, b.latent, b.q}});
  norm(env, *a.q_norm, b.q.reshaped(a.head_dim), b.q.reshaped(a.head_dim));
  rope(env, a.rope, io.out_angles, a.n_heads, b.q);
  if (s.indexer) choose(env, s, io, b);
  attend(env, s, io, b);
  rope(env, a.rope, io.out_angles, a.n_heads, b.mixed, Turn::kBack);
  grouped_linear(env, s.o_a_proj, s.o_groups, b.mixed, b.groups);
  linear(env, {{a.o_proj, b.groups, io.y}});
}

ContextWork context_work(const CompressedAttentionSpec& s, int64_t n) {
  const Attended at = attended(s, n - 1);
  ContextWork work{.work = {{attention_flops(s.attention, at.window + at.entries)}},
                   .reads = {{s.attention.state, at.window}}};
  if (s.compressor) work.reads.push_back({s.compressor->entries, at.entries});
  if (s.indexer) add_scoring(*s.indexer, n, work);
  return work;
}

Wide prompt_flops(const CompressedAttentionSpec& s, int64_t n) {
  Wide keys = keys_seen(n, s.attention.window);
  if (s.compressor) {
    keys += entries_seen(n, s.compressor->ratio, s.follows_choice() ? s.indexer->top_k : n);
  }
  const Wide scoring = s.indexer ? scoring_flops(*s.indexer, n) : 0;
  return Wide{attention_flops(s.attention, 1)} * keys + scoring;
}

Words words(const CompressedAttentionSpec& s, const Architecture& arch) {
  return {
      .name = "compressed attention",
      .tap = "attn",
      .summary = summary(s),
      .heads = head_words(s.attention),
      .details = latent_words(s),
      .schedule = letter(s),
      .fields = {{"attention", head_json(s.attention, arch)}, {"compressed_attention", json(s)}}};
}

}  // namespace longhaul
