// The products by grouped codes of each target: beside highway_sets.cc, so that neither takes the
// compiler long.
#include "kernels/highway/highway_targets.h"

#include "kernels/highway/highway_sets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/highway/grouped_sets.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/highway/grouped-inl.h"

#if HWY_ONCE

namespace longhaul {

std::span<const Products::Entry> grouped_products(int64_t target) {
  switch (target) {
#if HWY_TARGETS & HWY_EMU128
    case HWY_EMU128: return N_EMU128::kGroupedProducts;
#endif
#if HWY_TARGETS & HWY_NEON
    case HWY_NEON: return N_NEON::kGroupedProducts;
#endif
#if HWY_TARGETS & HWY_SSE4
    case HWY_SSE4: return N_SSE4::kGroupedProducts;
#endif
#if HWY_TARGETS & HWY_AVX2
    case HWY_AVX2: return N_AVX2::kGroupedProducts;
#endif
#if HWY_TARGETS & HWY_AVX3
    case HWY_AVX3: return N_AVX3::kGroupedProducts;
#endif
    default: return {};
  }
}

}  // namespace longhaul
#endif  // HWY_ONCE
