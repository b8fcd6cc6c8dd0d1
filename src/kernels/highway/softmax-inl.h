// Softmax of a whole row, and the step of the online softmax that attention makes a tile of keys at
// a time.
#if defined(LONGHAUL_KERNELS_CPU_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGHAUL_KERNELS_CPU_SOFTMAX_INL_H_
#undef LONGHAUL_KERNELS_CPU_SOFTMAX_INL_H_
#else
#define LONGHAUL_KERNELS_CPU_SOFTMAX_INL_H_
#endif

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/highway/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longhaul {
namespace HWY_NAMESPACE {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

HWY_INLINE float max_of(const float* x, int64_t n) {
  V max = constant(kMinusInfinity);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) max = hn::Max(hn::LoadU(F32(), x + i), max);
  if (i < n) max = hn::Max(load_n(x + i, n - i, x[i]), max);
  return hn::GetLane(hn::MaxOfLanes(F32(), max));
}

HWY_INLINE void store(V v, float* p) { hn::StoreU(v, F32(), p); }
// A NaN weight may get lost here, but the sum keeps it.
HWY_INLINE void store(V v, bf16* p) {
  hn::StoreU(to_halves(round_bf16_bits(v)), U16(), reinterpret_cast<uint16_t*>(p));
}
HWY_INLINE void store_part(V v, int64_t count, float* p) { store_n(v, count, p); }
HWY_INLINE void store_part(V v, int64_t count, bf16* p) { store_bf16_n(v, count, p); }

// out = exp(scale * x - max); returns the sum, taken before rounding. out may be x.
template <class Weight>
HWY_INLINE float exp_and_sum(const float* x, int64_t n, float scale, float max, Weight* out) {
  V sum = hn::Zero(F32());
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    const V e =
        exp_not_positive(hn::MulSub(hn::LoadU(F32(), x + i), constant(scale), constant(max)));
    sum = hn::Add(sum, e);
    store(e, out + i);
  }
  if (i < n) {
    const V e = exp_not_positive(hn::MulSub(load_n(x + i, n - i), constant(scale), constant(max)));
    sum = hn::Add(sum, hn::IfThenElseZero(hn::FirstN(F32(), static_cast<size_t>(n - i)), e));
    store_part(e, n - i, out + i);
  }
  return hn::GetLane(hn::SumOfLanes(F32(), sum));
}

void softmax(float* x, int64_t n) {
  if (n <= 0) return;
  const float sum = exp_and_sum(x, n, 1.0f, max_of(x, n), x);
  const V inverse = constant(1.0f / sum);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    hn::StoreU(hn::Mul(hn::LoadU(F32(), x + i), inverse), F32(), x + i);
  if (i < n) store_n(hn::Mul(load_n(x + i, n - i), inverse), n - i, x + i);
}

template <class Weight>
HWY_INLINE float softmax_step(const float* scores, int64_t n, int64_t begin, int64_t end,
                              float scale, float* running_max, float* running_sum,
                              Weight* weights) {
  if (begin >= end) {
    std::fill(weights, weights + n, Weight{});
    return 1.0f;
  }
  std::fill(weights, weights + begin, Weight{});
  std::fill(weights + end, weights + n, Weight{});
  const float max = std::max(*running_max, scale * max_of(scores + begin, end - begin));
  const float factor = *running_max == max ? 1.0f : std::exp(*running_max - max);
  *running_sum =
      *running_sum * factor + exp_and_sum(scores + begin, end - begin, scale, max, weights + begin);
  *running_max = max;
  return factor;
}

float softmax_step_f32(const float* scores, int64_t n, int64_t begin, int64_t end, float scale,
                       float* running_max, float* running_sum, float* weights) {
  return softmax_step(scores, n, begin, end, scale, running_max, running_sum, weights);
}

float softmax_step_bf16(const float* scores, int64_t n, int64_t begin, int64_t end, float scale,
                        float* running_max, float* running_sum, bf16* weights) {
  return softmax_step(scores, n, begin, end, scale, running_max, running_sum, weights);
}

}  // namespace HWY_NAMESPACE
}  // namespace longhaul
HWY_AFTER_NAMESPACE();

#endif
