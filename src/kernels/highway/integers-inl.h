// Sums of products of small integers, all exact: what the kernels of block formats share. Bytes
// become 16-bit halves, pairs of products are summed in 32 bits.
#if defined(LONGHAUL_KERNELS_HIGHWAY_INTEGERS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGHAUL_KERNELS_HIGHWAY_INTEGERS_INL_H_
#undef LONGHAUL_KERNELS_HIGHWAY_INTEGERS_INL_H_
#else
#define LONGHAUL_KERNELS_HIGHWAY_INTEGERS_INL_H_
#endif

#include <algorithm>
#include <cstring>

#include "kernels/codecs/quant_blocks.h"
#include "kernels/highway/vector-inl.h"
#include "kernels/register_tiles.h"
#include "kernels/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace longhaul {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR  // which has no bytes to look up side by side

using U8 = hn::Repartition<uint8_t, F32>;
using I16 = hn::Repartition<int16_t, F32>;
using Bytes = hn::Vec<U8>;
using Halves = hn::Vec<I16>;
using Ints = hn::Vec<I32>;

constexpr int64_t kLineBytes = 64, kVectorBytes = kLanes * 4;
constexpr int kGroupSteps = kQuantGroup / 4;  // of four inputs

HWY_INLINE Ints lower_halves(Halves x) {
  return hn::ShiftRight<16>(hn::ShiftLeft<16>(hn::BitCast(I32(), x)));
}
HWY_INLINE Ints upper_halves(Halves x) { return hn::ShiftRight<16>(hn::BitCast(I32(), x)); }

// Each 32-bit lane: the sum of its two products of 16 bits.
HWY_INLINE Ints pair_products(Halves a, Halves b) {
#if HWY_TARGET == HWY_AVX3
  return Ints{_mm512_madd_epi16(a.raw, b.raw)};
#elif HWY_TARGET == HWY_AVX2
  return Ints{_mm256_madd_epi16(a.raw, b.raw)};
#elif HWY_TARGET == HWY_SSE4
  return Ints{_mm_madd_epi16(a.raw, b.raw)};
#elif HWY_TARGET == HWY_NEON && HWY_ARCH_ARM_A64
  return Ints{vpaddq_s32(vmull_s16(vget_low_s16(a.raw), vget_low_s16(b.raw)),
                         vmull_high_s16(a.raw, b.raw))};
#else
  return hn::Add(hn::Mul(lower_halves(a), lower_halves(b)),
                 hn::Mul(upper_halves(a), upper_halves(b)));
#endif
}

// How lines of codes become lines of bytes: the integers and kCodeOffset.
struct CodeBytes {
  static constexpr int kLineSteps = 1;
  static HWY_INLINE Bytes table_of(const int8_t*) { return hn::Zero(U8()); }
  static HWY_INLINE void bytes(const std::byte* codes, Bytes, Bytes* out) {
    out[0] = hn::LoadU(U8(), reinterpret_cast<const uint8_t*>(codes));
  }
};
struct Nibbles {
  static constexpr int kLineSteps = 2;
  static HWY_INLINE Bytes table_of(const int8_t* levels) {
    return hn::Xor(hn::LoadDup128(U8(), reinterpret_cast<const uint8_t*>(levels)),
                   hn::Set(U8(), kCodeOffset));
  }
  static HWY_INLINE void bytes(const std::byte* codes, Bytes levels, Bytes* out) {
    const auto both = hn::LoadU(U8(), reinterpret_cast<const uint8_t*>(codes));
    const auto low_half = hn::Set(U8(), 15);
    const auto upper = hn::BitCast(U8(), hn::ShiftRight<4>(hn::BitCast(I16(), both)));
    out[0] = hn::TableLookupBytes(levels, hn::And(both, low_half));
    out[1] = hn::TableLookupBytes(levels, hn::And(upper, low_half));
  }
};

// Inputs 0 and 2, and 1 and 3, of each step of a group, as 16 bits.
struct StepInputs {
  HWY_ALIGN int32_t even[kGroupSteps], odd[kGroupSteps];

