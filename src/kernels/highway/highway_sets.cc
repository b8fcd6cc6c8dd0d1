// One set a target, all of them tables of the same functions.
#include "kernels/highway/highway_targets.h"

#include "kernels/highway/highway_sets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/highway/highway_sets.cc"
#include "hwy/foreach_target.h"
// After foreach_target.h.
#include "kernels/highway/elementwise-inl.h"
#include "kernels/highway/matmul-inl.h"
#include "kernels/highway/softmax-inl.h"
// After matmul-inl.h.
#include "kernels/highway/blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longhaul {
namespace HWY_NAMESPACE {

constexpr KernelSet make_set(const char* name) {
  return {
      .name = name,
      .products = products(),
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
      .softmax_step = softmax_step_f32,
      .softmax_step_bf16 = softmax_step_bf16,
      .peak_f32 = peak_f32,
      .peak_bf16 = peak_bf16,
      .peak_int8 = peak_int8,
  };
}

}  // namespace HWY_NAMESPACE
}  // namespace longhaul
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <array>

#include "hwy/targets.h"

namespace longhaul {
namespace {

struct TargetSet {
  int64_t target;
  KernelSet set;
};

constexpr TargetSet kTargetSets[] = {
#if HWY_TARGETS & HWY_SCALAR
    {HWY_SCALAR, N_SCALAR::make_set("scalar")},
#endif
#if HWY_TARGETS & HWY_EMU128
    {HWY_EMU128, N_EMU128::make_set("emu128")},
#endif
#if HWY_TARGETS & HWY_NEON
    {HWY_NEON, N_NEON::make_set("neon")},
#endif
#if HWY_TARGETS & HWY_SSE4
    {HWY_SSE4, N_SSE4::make_set("sse4")},
#endif
#if HWY_TARGETS & HWY_AVX2
    {HWY_AVX2, N_AVX2::make_set("avx2")},
#endif
#if HWY_TARGETS & HWY_AVX3
    {HWY_AVX3, N_AVX3::make_set("avx3")},
#endif
};

auto complete_sets() {
  auto all = std::to_array(kTargetSets);
  for (TargetSet& t : all) {
    for (const auto& [codec, run] : grouped_products(t.target)) t.set.products.set(*codec, run);
  }
  return all;
}

}  // namespace

std::span<const KernelSet* const> cpu_kernel_sets() {
  static const auto all = complete_sets();
  struct Runnable {
    std::array<const KernelSet*, std::size(kTargetSets)> sets{};
    size_t count = 0;
  };
  static const Runnable runnable = [] {
    Runnable r;
    for (const auto& [target, set] : all) {
      const bool fallback = target == HWY_SCALAR || target == HWY_EMU128;
      if (fallback || (hwy::SupportedTargets() & target) != 0) r.sets[r.count++] = &set;
    }
    return r;
  }();
  return {runnable.sets.data(), runnable.count};
}

}  // namespace longhaul
#endif  // HWY_ONCE
