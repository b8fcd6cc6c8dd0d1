#include "mechanisms/cca.h"

#include "mechanisms/linear.h"
#include "mechanisms/rope.h"

namespace longhaul {
namespace {

struct Buffers {
  Rows<float> x;        // [rows, C] projections, query heads first
  Rows<float> y;        // [rows, C] after the depthwise convolution
  Rows<float> windows;  // [rows, C, time1] each channel's last values
  Rows<float> z;        // [rows, C] after the grouped convolution; then queries
  Rows<float> current;  // [rows, G K / 2]
  Rows<float> delayed;  // [rows, G K / 2]
  Rows<float> values;   // [rows, G K]
  Rows<float> keys;     // [rows, G K]
};

Buffers take_buffers(Arena& a, const CcaSpec& s, int64_t rows) {
  const auto take = [&](int64_t width) { return a.take_rows<float>(rows, width); };
  const int64_t c = s.channels(), half = s.delayed_width();
  return {.x = take(c),
          .y = take(c),
          .windows = take(c * s.time1),
          .z = take(c),
          .current = take(half),
          .delayed = take(half),
          .values = take(2 * half),
          .keys = take(2 * half)};
}

void convolve(Env& env, const CcaSpec& s, const BlockIo& io, const Buffers& b) {
  const CausalConvolution depthwise{.time0 = s.time0,
                                    .time1 = s.time1,
                                    .taps = env.weights->vector(s.conv_depthwise),
                                    .bias = env.weights->vector(s.conv_depthwise_bias)};
  env.ops->convolve(depthwise, io.in, io.states->fixed(s.taps), b.x, b.current, b.delayed, b.y,
                    b.windows, b.values, *env.scratch);
  env.flops += 2 * static_cast<uint64_t>(io.in.n * s.channels() * s.time0);
  grouped_linear(env, s.conv_grouped, s.attention.n_heads + s.attention.n_kv_heads, b.windows, b.z);
  add_bias(env, s.conv_grouped_bias, b.z);
}

HeadMeans head_means(const Env& env, const CcaSpec& s) {
  const AttentionSpec& a = s.attention;
  const Clamp limits = s.log_temperature.value_or(Clamp{});
  return {.n_heads = a.n_heads,
          .n_kv_heads = a.n_kv_heads,
          .head_dim = a.head_dim,
          .temperature = env.weights->vector(s.temperature),
          .is_logarithm = s.log_temperature.has_value(),
          .low = limits.low,
          .high = limits.high};
}

}  // namespace

void forward(Env& env, const CcaSpec& s, const BlockIo& io) {
  const AttentionSpec& a = s.attention;
  const ArenaScope scope(*env.scratch);
  const KvStep kv = io.states->kv(a.state);
  const Buffers b = take_buffers(*env.scratch, s, io.in.n);
  linear(env, {{a.q_proj, io.x, b.x.columns(0, a.q_width())},
               {a.k_proj, io.x, b.x.columns(a.q_width(), a.kv_width())},
               {a.v_proj, io.x, b.current},
               {s.v_proj_delayed, io.x, b.delayed}});
  convolve(env, s, io, b);
  env.ops->mix_heads(head_means(env, s), b.x, b.z, b.keys);
  rope(env, a.rope, io.angles, a.n_kv_heads, b.keys);
  env.ops->store(kv, b.keys, b.values);
  if (io.out.n == 0) return;
  const Rows<float> q = output_rows(env, io, b.z.columns(0, a.q_width()));
  const Rows<float> mixed = env.scratch->take_rows<float>(io.out.n, a.q_width());
  rope(env, a.rope, io.out_angles, a.n_heads, q);
  attend(env, a, kv, io.out, q, mixed);
  linear(env, {{a.o_proj, mixed, io.y}});
}

Words words(const CcaSpec& s, const Architecture& arch) {
  return {.name = "convolutional attention",
          .tap = "attn",
          .summary = "convolutional " + window_words(s.attention),
          .heads = head_words(s.attention),
          .schedule = window_letter(s.attention),
          .fields = {{"attention", head_json(s.attention, arch)}}};
}

}  // namespace longhaul
