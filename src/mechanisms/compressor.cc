#include "mechanisms/compressor.h"

#include <cmath>

#include "mechanisms/norm.h"

namespace longhaul {
namespace {

struct Buffers {
  float* entries;      // [n, width]
  int64_t* positions;  // [n] of each entry's first token
  float *cos, *sin;    // [n, n_pairs]
};

int64_t max_entries(const CompressorSpec& s, const StepLimits& limits) { return limits.max_rows / s.ratio + limits.max_sequences; }

Buffers take_buffers(Arena& a, const CompressorSpec& s, const RopeSpec& rope, int64_t n) {
  return {a.take<float>(n * s.width), a.take<int64_t>(n), a.take<float>(n * rope.n_pairs), a.take<float>(n * rope.n_pairs)};
}

// Some channels of one series: what a softmax over the rows so far has come to.
struct Pool {
  float *max, *sum, *weighted;

  void clear(int64_t n) const {
    std::fill_n(max, n, kMinusInfinity);
    std::fill_n(sum, n, 0.0f);
    std::fill_n(weighted, n, 0.0f);
  }
  void copy(const Pool& from, int64_t n) const {
    std::copy_n(from.max, n, max);
    std::copy_n(from.sum, n, sum);
    std::copy_n(from.weighted, n, weighted);
  }
  void add(const float* value, const float* gate, const float* bias, int64_t n) const {
    for (int64_t c = 0; c < n; ++c) {
      const float g = gate[c] + bias[c];
      if (g <= max[c]) {
        const float weight = std::exp(g - max[c]);
        sum[c] += weight;
        weighted[c] += weight * value[c];
      } else {
        const float factor = std::exp(max[c] - g);
        sum[c] = sum[c] * factor + 1.0f;
        weighted[c] = weighted[c] * factor + value[c];
        max[c] = g;
      }
    }
  }
};

// Of the open windows of one sequence: pool 0 becomes the next entry; with overlap, pool 1 is what the current window hands to the one after.
Pool pool_at(const CompressorSpec& s, float* state, int64_t series, int64_t channel) {
  float* first = state + series * 3 * s.width + channel;
  return {first, first + s.width, first + 2 * s.width};
}

struct Span {
  int64_t begin, n;  // channels
};

// One sequence's rows through some channels; `entry` is the sequence's first new entry.
void pool_rows(const Env& env, const CompressorSpec& s, const CompressorInput& in, const SequenceRows& rows, float* state, Span channels,
               float* entry) {
  const Pool current = pool_at(s, state, 0, channels.begin);
  const int64_t width = s.series() * s.width, n = channels.n, own = (s.series() - 1) * s.width + channels.begin;
  const float* bias = env.weights->vector(s.position_bias);
  for (int64_t row = rows.first_row; row < rows.first_row + rows.n_rows; ++row) {
    const int64_t slot = in.rows.positions[row] % s.ratio;
    const float *kv = in.kv + row * width, *gate = in.gate + row * width, *row_bias = bias + slot * width;
    current.add(kv + own, gate + own, row_bias + own, n);
    if (s.overlaps) {
      const int64_t c = channels.begin;
      pool_at(s, state, 1, c).add(kv + c, gate + c, row_bias + c, n);
    }
    if (slot != s.ratio - 1) continue;
    for (int64_t c = 0; c < n; ++c) entry[channels.begin + c] = current.weighted[c] / current.sum[c];
    entry += s.width;
    current.clear(n);
    if (!s.overlaps) continue;
    current.copy(pool_at(s, state, 1, channels.begin), n);
    pool_at(s, state, 1, channels.begin).clear(n);
  }
}

}  // namespace

void compress(Env& env, const CompressorSpec& s, const CompressorInput& in) {
  const ArenaScope scope(*env.scratch);
  const Buffers b = take_buffers(*env.scratch, s, *in.rope, in.rows.n / s.ratio + static_cast<int64_t>(in.rows.sequences.size()));
  constexpr int64_t kChannels = 64;
  int64_t n_entries = 0;
  for (size_t i = 0; i < in.rows.sequences.size(); ++i) {
    const SequenceRows& rows = in.rows.sequences[i];
    const int64_t first = in.rows.positions[rows.first_row];
    float* state = in.open.blocks[i];
    for (int64_t series = 0; first == 0 && series < s.series(); ++series) pool_at(s, state, series, 0).clear(s.width);
    env.compute.pool->run(ceil_div(s.width, kChannels), [&](int64_t chunk, int) {
      const int64_t begin = chunk * kChannels;
      pool_rows(env, s, in, rows, state, {begin, std::min(kChannels, s.width - begin)}, b.entries + n_entries * s.width);
    });
    for (int64_t e = first / s.ratio; e < (first + rows.n_rows) / s.ratio; ++e) b.positions[n_entries++] = e * s.ratio;
  }
  norm(env, s.norm, b.entries, n_entries, s.width, b.entries);
  fill_rope_table(env, *in.rope, *in.frequencies, {b.positions, static_cast<size_t>(n_entries)}, b.cos, b.sin);
  rope(env, *in.rope, {b.cos, b.sin}, n_entries, 1, s.width, b.entries);
  store_rows(env, in.entries, b.entries, nullptr);
}

uint64_t compress_scratch_bytes(const CompressorSpec& s, const RopeSpec& rope, const StepLimits& limits) {
  Arena arena;
  take_buffers(arena, s, rope, max_entries(s, limits));
  return arena.peak();
}

}  // namespace longhaul
