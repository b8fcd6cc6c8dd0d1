// Block formats (quant_blocks.h). Integers: bytes become 16-bit halves, pairs of products are
// summed in 32 bits, all exact. E4M3: codes become pairs of bf16. One microkernel for any number of
// rows, which decodes in registers.
#if defined(LONGHAUL_KERNELS_CPU_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGHAUL_KERNELS_CPU_BLOCKS_INL_H_
#undef LONGHAUL_KERNELS_CPU_BLOCKS_INL_H_
#else
#define LONGHAUL_KERNELS_CPU_BLOCKS_INL_H_
#endif

#include <algorithm>

#include "kernels/codecs/e4m3.h"
#include "kernels/codecs/mxfp4.h"
#include "kernels/codecs/q4.h"
#include "kernels/codecs/q8.h"
#include "kernels/codecs/rotation.h"
#include "kernels/highway/matmul-inl.h"
#include "kernels/highway/vector-inl.h"
#include "kernels/register_tiles.h"
#include "kernels/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace longhaul {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR  // the last resort: no bytes to look up side by side

constexpr Products products() { return {{&kF32Codec, matmul_f32}, {&kBf16Codec, matmul_bf16}}; }
void quantise_inputs(const float* x, int64_t k, InputCoding coding, InputBlock* out) {
  ref_kernels().quantise_inputs(x, k, coding, out);
}
int64_t peak_int8(int64_t rounds) { return ref_kernels().peak_int8(rounds); }

#else

using U8 = hn::Repartition<uint8_t, F32>;
using I16 = hn::Repartition<int16_t, F32>;
using Bytes = hn::Vec<U8>;
using Halves = hn::Vec<I16>;
using Ints = hn::Vec<I32>;

constexpr int64_t kLineBytes = 64, kVectorBytes = kLanes * 4;
constexpr int64_t kGroupSteps = kQuantGroup / 4;

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

// Inputs 0 and 2, and 1 and 3, of each step of a group, as 16 bits.
struct GroupInputs {
  HWY_ALIGN int32_t even[kGroupSteps], odd[kGroupSteps];
};

HWY_INLINE void widen_inputs(const int8_t* codes, GroupInputs& out) {
  const hn::CappedTag<int32_t, static_cast<size_t>(kGroupSteps)> d;
  const hn::Repartition<int16_t, decltype(d)> d16;
  for (size_t step = 0; step < static_cast<size_t>(kGroupSteps); step += hn::Lanes(d)) {
    const auto both =
        hn::BitCast(d16, hn::LoadU(d, reinterpret_cast<const int32_t*>(codes) + step));
    hn::Store(hn::BitCast(d, hn::ShiftRight<8>(hn::ShiftLeft<8>(both))), d, out.even + step);
    hn::Store(hn::BitCast(d, hn::ShiftRight<8>(both)), d, out.odd + step);
  }
}

// What stands before a block's codes, as each format has it. sums() turns the exact sums of a
// block's groups into ones that share a scale and adds them; scale() is that scale for a vector of
// outputs. Of MXFP4 each group has its own.
struct Q8Scales {
  static constexpr bool kByGroup = false;
  static HWY_INLINE Ints multiplied(Ints sum, const std::byte*, int64_t, int64_t) { return sum; }
  static HWY_INLINE V scale(const std::byte*, const std::byte* block, int64_t, int64_t vector) {
    return hn::LoadU(F32(), reinterpret_cast<const float*>(block) + vector * kLanes);
  }
};
struct Q4ScalesAndMultipliers {
  static constexpr bool kByGroup = false;
  static HWY_INLINE Ints halves(const void* words, int64_t vector) {
    return hn::PromoteTo(I32(), hn::LoadU(hn::Rebind<uint16_t, F32>(),
                                          static_cast<const uint16_t*>(words) + vector * kLanes));
  }
  static HWY_INLINE Ints multiplied(Ints sum, const std::byte* block, int64_t g, int64_t vector) {
    const auto words = hn::BitCast(
        U32(), halves(reinterpret_cast<const Q4Scales*>(block)->multipliers.data(), vector));
    return hn::Mul(sum,
                   hn::BitCast(I32(), hn::And(hn::ShiftRightSame(words, static_cast<int>(4 * g)),
                                              hn::Set(U32(), 15))));
  }
  static HWY_INLINE V scale(const std::byte*, const std::byte* block, int64_t, int64_t vector) {
    return hn::BitCast(F32(), hn::ShiftLeft<16>(halves(
                                  reinterpret_cast<const Q4Scales*>(block)->scale.data(), vector)));
  }
};
struct Mxfp4Scales {
  static constexpr bool kByGroup = true;
  static HWY_INLINE Ints multiplied(Ints sum, const std::byte*, int64_t, int64_t) { return sum; }
  static HWY_INLINE V scale(const std::byte* header, const std::byte* block, int64_t g,
                            int64_t vector) {
    const hn::Rebind<uint8_t, F32> d8;
    const auto bytes =
        hn::LoadU(d8, reinterpret_cast<const uint8_t*>(block) + g * kPanel + vector * kLanes);
    const auto power = hn::BitCast(F32(), hn::ShiftLeft<23>(hn::PromoteTo(U32(), bytes)));
    return hn::Mul(hn::LoadU(F32(), reinterpret_cast<const float*>(header) + vector * kLanes),
                   power);
  }
};

