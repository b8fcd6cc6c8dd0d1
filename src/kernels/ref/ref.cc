// The reference kernels: plain loops, sums in f64. Slow, complete, and what every other set is
// tested against. Its products are the codecs' portable ones.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>

#include "kernels/codecs/rotation.h"
#include "kernels/kernels.h"

namespace longhaul {
namespace {

// Codes of inputs that share a scale, which it returns.
float round_to_codes(std::span<const float> x, int8_t* codes) {
  float largest = 0.0f;
  for (const float input : x) largest = std::max(largest, std::abs(input));
  const bool is_zero = largest < kLeastInput;
  const float to_code = is_zero ? 0.0f : 127.0f / largest;
  for (size_t i = 0; i < x.size(); ++i)
    codes[i] = static_cast<int8_t>(std::clamp(std::nearbyint(x[i] * to_code), -127.0f, 127.0f));
  return is_zero ? 0.0f : largest / 127.0f;
}

void quantise_block(std::span<const float, kQuantBlock> x, InputCoding coding, InputBlock& out) {
  if (coding == InputCoding::kRotatedInt8) out.scale.fill(round_to_codes(x, out.codes.data()));
  out.block_correction = 0;
  for (size_t g = 0; g < out.scale.size(); ++g) {
    int8_t* codes = &out.codes[g * kQuantGroup];
    if (coding == InputCoding::kInt8)
      out.scale[g] = round_to_codes(x.subspan(g * kQuantGroup, kQuantGroup), codes);
    out.half_correction[g] = -kCodeOffset * std::accumulate(codes, codes + kHalfGroup, 0);
    out.correction[g] = -kCodeOffset * std::accumulate(codes, codes + kQuantGroup, 0);
    out.block_correction += out.correction[g];
  }
}

void quantise_inputs(const float* x, int64_t k, InputCoding coding, InputBlock* out,
                     InputBlock* rest) {
  for (int64_t b = 0; b < blocks_of(k); ++b) {
    std::array<float, kQuantBlock> block{};
    std::copy_n(x + b * kQuantBlock, std::min(k - b * kQuantBlock, kQuantBlock), block.begin());
    if (coding == InputCoding::kRotatedInt8) rotate_back(block.data());
    quantise_block(block, coding, out[b]);
    if (rest == nullptr) continue;
    for (size_t i = 0; i < block.size(); ++i) {
      const float scale = out[b].scale[i / kQuantGroup];
      block[i] = std::fma(-scale, static_cast<float>(out[b].codes[i]), block[i]);
    }
    quantise_block(block, coding, rest[b]);
  }
}

void round_to_bf16(const float* x, int64_t n, bf16* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = to_bf16(x[i]);
}

void widen_to_f32(const bf16* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = to_f32(x[i]);
}

void rms_norm(const float* x, const float* w, float eps, int64_t n, float* out) {
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += double{x[i]} * double{x[i]};
  const double factor = 1.0 / std::sqrt(sum / static_cast<double>(n) + double{eps});
  for (int64_t i = 0; i < n; ++i)
    out[i] = static_cast<float>(double{x[i]} * factor * (w ? double{w[i]} : 1.0));
}

void rope(float* x, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const double a = x[i], b = x[i + half], c = cos[i], s = sin[i];
    x[i] = static_cast<float>(a * c - b * s);
    x[i + half] = static_cast<float>(b * c + a * s);
  }
}

double activate(Activation activation, double x) {
  switch (activation) {
    // Hendrycks & Gimpel 2016, the tanh form: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
    case Activation::kGeluTanh:
      return 0.5 * x * (1.0 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case Activation::kSilu: return x / (1.0 + std::exp(-x));
  }
  return x;
}

void bytes_to_bf16(const int8_t* x, int64_t n, bf16* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = to_bf16(static_cast<float>(x[i]));
}

void gated_activation(Activation activation, const float* gate, const float* up, int64_t n,
                      float* out) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = static_cast<float>(activate(activation, gate[i]) * double{up[i]});
}

void softcap(float* x, int64_t n, float cap) {
  for (int64_t i = 0; i < n; ++i)
    x[i] = static_cast<float>(double{cap} * std::tanh(double{x[i]} / double{cap}));
}

void add(float* x, const float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += y[i];
}

void add_scaled(float* x, const float* y, float scale, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    x[i] = static_cast<float>(double{x[i]} + double{scale} * double{y[i]});
}

void add_scaled_relu(float* x, const float* y, float scale, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    x[i] = static_cast<float>(double{x[i]} + double{scale} * std::max(double{y[i]}, 0.0));
}

void clamp(float* x, float low, float high, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = std::min(std::max(x[i], low), high);
}

float sum_of_squares(const float* x, int64_t n) {
  double sum = 0.0;
  for (int64_t i = 0; i < n; ++i) sum += double{x[i]} * double{x[i]};
  return static_cast<float>(sum);
}

void scale(float* x, float factor, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

void scale_by(float* x, const float* factors, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factors[i];
}

void softmax(float* x, int64_t n) {
  double max = -std::numeric_limits<double>::infinity(), sum = 0.0;
  for (int64_t i = 0; i < n; ++i) max = std::max(max, double{x[i]});
  for (int64_t i = 0; i < n; ++i) sum += std::exp(double{x[i]} - max);
  for (int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(std::exp(double{x[i]} - max) / sum);
}

template <class Weight>
Weight to_weight(double x) {
  if constexpr (std::is_same_v<Weight, bf16>) {
    return to_bf16(static_cast<float>(x));
  } else {
    return static_cast<float>(x);
  }
}

template <class Weight>
float softmax_step(const float* scores, int64_t n, int64_t begin, int64_t end, float scale,
                   float* running_max, float* running_sum, Weight* weights) {
  std::fill(weights, weights + n, Weight{});
  if (begin >= end) return 1.0f;
  float max = *running_max;
  for (int64_t i = begin; i < end; ++i) max = std::max(max, scale * scores[i]);
  const double factor = *running_max == max ? 1.0 : std::exp(double{*running_max} - double{max});
  double sum = double{*running_sum} * factor;
  for (int64_t i = begin; i < end; ++i) {
    const double weight = std::exp(double{scale} * double{scores[i]} - double{max});
    weights[i] = to_weight<Weight>(weight);
    sum += weight;
  }
  *running_max = max;
  *running_sum = static_cast<float>(sum);
  return static_cast<float>(factor);
}

int64_t peak_f32(int64_t rounds) {
  volatile float sink = 1.0f;
  float a = sink, sum = 0.0f;
  for (int64_t i = 0; i < rounds; ++i) sum = sum * a + a;
  sink = sum;
  return rounds;
}

}  // namespace

const KernelSet& ref_kernels() {
  static constexpr KernelSet set{
      .name = "ref",
      .products = {},
      .quantise_inputs = quantise_inputs,
      .to_bf16 = round_to_bf16,
      .to_f32 = widen_to_f32,
      .bytes_to_bf16 = bytes_to_bf16,
      .rms_norm = rms_norm,
      .rope = rope,
      .gated_activation = gated_activation,
      .softcap = softcap,
      .add = add,
      .add_scaled = add_scaled,
      .add_scaled_relu = add_scaled_relu,
      .clamp = clamp,
      .sum_of_squares = sum_of_squares,
      .scale = scale,
      .scale_by = scale_by,
      .softmax = softmax,
      .softmax_step = softmax_step<float>,
      .softmax_step_bf16 = softmax_step<bf16>,
      .peak_f32 = peak_f32,
      .peak_bf16 = peak_f32,
      .peak_int8 = peak_f32,
  };
  return set;
}

}  // namespace longhaul
