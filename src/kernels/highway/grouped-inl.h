// Products by panels of grouped codes (codecs/grouped.h): exact sums of a group, each multiplied by
// its scale. One microkernel for each size of codes and groups; what the scales of a block look
// like is told by a function that widens them.
#if defined(LONGHAUL_KERNELS_HIGHWAY_GROUPED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGHAUL_KERNELS_HIGHWAY_GROUPED_INL_H_
#undef LONGHAUL_KERNELS_HIGHWAY_GROUPED_INL_H_
#else
#define LONGHAUL_KERNELS_HIGHWAY_GROUPED_INL_H_
#endif

#include "kernels/codecs/grouped.h"
#include "kernels/highway/integers-inl.h"

HWY_BEFORE_NAMESPACE();
namespace longhaul {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR

// Of a block of a panel, by group and output.
struct WideScales {
  HWY_ALIGN float scale[kQuantBlock / kHalfGroup][kPanel];
  HWY_ALIGN float min[kQuantBlock / kHalfGroup][kPanel];
};

HWY_INLINE V widened(const f16* x) {
  const hn::Rebind<hwy::float16_t, F32> d16;
  return hn::PromoteTo(F32(), hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(x)));
}
HWY_INLINE V widened(const float* x) { return hn::LoadU(F32(), x); }
template <class T>
HWY_INLINE V widened(const T* x) {
  return hn::ConvertTo(F32(), hn::PromoteTo(I32(), hn::LoadU(hn::Rebind<T, F32>(), x)));
}

template <class Panels>
void widen_scales(const std::byte* panel, const std::byte* block, WideScales& out) {
  const V factor = hn::Set(F32(), reinterpret_cast<const GroupedHeader*>(panel)->factor);
  auto* b = reinterpret_cast<uint8_t*>(const_cast<std::byte*>(block));
  for (int64_t v = 0; v < kPanel; v += kLanes) {
    V scale{}, min{};
    for (int64_t g = 0; g < Panels::kGroups; ++g) {
      const int64_t row = g * kPanel + v;
      if (g < Panels::kScaleRows) {
        scale = hn::Mul(factor, widened(Panels::scales(b) + row));
        if constexpr (Panels::kHasMins) min = hn::Mul(factor, widened(Panels::min_scales(b) + row));
      }
      if constexpr (Panels::kHasMultipliers) {
        hn::Store(hn::Mul(scale, widened(Panels::multipliers(b) + row)), F32(), out.scale[g] + v);
        if constexpr (Panels::kHasMins)
          hn::Store(hn::Mul(min, widened(Panels::mins(b) + row)), F32(), out.min[g] + v);
      } else {
        hn::Store(scale, F32(), out.scale[g] + v);
        if constexpr (Panels::kHasMins) hn::Store(min, F32(), out.min[g] + v);
      }
    }
  }
}

// A tile and how its panels are read.
struct GroupedTile : MatmulTile {
  void (*widen_scales)(const std::byte* panel, const std::byte* block, WideScales& out);
  int64_t codes_at, block_bytes;  // in a block, and of one
  bool has_mins;
};

// The correction of the sum of half h of a group, or of all of it.
template <int kHalves>
HWY_INLINE int32_t correction_of(const InputBlock& in, int64_t g, int h) {
  const int32_t whole = in.correction[static_cast<size_t>(g)],
                first = in.half_correction[static_cast<size_t>(g)];
  return kHalves == 1 ? whole : h == 0 ? first : whole - first;
}

// What group g of a block adds to the totals: kHalves scales of it times exact sums, times the
// scale of its inputs.
template <class Codes, int kHalves, int kRows, int kPanels>
HWY_INLINE void add_group(const GroupedTile& t, const InputBlock* const (&in)[kRows],
                          const std::byte* block, const WideScales (&scales)[kPanels], int64_t g,
                          Bytes table, Totals<kRows, kPanels>& totals) {
  constexpr int kVectors = kPanels * kPanelVectors;
  constexpr int kSteps = kGroupSteps / kHalves;
  constexpr int64_t kHalfBytes = kSteps / Codes::kLineSteps * kLineBytes;
  StepInputs inputs[kRows];
  widen_group(in, g, inputs);
  V group[kRows][kVectors];
  LH_UNROLL for (int h = 0; h < kHalves; ++h) {
    const int64_t at = g * kHalves + h;
    Ints sum[kRows][kVectors];
    LH_UNROLL for (int r = 0; r < kRows; ++r) {
      const auto correction = hn::Set(I32(), correction_of<kHalves>(*in[r], g, h));
      LH_UNROLL for (int v = 0; v < kVectors; ++v) sum[r][v] = correction;
    }
    add_steps<Codes, kSteps>(block + t.codes_at + at * kHalfBytes, t.b.panel_stride, inputs,
                             h * kSteps, table, sum);
    LH_UNROLL for (int v = 0; v < kVectors; ++v) {
      const V scale =
          hn::Load(F32(), scales[v / kPanelVectors].scale[at] + v % kPanelVectors * kLanes);
      LH_UNROLL for (int r = 0; r < kRows; ++r) {
        const V own = hn::ConvertTo(F32(), sum[r][v]);
        group[r][v] = h == 0 ? hn::Mul(own, scale) : hn::MulAdd(own, scale, group[r][v]);
      }
    }
  }
  LH_UNROLL for (int r = 0; r < kRows; ++r) {
    const V scale = hn::Set(F32(), in[r]->scale[static_cast<size_t>(g)]);
    LH_UNROLL for (int v = 0; v < kVectors; ++v) totals.add(r, v, group[r][v], scale);
  }
}