  HWY_INLINE void widen(const int8_t* codes) {
    const hn::CappedTag<int32_t, static_cast<size_t>(kGroupSteps)> d;
    const hn::Repartition<int16_t, decltype(d)> d16;
    for (size_t step = 0; step < static_cast<size_t>(kGroupSteps); step += hn::Lanes(d)) {
      const auto both =
          hn::BitCast(d16, hn::LoadU(d, reinterpret_cast<const int32_t*>(codes) + step));
      hn::Store(hn::BitCast(d, hn::ShiftRight<8>(hn::ShiftLeft<8>(both))), d, even + step);
      hn::Store(hn::BitCast(d, hn::ShiftRight<8>(both)), d, odd + step);
    }
  }
};
// Those of group g, of each row.
template <int kRows>
HWY_INLINE void widen_group(const InputBlock* const (&in)[kRows], int64_t g,
                            StepInputs (&inputs)[kRows]) {
  LH_UNROLL for (int r = 0; r < kRows; ++r) inputs[r].widen(in[r]->codes.data() + g * kQuantGroup);
}

// The totals of a tile while it is computed: whole panels, whatever C has.
template <int kRows, int kPanels>
struct Totals {
  HWY_ALIGN float at[kRows][kPanels * kPanel];

  void load(const MatmulTile& t, int64_t row, int64_t panel) {
    const int64_t columns = std::min(t.n - panel * kPanel, kPanels * kPanel);
    std::memset(at, 0, sizeof at);
    for (int64_t r = 0; t.accumulate && r < kRows; ++r)
      std::copy_n(t.c + (row + r) * t.c_stride + panel * kPanel, columns, at[r]);
  }
  void store(const MatmulTile& t, int64_t row, int64_t panel) const {
    const int64_t columns = std::min(t.n - panel * kPanel, kPanels * kPanel);
    for (int64_t r = 0; r < kRows; ++r)
      std::copy_n(at[r], columns, t.c + (row + r) * t.c_stride + panel * kPanel);
  }
  HWY_INLINE void add(int64_t r, int64_t vector, V sum, V scale) {
    float* total = at[r] + vector * kLanes;
    hn::Store(hn::MulAdd(sum, scale, hn::Load(F32(), total)), F32(), total);
  }
};

// The exact sums of kSteps steps of a group from `first_step` on, added to `sum`: those of each row
// and vector of outputs.
template <class Codes, int kSteps, int kRows, int kVectors>
HWY_INLINE void add_steps(const std::byte* lines, int64_t panel_stride,
                          const StepInputs (&inputs)[kRows], int first_step, Bytes table,
                          Ints (&sum)[kRows][kVectors]) {
  for (int line = 0; line < kSteps / Codes::kLineSteps; ++line) {
    LH_UNROLL for (int v = 0; v < kVectors; ++v) {
      Bytes bytes[Codes::kLineSteps];
      Codes::bytes(lines + line * kLineBytes + v / kPanelVectors * panel_stride +
                       v % kPanelVectors * kVectorBytes,
                   table, bytes);
      LH_UNROLL for (int s = 0; s < Codes::kLineSteps; ++s) {
        const int step = first_step + line * Codes::kLineSteps + s;
        const auto even = hn::And(hn::BitCast(I16(), bytes[s]), hn::Set(I16(), 0xff));
        const auto odd = hn::BitCast(
            I16(), hn::ShiftRight<8>(hn::BitCast(hn::RebindToUnsigned<I16>(), bytes[s])));
        LH_UNROLL for (int r = 0; r < kRows; ++r) {
          const auto first =
              pair_products(even, hn::BitCast(I16(), hn::Set(I32(), inputs[r].even[step])));
          const auto second =
              pair_products(odd, hn::BitCast(I16(), hn::Set(I32(), inputs[r].odd[step])));
          sum[r][v] = hn::Add(sum[r][v], hn::Add(first, second));
        }
      }
    }
  }
}

struct BlockTile {
  // Sums, next to what turns a vector of codes into operands.
  static constexpr bool fits(int rows, int panels) {
    return rows * panels * kPanelVectors + 8 <= kRegisters || rows * panels == 1;
  }
};

#endif

}  // namespace HWY_NAMESPACE
}  // namespace longhaul
HWY_AFTER_NAMESPACE();

#endif
