#include "mechanisms/gqa.h"

#include <fmt/format.h>

#include <array>

#include "arch/architecture.h"
#include "mechanisms/linear.h"
#include "mechanisms/rope.h"

namespace longhaul {
namespace {

struct Buffers {
  Rows<float> q, k, v, mixed;
  Rows<float> gate;  // [rows, H] or [rows, H * head_dim]
};

Buffers take_buffers(Arena& a, const AttentionSpec& s, const BlockIo& io) {
  const int64_t kv_rows = s.writes_state() ? io.in.n : 0;
  const int64_t gate_width = !s.gate ? 0 : s.gate->per_element ? s.q_width() : s.n_heads;
  return {a.take_rows<float>(io.out.n, s.q_width()), a.take_rows<float>(kv_rows, s.kv_width()),
          a.take_rows<float>(kv_rows, s.kv_width()), a.take_rows<float>(io.out.n, s.q_width()),
          a.take_rows<float>(io.out.n, gate_width)};
}

void project(Env& env, const AttentionSpec& s, const BlockIo& io, const Buffers& b) {
  std::array<Linear, 4> layers = {{{s.q_proj, io.out_x, b.q}}};
  size_t n = 1;
  if (s.gate) layers[n++] = {s.gate->proj, io.out_x, b.gate};
  if (s.writes_state()) layers[n++] = {s.k_proj, io.x, b.k};
  if (s.v_proj != kNone) layers[n++] = {s.v_proj, io.x, b.v};
  linear(env, std::span(layers.data(), n));
}

// The values come from the projection before the key norm touches it.
void make_values(Env& env, const AttentionSpec& s, const Buffers& b) {
  const Rows<float> raw = s.v_proj == kNone ? b.k : b.v;
  if (s.v_norm) {
    norm(env, *s.v_norm, raw.reshaped(s.head_dim), b.v.reshaped(s.head_dim));
  } else if (s.v_proj == kNone) {
    env.ops->copy(raw, b.v);
  }
}

void store_keys_and_values(Env& env, const AttentionSpec& s, const BlockIo& io, const KvStep& kv,
                           const Buffers& b) {
  make_values(env, s, b);
  const Rows<float> heads = b.k.reshaped(s.head_dim);
  if (s.k_norm) norm(env, *s.k_norm, heads, heads);
  rope(env, s.rope, io.angles, s.n_kv_heads, b.k);
  env.ops->store(kv, b.k, b.v);
}

}  // namespace

void forward(Env& env, const AttentionSpec& s, const BlockIo& io) {
  const ArenaScope scope(*env.scratch);
  const KvStep kv = io.states->kv(s.state);
  const Buffers b = take_buffers(*env.scratch, s, io);
  project(env, s, io, b);
  if (s.writes_state()) store_keys_and_values(env, s, io, kv, b);
  if (io.out.n == 0) return;
  const Rows<float> heads = b.q.reshaped(s.head_dim);
  if (s.q_norm) norm(env, *s.q_norm, heads, heads);
  rope(env, s.rope, io.out_angles, s.n_heads, b.q);
  attend(env, s, kv, io.out, b.q, b.mixed);
  if (s.gate) env.ops->gate_heads(s.n_heads, b.gate, b.mixed);
  linear(env, {{s.o_proj, b.mixed, io.y}});
}

void attend(Env& env, const AttentionSpec& s, const KvStep& kv, const RowSet& rows,
            Rows<const float> q, Rows<float> out) {
  const Attention spec{
      .n_heads = s.n_heads, .layout = kv.layout, .scale = s.scale, .window = s.window};
  env.ops->attend(spec, kv, rows, q, out, *env.scratch);
  for (int64_t p : rows.positions) env.flops += attention_flops(s, visible_keys(s, p));
}

ContextWork context_work(const AttentionSpec& s, int64_t n) {
  const int64_t keys = visible_keys(s, n - 1);
  return {.work = {{attention_flops(s, keys)}}, .reads = {{s.state, keys}}};
}

Wide prompt_flops(const AttentionSpec& s, int64_t n) {
  return Wide{attention_flops(s, 1)} * keys_seen(n, s.window);
}

Wide keys_seen(int64_t n, int64_t window) {
  const Wide ramp = static_cast<Wide>(std::min(n, window));
  const Wide flat = static_cast<Wide>(n) - ramp;
  return ramp * (ramp + 1) / 2 + flat * ramp;
}

std::string window_words(const AttentionSpec& s) {
  return s.window == kUnbounded ? "attention full" : fmt::format("attention sliding {}", s.window);
}

std::string head_words(const AttentionSpec& s) {
  std::string text =
      fmt::format("{} query heads of {}, {} KV head{}, rope theta {}", s.n_heads, s.head_dim,
                  s.n_kv_heads, s.n_kv_heads == 1 ? "" : "s", s.rope.theta);
  const RopeSpec& r = s.rope;
  if (r.neighbours_at_end) text += fmt::format(" on the last {} channels", 2 * r.n_pairs);
  if (r.live_pairs < r.n_pairs) text += fmt::format(" on {} of {} pairs", r.live_pairs, r.n_pairs);
  return text;
}

ScheduleLetter window_letter(const AttentionSpec& s) {
  return s.window == kUnbounded ? ScheduleLetter{'F', "F full attention", 1}
                                : ScheduleLetter{'S', "S sliding", 0};
}

Json head_json(const AttentionSpec& s, const Architecture& arch) {
  return Json::object({{"n_heads", s.n_heads},
                       {"n_kv_heads", s.n_kv_heads},
                       {"head_dim", s.head_dim},
                       {"window", s.window == kUnbounded ? Json() : Json(s.window)},
                       {"rope_theta", s.rope.theta},
                       {"writes_state", s.writes_state()},
                       {"state_layer", arch.state(s.state).layer}});
}

Words words(const AttentionSpec& s, const Architecture& arch) {
  const bool is_shared = s.writes_state() && s.v_proj == kNone;
  return {.name = "attention",
          .tap = "attn",
          .summary = window_words(s),
          .heads = head_words(s) + (is_shared ? ", values from the key projection" : ""),
          .schedule = window_letter(s),
          .fields = {{"attention", head_json(s, arch)}}};
}

}  // namespace longhaul
