// Vectors of at most one panel, and loads and stores of a ragged tail. Keeps to what Highway 1.0.3
// and later share.
#if defined(LONGHAUL_KERNELS_CPU_VECTOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGHAUL_KERNELS_CPU_VECTOR_INL_H_
#undef LONGHAUL_KERNELS_CPU_VECTOR_INL_H_
#else
#define LONGHAUL_KERNELS_CPU_VECTOR_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"
#include "kernels/kernels.h"

HWY_BEFORE_NAMESPACE();
namespace longhaul {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::CappedTag<float, static_cast<size_t>(kPanel)>;
using I32 = hn::RebindToSigned<F32>;
using U32 = hn::RebindToUnsigned<F32>;
using U16 = hn::Rebind<uint16_t, F32>;
using V = hn::Vec<F32>;

constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(F32()));
constexpr int kPanelVectors = static_cast<int>(kPanel / kLanes);

// The scalar target has no such limit: its sums go through memory in any case.
constexpr int kRegisters = HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4 ? 16
                           : HWY_TARGET == HWY_SCALAR                       ? 64
                                                                            : 32;

// Of the tiles that many rows are cut into, at most.
constexpr int kBestRows = 6;

// The first `count` elements, the rest `fill`. Through memory, because masked loads may touch what
// they mask out below AVX2.
HWY_INLINE V load_n(const float* p, int64_t count, float fill = 0.0f) {
  HWY_ALIGN float lanes[kLanes];
  for (int64_t i = 0; i < kLanes; ++i) lanes[i] = fill;
  std::memcpy(lanes, p, static_cast<size_t>(count) * sizeof(float));
  return hn::Load(F32(), lanes);
}

HWY_INLINE void store_n(V v, int64_t count, float* p) {
  HWY_ALIGN float lanes[kLanes];
  hn::Store(v, F32(), lanes);
  std::memcpy(p, lanes, static_cast<size_t>(count) * sizeof(float));
}

HWY_INLINE hn::Vec<U16> to_halves(hn::Vec<U32> low_halves) {
  return hn::DemoteTo(U16(), hn::BitCast(I32(), low_halves));
}

// Round to nearest even. A NaN may become something else.
HWY_INLINE hn::Vec<U32> round_bf16_bits(V v) {
  const U32 du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  return hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(du, 0x7fff)), odd));
}

// Round to nearest even; a NaN stays one.
HWY_INLINE hn::Vec<U16> round_bf16(V v) {
  const U32 du;
  const auto quiet = hn::Or(hn::ShiftRight<16>(hn::BitCast(du, v)), hn::Set(du, 0x40));
  return to_halves(hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, round_bf16_bits(v)));
}

HWY_INLINE void store_bf16(V v, bf16* p) {
  hn::StoreU(round_bf16(v), U16(), reinterpret_cast<uint16_t*>(p));
}

HWY_INLINE void store_bf16_n(V v, int64_t count, bf16* p) {
  HWY_ALIGN uint16_t lanes[kLanes];
  hn::Store(round_bf16(v), U16(), lanes);
  std::memcpy(p, lanes, static_cast<size_t>(count) * sizeof(bf16));
}

}  // namespace HWY_NAMESPACE
}  // namespace longhaul
HWY_AFTER_NAMESPACE();

#endif
