// Kernels over one row: norms, rope, activations, sums, conversions.
#if defined(LONGHAUL_KERNELS_CPU_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGHAUL_KERNELS_CPU_ELEMENTWISE_INL_H_
#undef LONGHAUL_KERNELS_CPU_ELEMENTWISE_INL_H_
#else
#define LONGHAUL_KERNELS_CPU_ELEMENTWISE_INL_H_
#endif

#include <cmath>

#include "kernels/highway/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longhaul {
namespace HWY_NAMESPACE {

// out = op(x), out = op(x, y): whole vectors, then one padded with zeros. out may be x or y.
template <class Op>
HWY_INLINE void map(const float* x, int64_t n, float* out, Op op) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(op(hn::LoadU(F32(), x + i)), F32(), out + i);
  if (i < n) store_n(op(load_n(x + i, n - i)), n - i, out + i);
}

template <class Op>
HWY_INLINE void map(const float* x, const float* y, int64_t n, float* out, Op op) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    hn::StoreU(op(hn::LoadU(F32(), x + i), hn::LoadU(F32(), y + i)), F32(), out + i);
  if (i < n) store_n(op(load_n(x + i, n - i), load_n(y + i, n - i)), n - i, out + i);
}

struct Sum {
  HWY_INLINE V operator()(V x, V y) const { return hn::Add(x, y); }
};
struct Product {
  HWY_INLINE V operator()(V x, V y) const { return hn::Mul(x, y); }
};
struct SumScaled {
  V scale;
  HWY_INLINE V operator()(V x, V y) const { return hn::MulAdd(scale, y, x); }
};
// Comparisons, not Max and Min: targets differ in which operand these give where one is NaN, and
// NaN must not be lost.
struct SumScaledRelu {
  V scale;
  HWY_INLINE V operator()(V x, V y) const {
    return hn::MulAdd(scale, hn::IfThenZeroElse(hn::Lt(y, hn::Zero(F32())), y), x);
  }
};
struct Clamped {
  V low, high;
  HWY_INLINE V operator()(V x) const {
    const V raised = hn::IfThenElse(hn::Lt(x, low), low, x);
    return hn::IfThenElse(hn::Gt(raised, high), high, raised);
  }
};
struct Scaled {
  V scale;
  HWY_INLINE V operator()(V x) const { return hn::Mul(x, scale); }
};
struct ScaledProduct {
  V scale;
  HWY_INLINE V operator()(V x, V y) const { return hn::Mul(hn::Mul(x, scale), y); }
};
struct Softcap {
  V cap, inverse;
  HWY_INLINE V operator()(V x) const { return hn::Mul(cap, tanh(hn::Mul(x, inverse))); }
};
struct SiluProduct {
  HWY_INLINE V operator()(V gate, V up) const { return hn::Mul(hn::Mul(gate, sigmoid(gate)), up); }
};
// 0.5 x (1 + tanh u) = x sigmoid(2 u), which keeps its relative precision where tanh u is near -1.
struct GeluTanhProduct {
  HWY_INLINE V operator()(V gate, V up) const {
    const V cubic = hn::MulAdd(hn::Mul(constant(0.044715f), hn::Mul(gate, gate)), gate, gate);
    return hn::Mul(hn::Mul(gate, sigmoid(hn::Mul(constant(1.5957691216057308f), cubic))), up);
  }
};

void add(float* x, const float* y, int64_t n) { map(x, y, n, x, Sum()); }
void add_scaled(float* x, const float* y, float scale, int64_t n) {
  map(x, y, n, x, SumScaled{constant(scale)});
}
void add_scaled_relu(float* x, const float* y, float scale, int64_t n) {
  map(x, y, n, x, SumScaledRelu{constant(scale)});
}
void clamp(float* x, float low, float high, int64_t n) {
  map(x, n, x, Clamped{constant(low), constant(high)});
}
void scale(float* x, float factor, int64_t n) { map(x, n, x, Scaled{constant(factor)}); }
void scale_by(float* x, const float* factors, int64_t n) { map(x, factors, n, x, Product()); }
void softcap(float* x, int64_t n, float cap) {
  map(x, n, x, Softcap{constant(cap), constant(1.0f / cap)});
}