// The mins of group g, times the sum of its inputs.
template <int kHalves, int kRows, int kPanels>
HWY_INLINE void add_mins(const InputBlock* const (&in)[kRows], const WideScales (&scales)[kPanels],
                         int64_t g, Totals<kRows, kPanels>& totals) {
  LH_UNROLL for (int h = 0; h < kHalves; ++h) {
    LH_UNROLL for (int r = 0; r < kRows; ++r) {
      // The correction is -kCodeOffset times the sum of codes.
      const int32_t codes = correction_of<kHalves>(*in[r], g, h) / kCodeOffset;
      const V inputs =
          hn::Set(F32(), in[r]->scale[static_cast<size_t>(g)] * static_cast<float>(codes));
      LH_UNROLL for (int v = 0; v < kPanels * kPanelVectors; ++v) {
        const float* min = scales[v / kPanelVectors].min[g * kHalves + h];
        totals.add(r, v, hn::Load(F32(), min + v % kPanelVectors * kLanes), inputs);
      }
    }
  }
}

template <class Codes, int64_t kGroup, int kRows, int kPanels>
void grouped_microkernel(const MatmulTile& tile, int64_t row, int64_t panel) {
  constexpr int kHalves = static_cast<int>(kQuantGroup / kGroup);
  const auto& t = static_cast<const GroupedTile&>(tile);
  const auto* a = static_cast<const std::byte*>(t.a) + row * t.a_stride;
  const std::byte* const b = t.b.data + panel * t.b.panel_stride;
  const Bytes table = Codes::table_of(reinterpret_cast<const GroupedHeader*>(b)->levels.data());
  Totals<kRows, kPanels> totals;
  totals.load(t, row, panel);
  for (int64_t k_block = 0; k_block < blocks_of(t.k); ++k_block) {
    const std::byte* const block = b + sizeof(GroupedHeader) + k_block * t.block_bytes;
    WideScales scales[kPanels];
    LH_UNROLL for (int p = 0; p < kPanels; ++p) {
      t.widen_scales(b + p * t.b.panel_stride, block + p * t.b.panel_stride, scales[p]);
    }
    const InputBlock* in[kRows];
    LH_UNROLL for (int r = 0; r < kRows; ++r) in[r] =
        reinterpret_cast<const InputBlock*>(a + r * t.a_stride) + k_block;
    for (int64_t g = 0; g < kBlockGroups; ++g) {
      add_group<Codes, kHalves>(t, in, block, scales, g, table, totals);
      if (t.has_mins) add_mins<kHalves>(in, scales, g, totals);
    }
  }
  totals.store(t, row, panel);
}

template <class Codes, int64_t kGroup>
struct GroupedTiles : BlockTile {
  template <int kRows, int kPanels>
  static constexpr Microkernel kernel() {
    return grouped_microkernel<Codes, kGroup, kRows, kPanels>;
  }
};

template <class Codes, int64_t kGroup>
void run_grouped(const GroupedTile& tile) {
  static constexpr RegisterTiles tiles =
      make_register_tiles<GroupedTiles<Codes, kGroup>>(kBestRows);
  run_register_tiles(tiles, tile);
}

template <class Panels>
void multiply_grouped(const MatmulTile& tile) {
  using Codes = std::conditional_t<Panels::kBits == 4, Nibbles, CodeBytes>;
  run_grouped<Codes, Panels::kGroup>({tile, widen_scales<Panels>, Panels::kCodesAt,
                                      Panels::kLayout.block_bytes, Panels::kHasMins});
}

constexpr Products::Entry kGroupedProducts[] = {
#define LH_ENTRY(type, panels) {&grouped_codecs::type, multiply_grouped<panels>},
    LH_GROUPED_CODECS(LH_ENTRY)
#undef LH_ENTRY
};

#endif

}  // namespace HWY_NAMESPACE
}  // namespace longhaul
HWY_AFTER_NAMESPACE();

#endif
