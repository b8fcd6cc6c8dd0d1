// A residual stream of several rows: one pass over it a block. While a row is at hand, what the
// last block gave is written and the next block's input is read.
#include <cmath>

#include "kernels/cpu/cpu_ops.h"

namespace longhaul {
namespace {

constexpr int64_t kRows = 8;  // the matrix of the coefficients is read once for so many
constexpr int64_t kMaxStreams = 8;

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

struct Shape {
  int64_t n = 0, d = 0;  // streams, channels of each
};

// x'_k = b_k y + sum_j C_jk x_j, in place, some channels at a time.
void write_row(const KernelSet& k, Shape s, const float* y, const float* coefficients, float* x) {
  constexpr int64_t kChannels = 512;
  float old[kMaxStreams * kChannels];
  const float *spread = coefficients + s.n, *mix = coefficients + 2 * s.n;
  for (int64_t begin = 0; begin < s.d; begin += kChannels) {
    const int64_t n = std::min(kChannels, s.d - begin);
    for (int64_t j = 0; j < s.n; ++j) std::copy_n(x + j * s.d + begin, n, old + j * kChannels);
    for (int64_t to = 0; to < s.n; ++to) {
      float* out = x + to * s.d + begin;
      std::fill_n(out, n, 0.0f);
      for (int64_t j = 0; j < s.n; ++j) {
        k.add_scaled(out, old + j * kChannels, mix[j * s.n + to], n);
      }
      k.add_scaled(out, y + begin, spread[to], n);
    }
  }
}

void read_row(const KernelSet& k, Shape s, const float* x, const float* coefficients,
              float* input) {
  std::fill_n(input, s.d, 0.0f);
  for (int64_t j = 0; j < s.n; ++j) k.add_scaled(input, x + j * s.d, coefficients[j], s.d);
}

void normalise_columns(float* c, int64_t n, float eps) {
  for (int64_t k = 0; k < n; ++k) {
    float sum = eps;
    for (int64_t j = 0; j < n; ++j) sum += c[j * n + k];
    for (int64_t j = 0; j < n; ++j) c[j * n + k] /= sum;
  }
}

void normalise_rows(float* c, int64_t n, float eps) {
  for (int64_t j = 0; j < n; ++j) {
    float sum = eps;
    for (int64_t k = 0; k < n; ++k) sum += c[j * n + k];
    for (int64_t k = 0; k < n; ++k) c[j * n + k] /= sum;
  }
}

void sinkhorn(const KernelSet& k, float* c, int64_t n, int64_t iters, float eps) {
  for (int64_t j = 0; j < n; ++j) {
    k.softmax(c + j * n, n);
    for (int64_t i = 0; i < n; ++i) c[j * n + i] += eps;
  }
  normalise_columns(c, n, eps);
  for (int64_t i = 1; i < iters; ++i) {
    normalise_rows(c, n, eps);
    normalise_columns(c, n, eps);
  }
}

// z [stream_coefficients], or [n] of the head, becomes the coefficients.
void finish(const KernelSet& k, const StreamReader& s, int64_t n, float* z) {
  const float *base = s.base.data(), *scale = s.scale.data();
  for (int64_t j = 0; j < n; ++j) z[j] = sigmoid(z[j] * scale[0] + base[j]) + s.eps;
  if (!s.writes_back) return;
  for (int64_t j = n; j < 2 * n; ++j) z[j] = 2.0f * sigmoid(z[j] * scale[1] + base[j]);
  for (int64_t j = 2 * n; j < stream_coefficients(n); ++j) z[j] = z[j] * scale[2] + base[j];
  sinkhorn(k, z + 2 * n, n, s.sinkhorn_iters, s.eps);
}

}  // namespace

void CpuOps::connect_streams(const StreamReader& reader, Rows<const float> y, Rows<float> streams,
                             Rows<float> coefficients, Rows<float> input) {
  const Shape s{streams.width / input.width, input.width};
  LH_CHECK(s.n <= kMaxStreams);
  LH_DCHECK(coefficients.width == stream_coefficients(s.n) && reader.fn.k == streams.width);
  LH_DCHECK(streams.is_dense() && coefficients.is_dense() && input.n == streams.n);
  const KernelSet& k = kernels();
  compute_.pool->run(ceil_div(streams.n, kRows), [&](int64_t chunk, int) {
    const int64_t first = chunk * kRows, n = std::min(kRows, streams.n - first);
    const Rows<float> x = streams.slice(first, n), z = coefficients.slice(first, n);
    for (int64_t r = 0; r < n && y.n > 0; ++r) {
      write_row(k, s, y.row(first + r), z.row(r), x.row(r));
    }
    k.matmul_f32({.a = x.data,
                  .a_stride = x.stride,
                  .b = reader.fn.panels(),
                  .c = z.data,
                  .c_stride = z.stride,
                  .m = n,
                  .n = reader.fn.n,
                  .k = x.width});
    for (int64_t r = 0; r < n; ++r) {
      const float mean = k.sum_of_squares(x.row(r), x.width) / static_cast<float>(x.width);
      k.scale(z.row(r), 1.0f / std::sqrt(mean + reader.norm_eps), reader.fn.n);
      finish(k, reader, s.n, z.row(r));
      read_row(k, s, x.row(r), z.row(r), input.row(first + r));
    }
  });
}

}  // namespace longhaul