void gated_activation(Activation activation, const float* gate, const float* up, int64_t n,
                      float* out) {
  switch (activation) {
    case Activation::kGeluTanh: return map(gate, up, n, out, GeluTanhProduct());
    case Activation::kSilu: return map(gate, up, n, out, SiluProduct());
  }
}

float sum_of_squares(const float* x, int64_t n) {
  V sum0 = hn::Zero(F32()), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    const V x0 = hn::LoadU(F32(), x + i), x1 = hn::LoadU(F32(), x + i + kLanes);
    const V x2 = hn::LoadU(F32(), x + i + 2 * kLanes), x3 = hn::LoadU(F32(), x + i + 3 * kLanes);
    sum0 = hn::MulAdd(x0, x0, sum0);
    sum1 = hn::MulAdd(x1, x1, sum1);
    sum2 = hn::MulAdd(x2, x2, sum2);
    sum3 = hn::MulAdd(x3, x3, sum3);
  }
  for (; i < n; i += kLanes) {
    const V v = i + kLanes <= n ? hn::LoadU(F32(), x + i) : load_n(x + i, n - i);
    sum0 = hn::MulAdd(v, v, sum0);
  }
  return hn::GetLane(hn::SumOfLanes(F32(), hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3))));
}

void rms_norm(const float* x, const float* w, float eps, int64_t n, float* out) {
  const V factor = constant(1.0f / std::sqrt(sum_of_squares(x, n) / static_cast<float>(n) + eps));
  if (w == nullptr) return map(x, n, out, Scaled{factor});
  map(x, w, n, out, ScaledProduct{factor});
}

void rope(float* x, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; i += kLanes) {
    const bool whole = i + kLanes <= half;
    const int64_t rest = half - i;
    const V a = whole ? hn::LoadU(F32(), x + i) : load_n(x + i, rest);
    const V b = whole ? hn::LoadU(F32(), x + half + i) : load_n(x + half + i, rest);
    const V c = whole ? hn::LoadU(F32(), cos + i) : load_n(cos + i, rest);
    const V s = whole ? hn::LoadU(F32(), sin + i) : load_n(sin + i, rest);
    const V first = hn::NegMulAdd(b, s, hn::Mul(a, c)), second = hn::MulAdd(a, s, hn::Mul(b, c));
    if (whole) {
      hn::StoreU(first, F32(), x + i);
      hn::StoreU(second, F32(), x + half + i);
    } else {
      store_n(first, rest, x + i);
      store_n(second, rest, x + half + i);
    }
  }
}

void round_to_bf16(const float* x, int64_t n, bf16* out) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_bf16(hn::LoadU(F32(), x + i), out + i);
  if (i < n) store_bf16_n(load_n(x + i, n - i), n - i, out + i);
}

void widen_to_f32(const bf16* x, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const auto bits = hn::LoadU(U16(), reinterpret_cast<const uint16_t*>(x + i));
    hn::StoreU(hn::BitCast(F32(), hn::ShiftLeft<16>(hn::PromoteTo(U32(), bits))), F32(), out + i);
  }
  for (; i < n; ++i) out[i] = to_f32(x[i]);
}

void bytes_to_bf16(const int8_t* x, int64_t n, bf16* out) {
  using I8 = hn::Rebind<int8_t, F32>;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const V v = hn::ConvertTo(F32(), hn::PromoteTo(I32(), hn::LoadU(I8(), x + i)));
    // Seven bits of integer fit: the low half of the f32 is zero.
    hn::StoreU(to_halves(hn::ShiftRight<16>(hn::BitCast(U32(), v))), U16(),
               reinterpret_cast<uint16_t*>(out + i));
  }
  for (; i < n; ++i) out[i] = to_bf16(static_cast<float>(x[i]));
}

}  // namespace HWY_NAMESPACE
}  // namespace longhaul
HWY_AFTER_NAMESPACE();

#endif
