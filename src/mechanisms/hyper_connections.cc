#include "mechanisms/hyper_connections.h"

#include <cmath>

namespace longhaul {
namespace {

// The matrix of the coefficients is read once for so many rows.
constexpr int64_t kRows = 8;
constexpr int64_t kMaxStreams = 8;

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

// x'_k = b_k y + sum_j C_jk x_j, in place, some channels at a time.
void write_row(const KernelSet& k, const HyperStreams& s, const float* y, const float* coefficients, float* x) {
  constexpr int64_t kChannels = 512;
  float old[kMaxStreams * kChannels];
  const float *spread = coefficients + s.n, *mix = coefficients + 2 * s.n;
  for (int64_t begin = 0; begin < s.d; begin += kChannels) {
    const int64_t n = std::min(kChannels, s.d - begin);
    for (int64_t j = 0; j < s.n; ++j) std::copy_n(x + j * s.d + begin, n, old + j * kChannels);
    for (int64_t to = 0; to < s.n; ++to) {
      float* out = x + to * s.d + begin;
      std::fill_n(out, n, 0.0f);
      for (int64_t j = 0; j < s.n; ++j) k.add_scaled(out, old + j * kChannels, mix[j * s.n + to], n);
      k.add_scaled(out, y + begin, spread[to], n);
    }
  }
}

void read_row(const KernelSet& k, const HyperStreams& s, const float* x, const float* coefficients, float* input) {
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

void reading(const Env& env, const HyperCollapse& s, int64_t n, float* z) {
  const float *base = env.weights->vector(s.base), *scale = env.weights->vector(s.scale);
  for (int64_t j = 0; j < n; ++j) z[j] = sigmoid(z[j] * scale[0] + base[j]) + s.eps;
}

// z [(2 + n) n] becomes the coefficients.
void finish(const Env& env, const HyperCollapse& s, int64_t n, float* z) { reading(env, s, n, z); }

void finish(const Env& env, const HyperResidual& s, int64_t n, float* z) {
  const float *base = env.weights->vector(s.base), *scale = env.weights->vector(s.scale);
  reading(env, {.base = s.base, .scale = s.scale, .eps = s.eps}, n, z);
  for (int64_t j = n; j < 2 * n; ++j) z[j] = 2.0f * sigmoid(z[j] * scale[1] + base[j]);
  for (int64_t j = 2 * n; j < hyper_coefficients(n); ++j) z[j] = z[j] * scale[2] + base[j];
  sinkhorn(env.kernels(), z + 2 * n, n, s.sinkhorn_iters, s.eps);
}

template <class Reader>
void connect(Env& env, const float* y, const Reader& reader, const HyperStreams& s, int64_t n_rows) {
  LH_CHECK(s.n <= kMaxStreams);
  const PackedMatrix& fn = env.weights->matrix(reader.fn);
  const KernelSet& k = env.kernels();
  const int64_t width = s.n * s.d, stride = hyper_coefficients(s.n);
  env.compute.pool->run(ceil_div(n_rows, kRows), [&](int64_t chunk, int) {
    const int64_t first = chunk * kRows, rows = std::min(kRows, n_rows - first);
    float* x = s.x + first * width;
    float* z = s.coefficients + first * stride;
    for (int64_t r = 0; r < rows && y != nullptr; ++r) write_row(k, s, y + (first + r) * s.d, z + r * stride, x + r * width);
    k.matmul_f32({.a = x, .a_stride = width, .b = fn.panels(), .c = z, .c_stride = stride, .m = rows, .n = fn.n, .k = width});
    for (int64_t r = 0; r < rows; ++r) {
      const float mean = k.sum_of_squares(x + r * width, width) / static_cast<float>(width);
      k.scale(z + r * stride, 1.0f / std::sqrt(mean + reader.norm_eps), fn.n);
      finish(env, reader, s.n, z + r * stride);
      read_row(k, s, x + r * width, z + r * stride, s.input + (first + r) * s.d);
    }
  });
  const auto rows = static_cast<uint64_t>(n_rows);
  env.flops +=
      rows * (2 * static_cast<uint64_t>(fn.n * width) + hyper_read_flops(s.n, s.d) + (y == nullptr ? 0 : hyper_write_flops(s.n, s.d)));
}

}  // namespace

void hyper_connect(Env& env, const float* y, const HyperResidual& next, const HyperStreams& streams, int64_t n_rows) {
  connect(env, y, next, streams, n_rows);
}

void hyper_connect(Env& env, const float* y, const HyperCollapse& head, const HyperStreams& streams, int64_t n_rows) {
  connect(env, y, head, streams, n_rows);
}

}  // namespace longhaul
