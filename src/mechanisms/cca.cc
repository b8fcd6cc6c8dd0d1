#include "mechanisms/cca.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "mechanisms/linear.h"

namespace longhaul {
namespace {

struct Buffers {
  float* x;          // [rows, C] projections, query heads first
  float* y;          // [rows, C] after the depthwise convolution
  float* windows;    // [rows, C, time1] the grouped convolution's input: each channel's last time1 values
  float* z;          // [rows, C] after the grouped convolution; then queries and keys
  float* current;    // [rows, G K / 2]
  float* delayed;    // [rows, G K / 2]
  float* values;     // [rows, G K]
  float* keys;       // [rows, G K]
  float *q, *mixed;  // [q_rows, H K]
  float* past;       // [state_elements] of one sequence
  Matmul* group;     // [H + G]
};

Buffers take_buffers(Arena& a, const CcaSpec& s, int64_t rows, int64_t q_rows) {
  const int64_t c = s.channels(), half = s.delayed_width(), q = s.attention.n_heads * s.attention.head_dim;
  Buffers b;
  b.x = a.take<float>(rows * c);
  b.y = a.take<float>(rows * c);
  b.windows = a.take<float>(rows * c * s.time1);
  b.z = a.take<float>(rows * c);
  b.current = a.take<float>(rows * half);
  b.delayed = a.take<float>(rows * half);
  b.values = a.take<float>(rows * 2 * half);
  b.keys = a.take<float>(rows * 2 * half);
  b.q = a.take<float>(q_rows * q);
  b.mixed = a.take<float>(q_rows * q);
  b.past = a.take<float>(s.state_elements());
  b.group = a.take<Matmul>(s.attention.n_heads + s.attention.n_kv_heads);
  return b;
}

// A fixed block's parts, in the order they are kept: x taps oldest first, y taps oldest first, the delayed value.
struct Past {
  float *x, *y, *value;
};

Past past_of(const CcaSpec& s, float* elements) {
  return {elements, elements + (s.time0 - 1) * s.channels(), elements + (s.time0 - 1 + s.time1 - 1) * s.channels()};
}

void load_past(const Env& env, const CcaSpec& s, const FixedStep& taps, size_t sequence, bool is_new, float* elements) {
  const int64_t n = s.state_elements(), c = s.channels();
  if (is_new) {
    std::fill_n(elements, n, 0.0f);
    for (int64_t t = 0; t < s.time1 - 1; ++t) std::copy_n(env.weights->vector(s.conv_depthwise_bias), c, past_of(s, elements).y + t * c);
  } else {
    std::copy_n(taps.blocks[sequence], n, elements);
  }
}

// The last n of `old` (n rows) followed by `rows` rows at `added`, into old's place.
void shift_in(float* old, int64_t n, const float* added, int64_t rows, int64_t width) {
  const int64_t kept = std::max<int64_t>(0, n - rows), taken = n - kept;
  std::memmove(old, old + (n - kept) * width, static_cast<size_t>(kept * width) * sizeof(float));
  std::copy_n(added + (rows - taken) * width, taken * width, old + kept * width);
}

void store_past(const CcaSpec& s, const FixedStep& taps, size_t sequence, const SequenceRows& rows, const Buffers& b) {
  const int64_t c = s.channels(), half = s.delayed_width();
  const Past past = past_of(s, b.past);
  shift_in(past.x, s.time0 - 1, b.x + rows.first_row * c, rows.n_rows, c);
  shift_in(past.y, s.time1 - 1, b.y + rows.first_row * c, rows.n_rows, c);
  shift_in(past.value, 1, b.delayed + rows.first_row * half, rows.n_rows, half);
  std::copy_n(b.past, s.state_elements(), taps.blocks[sequence]);
}

// Row `at` of a sequence, counted from its first new row; negative rows are in the past (n_past rows, oldest first).
const float* row_at(const float* now, const float* past, int64_t n_past, int64_t at, int64_t width) {
  return at >= 0 ? now + at * width : past + (n_past + at) * width;
}

void depthwise(Env& env, const CcaSpec& s, const SequenceRows& rows, const Buffers& b) {
  const int64_t c = s.channels(), t0 = s.time0;
  const float *taps = env.weights->vector(s.conv_depthwise), *bias = env.weights->vector(s.conv_depthwise_bias);
  const float *x = b.x + rows.first_row * c, *past = past_of(s, b.past).x;
  float* y = b.y + rows.first_row * c;
  for_rows(env, rows.n_rows, c * t0, [&](int64_t t) {
    std::copy_n(bias, c, y + t * c);
    for (int64_t j = 0; j < t0; ++j) {
      const float* in = row_at(x, past, t0 - 1, t - (t0 - 1) + j, c);
      for (int64_t i = 0; i < c; ++i) y[t * c + i] += taps[i * t0 + j] * in[i];
    }
  });
  env.flops += 2 * static_cast<uint64_t>(rows.n_rows * c * t0);
}

// Lays each channel's last time1 values side by side, as the grouped convolution's matrices take them, and delays the values by one row.
void gather_windows(const Env& env, const CcaSpec& s, const SequenceRows& rows, const Buffers& b) {
  const int64_t c = s.channels(), t1 = s.time1, half = s.delayed_width();
  const Past past = past_of(s, b.past);
  for_rows(env, rows.n_rows, c * t1, [&](int64_t t) {
    const int64_t row = rows.first_row + t;
    for (int64_t j = 0; j < t1; ++j) {
      const float* in = row_at(b.y + rows.first_row * c, past.y, t1 - 1, t - (t1 - 1) + j, c);
      for (int64_t i = 0; i < c; ++i) b.windows[(row * c + i) * t1 + j] = in[i];
    }
    std::copy_n(b.current + row * half, half, b.values + row * 2 * half);
    std::copy_n(row_at(b.delayed + rows.first_row * half, past.value, 1, t - 1, half), half, b.values + row * 2 * half + half);
  });
}

float temperature(const CcaSpec& s, float weight) {
  return s.log_temperature ? std::exp(std::clamp(weight, s.log_temperature->low, s.log_temperature->high)) : weight;
}

// Adds the means, normalises, and puts keys aside.
void mix_and_normalise(const Env& env, const CcaSpec& s, int64_t n_rows, const Buffers& b) {
  const AttentionSpec& a = s.attention;
  const int64_t c = s.channels(), d = a.head_dim, per_key = a.n_heads / a.n_kv_heads;
  const float* temperatures = env.weights->vector(s.temperature);
  constexpr float kTiny = 1e-30f;  // only so that a head of zeros stays one
  for_rows(env, n_rows, 4 * c, [&](int64_t row) {
    const float *q = b.x + row * c, *k = q + a.n_heads * d;
    float *zq = b.z + row * c, *zk = zq + a.n_heads * d, *key = b.keys + row * a.n_kv_heads * d;
    for (int64_t g = 0; g < a.n_kv_heads; ++g) {
      for (int64_t i = 0; i < d; ++i) {
        float sum = 0.0f;
        for (int64_t j = g * per_key; j < (g + 1) * per_key; ++j) {
          const float mean = 0.5f * (q[j * d + i] + k[g * d + i]);
          zq[j * d + i] += mean;
          sum += mean;
        }
        zk[g * d + i] += sum / static_cast<float>(per_key);
      }
      env.kernels().rms_norm(zk + g * d, nullptr, kTiny, d, key + g * d);
      env.kernels().scale(key + g * d, temperature(s, temperatures[g]), d);
    }
    for (int64_t j = 0; j < a.n_heads; ++j) env.kernels().rms_norm(zq + j * d, nullptr, kTiny, d, zq + j * d);
  });
}

}  // namespace

void cca_forward(Env& env, const CcaSpec& s, const CcaInput& in, float* out) {
  const AttentionSpec& a = s.attention;
  const int64_t rows = in.rows.n, c = s.channels(), q_width = a.n_heads * a.head_dim;
  const ArenaScope scope(*env.scratch);
  const Buffers b = take_buffers(*env.scratch, s, rows, in.q_rows.n);
  linear(env, {{a.q_proj, in.x, b.x, rows, c},
               {a.k_proj, in.x, b.x + q_width, rows, c},
               {a.v_proj, in.x, b.current, rows},
               {s.v_proj_delayed, in.x, b.delayed, rows}});
  for (size_t i = 0; i < in.rows.sequences.size(); ++i) {
    const SequenceRows& r = in.rows.sequences[i];
    load_past(env, s, in.taps, i, in.rows.positions[r.first_row] == 0, b.past);
    depthwise(env, s, r, b);
    gather_windows(env, s, r, b);
    store_past(s, in.taps, i, r, b);
  }
  const int64_t groups = a.n_heads + a.n_kv_heads;
  grouped_linear(env, s.conv_grouped, groups, b.windows, rows, b.z, b.group);
  add_bias(env, s.conv_grouped_bias, rows, c, b.z);
  mix_and_normalise(env, s, rows, b);
  rope(env, a.rope, in.rope, rows, a.n_kv_heads, a.head_dim, b.keys);
  store_rows(env, in.kv, b.keys, b.values);
  if (in.q_rows.n == 0) return;
  for (int64_t i = 0; i < in.q_rows.n; ++i)
    std::copy_n(b.z + (in.q_row_of == nullptr ? i : in.q_row_of[i]) * c, q_width, b.q + i * q_width);
  rope(env, a.rope, in.q_rope, in.q_rows.n, a.n_heads, a.head_dim, b.q);
  attend_rows(env, a, in.kv, in.q_rows, b.q, b.mixed);
  linear(env, {{a.o_proj, b.mixed, out, in.q_rows.n}});
}

uint64_t cca_scratch_bytes(const CcaSpec& s, int64_t hidden_size, const StepLimits& limits) {
  Arena arena;
  const int64_t rows = limits.max_rows, groups = s.attention.n_heads + s.attention.n_kv_heads;
  take_buffers(arena, s, rows, rows);
  const uint64_t base = arena.used();
  const uint64_t products = std::max({product_scratch_bytes(limits, rows, hidden_size),
                                      grouped_linear_scratch_bytes(limits, groups, s.attention.head_dim * s.time1),
                                      product_scratch_bytes(limits, rows, s.attention.n_heads * s.attention.head_dim)});
  arena.take_bytes(products);
  arena.reset_to(base);
  arena.take_bytes(attend_scratch_bytes(s.attention, limits));
  return arena.peak();
}

}  // namespace longhaul
