// Convolutions over time, and what is made of queries and keys behind them.
#include <cmath>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/op_scratch.h"

namespace longhaul {

struct CpuOps::Convolved {
  Rows<const float> x, current, delayed;
  Rows<float> y, windows, values;
  ConvolutionPast past;
};

namespace {

// Row `at` of a sequence, counted from its first new row. Negative ones are in the past.
const float* row_at(Rows<const float> now, Rows<const float> past, int64_t at) {
  return at >= 0 ? now.row(at) : past.row(past.n + at);
}

// The last n rows up to row `at`, one after another; returns where the next may go.
float* keep_last(Rows<const float> now, Rows<const float> past, int64_t at, float* out) {
  for (int64_t i = at - past.n + 1; i <= at; ++i, out += past.width) {
    std::copy_n(row_at(now, past, i), past.width, out);
  }
  return out;
}

// The parts lie one after another, as they are kept.
int64_t elements(const ConvolutionPast& past) {
  return past.x.size() + past.y.size() + past.value.size();
}

void begin_past(const CausalConvolution& s, const ConvolutionPast& past) {
  std::fill_n(past.x.data, past.x.size(), 0.0f);
  for (int64_t t = 0; t < past.y.n; ++t) std::copy(s.bias.begin(), s.bias.end(), past.y.row(t));
  std::fill_n(past.value.data, past.value.size(), 0.0f);
}

float temperature(const HeadMeans& s, int64_t head) {
  const float weight = s.temperature[static_cast<size_t>(head)];
  return s.is_logarithm ? std::exp(std::clamp(weight, s.low, s.high)) : weight;
}

}  // namespace

void CpuOps::depthwise(const CausalConvolution& s, const SequenceRows& r,
                       const Convolved& c) const {
  const int64_t channels = c.x.width, t0 = s.time0;
  const Rows<const float> x = c.x.slice(r.first_row, r.n_rows);
  const Rows<float> y = c.y.slice(r.first_row, r.n_rows);
  for_rows(r.n_rows, channels * t0, [&](int64_t t) {
    float* out = y.row(t);
    std::copy(s.bias.begin(), s.bias.end(), out);
    for (int64_t j = 0; j < t0; ++j) {
      const float *in = row_at(x, c.past.x, t - (t0 - 1) + j), *taps = s.taps.data() + j;
      for (int64_t i = 0; i < channels; ++i) out[i] += taps[i * t0] * in[i];
    }
  });
}

void CpuOps::gather_windows(const CausalConvolution& s, const SequenceRows& r,
                            const Convolved& c) const {
  const int64_t channels = c.x.width, half = c.current.width, t1 = s.time1;
  const Rows<const float> y = c.y.slice(r.first_row, r.n_rows);
  const Rows<const float> delayed = c.delayed.slice(r.first_row, r.n_rows);
  for_rows(r.n_rows, channels * t1, [&](int64_t t) {
    const int64_t row = r.first_row + t;
    float *windows = c.windows.row(row), *values = c.values.row(row);
    for (int64_t j = 0; j < t1; ++j) {
      const float* in = row_at(y, c.past.y, t - (t1 - 1) + j);
      for (int64_t i = 0; i < channels; ++i) windows[i * t1 + j] = in[i];
    }
    std::copy_n(c.current.row(row), half, values);
    std::copy_n(row_at(delayed, c.past.value, t - 1), half, values + half);
  });
}

void CpuOps::keep_past(const SequenceRows& r, const Convolved& c, const FixedBlock& block) const {
  const auto own = [&](Rows<const float> rows) { return rows.slice(r.first_row, r.n_rows); };
  for (int64_t i = 0; i < block.after.n; ++i) {
    const int64_t row = r.n_rows - block.after.n + i;
    float* out = keep_last(own(c.x), c.past.x, row, block.after.row(i));
    out = keep_last(own(c.y), c.past.y, row, out);
    keep_last(own(c.delayed), c.past.value, row, out);
  }
}

void CpuOps::convolve(const CausalConvolution& s, const RowSet& rows, const FixedStep& past,
                      Rows<const float> x, Rows<const float> current, Rows<const float> delayed,
                      Rows<float> y, Rows<float> windows, Rows<float> values, Arena& scratch) {
  LH_DCHECK(same_shape(x, y) && windows.width == s.time1 * x.width && same_shape(current, delayed));
  LH_DCHECK(values.width == 2 * current.width && x.n == rows.n);
  const ArenaScope scope(scratch);
  const Convolved c{
      x, current, delayed, y, windows, values, take_past(scratch, s, x.width, delayed.width)};
  for (size_t i = 0; i < rows.sequences.size(); ++i) {
    const SequenceRows& r = rows.sequences[i];
    if (r.n_rows == 0) continue;
    if (rows.positions_of(r).front() == 0) {
      begin_past(s, c.past);
    } else {
      std::copy_n(past.blocks[i].past, elements(c.past), c.past.x.data);
    }
    depthwise(s, r, c);
    gather_windows(s, r, c);
    keep_past(r, c, past.blocks[i]);
  }
}

void CpuOps::mix_heads(const HeadMeans& s, Rows<const float> raw, Rows<float> z, Rows<float> keys) {
  LH_DCHECK(same_shape(raw, z) && keys.n == z.n && keys.width == s.n_kv_heads * s.head_dim);
  const int64_t d = s.head_dim, per_key = s.n_heads / s.n_kv_heads;
  constexpr float kTiny = 1e-30f;  // only so that a head of zeros stays one
  for_rows(raw.n, 4 * raw.width, [&](int64_t row) {
    const float *q = raw.row(row), *k = q + s.n_heads * d;
    float *zq = z.row(row), *zk = zq + s.n_heads * d, *key = keys.row(row);
    for (int64_t g = 0; g < s.n_kv_heads; ++g) {
      for (int64_t i = 0; i < d; ++i) {
        float sum = 0.0f;
        for (int64_t j = g * per_key; j < (g + 1) * per_key; ++j) {
          const float mean = 0.5f * (q[j * d + i] + k[g * d + i]);
          zq[j * d + i] += mean;
          sum += mean;
        }
        zk[g * d + i] += sum / static_cast<float>(per_key);
      }
      kernels().rms_norm(zk + g * d, nullptr, kTiny, d, key + g * d);
      kernels().scale(key + g * d, temperature(s, g), d);
    }
    for (int64_t j = 0; j < s.n_heads; ++j) {
      kernels().rms_norm(zq + j * d, nullptr, kTiny, d, zq + j * d);
    }
  });
}

}  // namespace longhaul