// How lines of codes become lines of bytes.
struct ByteCodes {
  using Scales = Q8Scales;
  using Blocks = Q8Blocks;
  static constexpr int kLineSteps = 1;
  static HWY_INLINE void bytes(const std::byte* codes, Bytes, Bytes* out) {
    out[0] = hn::LoadU(U8(), reinterpret_cast<const uint8_t*>(codes));
  }
  static HWY_INLINE Bytes table() { return hn::Zero(U8()); }
};

template <class NibbleBlocks, class BlockScales>
struct NibbleCodes {
  using Scales = BlockScales;
  using Blocks = NibbleBlocks;
  static constexpr int kLineSteps = 2;
  static HWY_INLINE Bytes table() {
    return hn::Xor(hn::LoadDup128(U8(), reinterpret_cast<const uint8_t*>(Blocks::kLevels.data())),
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

// The exact sums of group g of a block, added to `sum`: those of each row and vector of outputs.
template <class Codes, int kRows, int kVectors>
HWY_INLINE void add_group(const std::byte* codes, int64_t panel_stride, const InputBlock* const* in,
                          int64_t g, Bytes table, Ints (&sum)[kRows][kVectors]) {
  GroupInputs inputs[kRows];
  LH_UNROLL for (int r = 0; r < kRows; ++r)
      widen_inputs(in[r]->codes.data() + g * kQuantGroup, inputs[r]);
  codes += g * kGroupSteps / Codes::kLineSteps * kLineBytes;
  for (int line = 0; line < kGroupSteps / Codes::kLineSteps; ++line) {
    LH_UNROLL for (int v = 0; v < kVectors; ++v) {
      Bytes bytes[Codes::kLineSteps];
      Codes::bytes(codes + line * kLineBytes + v / kPanelVectors * panel_stride +
                       v % kPanelVectors * kVectorBytes,
                   table, bytes);
      LH_UNROLL for (int s = 0; s < Codes::kLineSteps; ++s) {
        const int step = line * Codes::kLineSteps + s;
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

template <class Codes, int kRows, int kPanels>
void integer_microkernel(const MatmulTile& t, int64_t row, int64_t panel) {
  using Scales = typename Codes::Scales;
  using Blocks = typename Codes::Blocks;
  constexpr int kVectors = kPanels * kPanelVectors;
  const auto* a = static_cast<const std::byte*>(t.a) + row * t.a_stride;
  const std::byte* const b = t.b.data + panel * t.b.panel_stride;
  const Bytes table = Codes::table();
  Totals<kRows, kPanels> totals;
  totals.load(t, row, panel);
  for (int64_t k_block = 0; k_block < blocks_of(t.k); ++k_block) {
    const std::byte* const block =
        b + Blocks::kLayout.header(0) + k_block * Blocks::kLayout.block_bytes;
    const InputBlock* in[kRows];
    LH_UNROLL for (int r = 0; r < kRows; ++r) in[r] =
        reinterpret_cast<const InputBlock*>(a + r * t.a_stride) + k_block;
    const auto add_to_totals = [&](const Ints(&sum)[kRows][kVectors], int64_t g) HWY_ATTR {
      LH_UNROLL for (int v = 0; v < kVectors; ++v) {
        const int64_t skipped = v / kPanelVectors * t.b.panel_stride;
        const V scale = Scales::scale(b + skipped, block + skipped, g, v % kPanelVectors);
        LH_UNROLL for (int r = 0; r < kRows; ++r) {
          totals.add(r, v, hn::ConvertTo(F32(), sum[r][v]),
                     hn::Mul(scale, hn::Set(F32(), in[r]->scale[static_cast<size_t>(g)])));
        }
      }
    };
    Ints whole[kRows][kVectors];
    LH_UNROLL for (int r = 0; r < kRows; ++r) {
      LH_UNROLL for (int v = 0; v < kVectors; ++v) whole[r][v] = hn::Zero(I32());
    }
    for (int64_t g = 0; g < kBlockGroups; ++g) {
      Ints sum[kRows][kVectors];
      LH_UNROLL for (int r = 0; r < kRows; ++r) {
        LH_UNROLL for (int v = 0; v < kVectors; ++v) sum[r][v] =
            hn::Set(I32(), in[r]->correction[static_cast<size_t>(g)]);
      }
      add_group<Codes>(block + Blocks::kScaleBytes, t.b.panel_stride, in, g, table, sum);
      if constexpr (Scales::kByGroup) {
        add_to_totals(sum, g);
        continue;
      }
      LH_UNROLL for (int v = 0; v < kVectors; ++v) {
        const std::byte* own = block + v / kPanelVectors * t.b.panel_stride;
        LH_UNROLL for (int r = 0; r < kRows; ++r) {
          whole[r][v] =
              hn::Add(whole[r][v], Scales::multiplied(sum[r][v], own, g, v % kPanelVectors));
        }
      }
    }
    if constexpr (!Scales::kByGroup) add_to_totals(whole, 0);
  }
  totals.store(t, row, panel);
}

// Pairs of bf16 from E4M3. Magnitudes below 8 are subnormal there (multiples of 2^-9) and normal in
// bf16.
HWY_INLINE void e4m3_to_bf16(Bytes code, hn::Vec<U32>* out) {
  const U8 d;
  HWY_ALIGN static constexpr uint8_t kLow[16] = {0x00, 0x00, 0x80, 0xc0, 0x00, 0x20, 0x40, 0x60};
  HWY_ALIGN static constexpr uint8_t kHigh[16] = {0x00, 0x3b, 0x3b, 0x3b, 0x3c, 0x3c, 0x3c, 0x3c};
  const auto magnitude = hn::And(code, hn::Set(d, 0x7f));
  const auto is_small = hn::Eq(hn::And(code, hn::Set(d, 0x78)), hn::Zero(d));
  const auto index = hn::And(code, hn::Set(d, 7));
  const auto shifted =
      hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(I16(), magnitude))), hn::Set(d, 7));
  const auto high = hn::IfThenElse(is_small, hn::TableLookupBytes(hn::LoadDup128(d, kHigh), index),
                                   hn::Add(shifted, hn::Set(d, 0x3c)));
  const auto left =
      hn::And(hn::BitCast(d, hn::ShiftLeft<4>(hn::BitCast(I16(), magnitude))), hn::Set(d, 0xf0));
  const auto low =
      hn::IfThenElse(is_small, hn::TableLookupBytes(hn::LoadDup128(d, kLow), index), left);
  const auto signed_high = hn::Or(high, hn::And(code, hn::Set(d, 0x80)));
  out[0] = hn::BitCast(U32(), hn::InterleaveLower(d, low, signed_high));
  out[1] = hn::BitCast(U32(), hn::InterleaveUpper(d, low, signed_high));
}

template <int kRows, int kPanels>
void f8_microkernel(const MatmulTile& t, int64_t row, int64_t panel) {
  constexpr int kVectors = kPanels * kPanelVectors;
  const bf16* const a = static_cast<const bf16*>(t.a) + row * t.a_stride;
  const std::byte* const b = t.b.data + panel * t.b.panel_stride;
  Totals<kRows, kPanels> totals;
  totals.load(t, row, panel);
  for (int64_t block = 0; block < blocks_of(t.k); ++block) {
    const std::byte* const codes =
        b + E4m3Blocks::kLayout.header(t.k) + block * E4m3Blocks::kLayout.block_bytes;
    V sum[kRows][kVectors];
    LH_UNROLL for (int r = 0; r < kRows; ++r) {
      LH_UNROLL for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(F32());
    }
    for (int64_t line = 0; line < kQuantBlock / 4; ++line) {
      const bf16* const inputs = a + block * kQuantBlock + line * 4;
      LH_UNROLL for (int v = 0; v < kVectors; ++v) {
        const std::byte* from = codes + line * kLineBytes + v / kPanelVectors * t.b.panel_stride +
                                v % kPanelVectors * kVectorBytes;
        hn::Vec<U32> pairs[2];
        e4m3_to_bf16(hn::LoadU(U8(), reinterpret_cast<const uint8_t*>(from)), pairs);
        LH_UNROLL for (int s = 0; s < 2; ++s) {
          const auto weights = Bf16Step::widen(pairs[s]);
          LH_UNROLL for (int r = 0; r < kRows; ++r) {
            sum[r][v] = Bf16Step::multiply_add(Bf16Step::load_a(inputs + r * t.a_stride + 2 * s),
                                               weights, sum[r][v]);
          }
        }
      }
    }
    LH_UNROLL for (int v = 0; v < kVectors; ++v) {
      const V scale = hn::Set(
          F32(), reinterpret_cast<const float*>(b + v / kPanelVectors * t.b.panel_stride)[block]);
      LH_UNROLL for (int r = 0; r < kRows; ++r) totals.add(r, v, sum[r][v], scale);
    }
  }
  totals.store(t, row, panel);
}

struct BlockTile {
  // Sums, next to what turns a vector of codes into operands.
  static constexpr bool fits(int rows, int panels) {
    return rows * panels * kPanelVectors + 8 <= kRegisters || rows * panels == 1;
  }
};
template <class Codes>
struct IntegerTile : BlockTile {
  template <int kRows, int kPanels>
  static constexpr Microkernel kernel() {
    return integer_microkernel<Codes, kRows, kPanels>;
  }
};
struct F8Tile : BlockTile {
  template <int kRows, int kPanels>
  static constexpr Microkernel kernel() {
    return f8_microkernel<kRows, kPanels>;
  }
};

template <class Tile>
void multiply_blocks(const MatmulTile& tile) {
  static constexpr RegisterTiles tiles = make_register_tiles<Tile>(kBestRows);
  run_register_tiles(tiles, tile);
}

constexpr Products products() {
  using Q4Codes = NibbleCodes<Q4Blocks, Q4ScalesAndMultipliers>;
  using Mxfp4Codes = NibbleCodes<Mxfp4Blocks, Mxfp4Scales>;
  return {{&kF32Codec, matmul_f32},
          {&kBf16Codec, matmul_bf16},
          {&kQ8Codec, multiply_blocks<IntegerTile<ByteCodes>>},
          {&kQ4Codec, multiply_blocks<IntegerTile<Q4Codes>>},
          {&kMxfp4Codec, multiply_blocks<IntegerTile<Mxfp4Codes>>},
          {&kE4m3Codec, multiply_blocks<F8Tile>}};
}

HWY_INLINE float largest_magnitude(const float* x) {
  V largest = hn::Zero(F32());
  for (int64_t i = 0; i < kQuantBlock; i += kLanes)
    largest = hn::Max(largest, hn::Abs(hn::LoadU(F32(), x + i)));
  return hn::GetLane(hn::MaxOfLanes(F32(), largest));
}

HWY_INLINE void quantise_block(const float* x, InputBlock& out) {
  const float largest = largest_magnitude(x);
  const bool is_zero = largest < kLeastInput;
  const V to_code = hn::Set(F32(), is_zero ? 0.0f : 127.0f / largest);
  out.scale.fill(is_zero ? 0.0f : largest / 127.0f);
  out.block_correction = 0;
  for (int64_t g = 0; g < kBlockGroups; ++g) {
    Ints sum = hn::Zero(I32());
    for (int64_t i = g * kQuantGroup; i < (g + 1) * kQuantGroup; i += kLanes) {
      const auto code =
          hn::Min(hn::NearestInt(hn::Mul(hn::LoadU(F32(), x + i), to_code)), hn::Set(I32(), 127));
      const auto clamped = hn::Max(code, hn::Set(I32(), -127));
      sum = hn::Add(sum, clamped);
      hn::StoreU(hn::DemoteTo(hn::Rebind<int8_t, F32>(), clamped), hn::Rebind<int8_t, F32>(),
                 out.codes.data() + i);
    }
    const int32_t correction = -kCodeOffset * hn::GetLane(hn::SumOfLanes(I32(), sum));
    out.correction[static_cast<size_t>(g)] = correction;
    out.block_correction += correction;
  }
}

constexpr int kBlockVectors = static_cast<int>(kQuantBlock / kLanes);

// Sums and differences of inputs that stand kHalf apart in one vector.
template <int64_t kHalf>
HWY_INLINE V rotate_within(V x) {
  HWY_ALIGN int32_t partner[kLanes];
  HWY_ALIGN float sign[kLanes];
  LH_UNROLL for (int64_t i = 0; i < kLanes; ++i) {
    partner[i] = static_cast<int32_t>(i ^ kHalf);
    sign[i] = (i & kHalf) == 0 ? 0.0f : -0.0f;
  }
  const V own = hn::Xor(x, hn::Load(F32(), sign));
  return hn::Add(hn::TableLookupLanes(x, hn::SetTableIndices(F32(), partner)), own);
}

// The rounds of walsh_hadamard() from kHalf on.
template <int64_t kHalf>
HWY_INLINE void rotate_rounds(V (&x)[kBlockVectors]) {
  if constexpr (kHalf >= kLanes) {
    constexpr int kApart = static_cast<int>(kHalf / kLanes);
    LH_UNROLL for (int first = 0; first < kBlockVectors; first += 2 * kApart) {
      LH_UNROLL for (int i = first; i < first + kApart; ++i) {
        const V a = x[i], b = x[i + kApart];
        x[i] = hn::Add(a, b);
        x[i + kApart] = hn::Sub(a, b);
      }
    }
  } else {
    LH_UNROLL for (V& inputs : x) inputs = rotate_within<kHalf>(inputs);
  }
  if constexpr (2 * kHalf < kQuantBlock) rotate_rounds<2 * kHalf>(x);
}

// rotate_back() to the bit.
HWY_INLINE void rotate_back(const float* x, float* out) {
  V inputs[kBlockVectors];
  LH_UNROLL for (int i = 0; i < kBlockVectors; ++i) {
    inputs[i] = hn::Mul(hn::LoadU(F32(), x + i * kLanes), hn::Set(F32(), kRotationScale));
  }
  rotate_rounds<1>(inputs);
  LH_UNROLL for (int i = 0; i < kBlockVectors; ++i) hn::Store(inputs[i], F32(), out + i * kLanes);
}

void quantise_inputs(const float* x, int64_t k, InputCoding coding, InputBlock* out) {
  for (int64_t b = 0; b < blocks_of(k); ++b) {
    const int64_t first = b * kQuantBlock, count = std::min(k - first, kQuantBlock);
    float tail[kQuantBlock] = {};
    if (count < kQuantBlock) std::copy_n(x + first, count, tail);
    const float* inputs = count == kQuantBlock ? x + first : tail;
    HWY_ALIGN float rotated[kQuantBlock];
    if (coding == InputCoding::kRotatedInt8) {
      rotate_back(inputs, rotated);
      inputs = rotated;
    }
    quantise_block(inputs, out[b]);
  }
}

int64_t peak_int8(int64_t rounds) {
  constexpr int kPeakSums = 6;
  const auto ones = hn::Set(I16(), 1);
  Ints sum[kPeakSums];
  LH_UNROLL for (int s = 0; s < kPeakSums; ++s) sum[s] = hn::Set(I32(), s);
  for (int64_t i = 0; i < rounds; ++i) {
    LH_UNROLL for (int s = 0; s < kPeakSums; ++s) sum[s] =
        hn::Add(sum[s], pair_products(ones, hn::BitCast(I16(), sum[s])));
  }
  Ints total = sum[0];
  LH_UNROLL for (int s = 1; s < kPeakSums; ++s) total = hn::Add(total, sum[s]);
  volatile int32_t sink = hn::GetLane(hn::SumOfLanes(I32(), total));
  static_cast<void>(sink);
  return rounds * kPeakSums * kLanes * 2;
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace longhaul
HWY_AFTER_NAMESPACE();

#endif
