// exp, sigmoid and tanh on vectors, about 1e-7 relative. No overflow and no invalid operation for
// any argument; NaN stays NaN.
#if defined(LONGHAUL_KERNELS_CPU_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGHAUL_KERNELS_CPU_MATH_INL_H_
#undef LONGHAUL_KERNELS_CPU_MATH_INL_H_
#else
#define LONGHAUL_KERNELS_CPU_MATH_INL_H_
#endif

#include "kernels/highway/vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longhaul {
namespace HWY_NAMESPACE {

HWY_INLINE V constant(float x) { return hn::Set(F32(), x); }

// e^r for |r| <= ln(2) / 2: the polynomial of Cephes' expf.
HWY_INLINE V exp_reduced(V r) {
  V p = hn::MulAdd(constant(1.9875691500e-4f), r, constant(1.3981999507e-3f));
  p = hn::MulAdd(p, r, constant(8.3334519073e-3f));
  p = hn::MulAdd(p, r, constant(4.1665795894e-2f));
  p = hn::MulAdd(p, r, constant(1.6666665459e-1f));
  p = hn::MulAdd(p, r, constant(5.0000001201e-1f));
  return hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), constant(1.0f));
}

struct Exponent {
  hn::Vec<I32> n;
  V r;
};

// x = n ln(2) + r for |x| < 2^20, with ln(2) in two parts. Adding 1.5 * 2^23 rounds to an integer,
// found in the sum's low bits: fewer instructions than conversions there and back.
HWY_INLINE Exponent reduce(V x) {
  const V shift = constant(12582912.0f);
  const V shifted = hn::MulAdd(x, constant(1.44269504f), shift);
  const V n = hn::Sub(shifted, shift);
  return {hn::Sub(hn::BitCast(I32(), shifted), hn::BitCast(I32(), shift)),
          hn::NegMulAdd(n, constant(-2.12194440e-4f), hn::NegMulAdd(n, constant(0.693359375f), x))};
}

// 2^n for n in [-126, 127]
HWY_INLINE V power_of_two(hn::Vec<I32> n) {
  return hn::BitCast(F32(), hn::ShiftLeft<23>(hn::Add(n, hn::Set(I32(), 127))));
}

// e^x = 2^n e^r. Below e^-87.3 the result is 0, above the range it is infinite.
HWY_INLINE V exp(V x) {
  // Selected, not by min and max, which lose NaN on some targets.
  const auto is_low = hn::Lt(x, constant(-87.3f)), is_high = hn::Gt(x, constant(89.0f));
  const Exponent e =
      reduce(hn::IfThenElse(is_high, constant(89.0f), hn::IfThenZeroElse(is_low, x)));
  // Two factors, since 2^128 is not a float but e^88.7 is.
  const auto half = hn::ShiftRight<1>(e.n);
  const V result =
      hn::Mul(hn::Mul(exp_reduced(e.r), power_of_two(half)), power_of_two(hn::Sub(e.n, half)));
  return hn::IfThenZeroElse(is_low, result);
}

// The same for what softmax needs: x <= 0, or above it by a rounding. Below e^-87 the result is 0.
HWY_INLINE V exp_not_positive(V x) {
  const auto is_low = hn::Lt(x, constant(-87.0f));
  const Exponent e = reduce(hn::IfThenZeroElse(is_low, x));
  return hn::IfThenZeroElse(is_low, hn::Mul(exp_reduced(e.r), power_of_two(e.n)));
}

HWY_INLINE V sigmoid(V x) {
  return hn::Div(constant(1.0f), hn::Add(constant(1.0f), exp(hn::Neg(x))));
}

// Near zero, where 1 - 2 / (e^2x + 1) cancels, the odd polynomial of Cephes' tanhf.
HWY_INLINE V tanh(V x) {
  const V z = hn::Mul(x, x);
  V p = hn::MulAdd(constant(-5.70498872745e-3f), z, constant(2.06390887954e-2f));
  p = hn::MulAdd(p, z, constant(-5.37397155531e-2f));
  p = hn::MulAdd(p, z, constant(1.33314422036e-1f));
  p = hn::MulAdd(p, z, constant(-3.33332819422e-1f));
  const V small = hn::MulAdd(hn::Mul(p, z), x, x);
  const V large = hn::Sub(
      constant(1.0f),
      hn::Div(constant(2.0f), hn::Add(exp(hn::Add(hn::Abs(x), hn::Abs(x))), constant(1.0f))));
  return hn::IfThenElse(hn::Lt(hn::Abs(x), constant(0.625f)), small, hn::CopySign(large, x));
}

}  // namespace HWY_NAMESPACE
}  // namespace longhaul
HWY_AFTER_NAMESPACE();

#endif
