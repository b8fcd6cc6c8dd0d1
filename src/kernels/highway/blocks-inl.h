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
#include "kernels/highway/integers-inl.h"
#include "kernels/highway/matmul-inl.h"
#include "kernels/highway/vector-inl.h"
#include "kernels/register_tiles.h"
#include "kernels/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace longhaul {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR  // the last resort: no bytes to look up side by side

constexpr Products products() { return {{&kF32Codec, matmul_f32}, {&kBf16Codec, matmul_bf16}}; }
void quantise_inputs(const float* x, int64_t k, InputCoding coding, InputBlock* out,
                     InputBlock* rest) {
  ref_kernels().quantise_inputs(x, k, coding, out, rest);
}
int64_t peak_int8(int64_t rounds) { return ref_kernels().peak_int8(rounds); }

#else

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

struct ByteCodes : CodeBytes {
  using Scales = Q8Scales;
  using Blocks = Q8Blocks;
  static HWY_INLINE Bytes table() { return table_of(nullptr); }
};
template <class NibbleBlocks, class BlockScales>
struct NibbleCodes : Nibbles {
  using Scales = BlockScales;
  using Blocks = NibbleBlocks;
  static HWY_INLINE Bytes table() { return table_of(Blocks::kLevels.data()); }
};

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
      const std::byte* const lines =
          block + Blocks::kScaleBytes + g * kGroupSteps / Codes::kLineSteps * kLineBytes;
      StepInputs inputs[kRows];
      widen_group(in, g, inputs);
      add_steps<Codes, kGroupSteps>(lines, t.b.panel_stride, inputs, 0, table, sum);
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

HWY_INLINE float largest_magnitude(const float* x, int64_t n) {
  V largest = hn::Zero(F32());
  for (int64_t i = 0; i < n; i += kLanes)
    largest = hn::Max(largest, hn::Abs(hn::LoadU(F32(), x + i)));
  return hn::GetLane(hn::MaxOfLanes(F32(), largest));
}

// How inputs that share a scale are rounded.
struct Step {
  float scale, to_code;
};
HWY_INLINE Step step_of(const float* x, int64_t n) {
  const float largest = largest_magnitude(x, n);
  return largest < kLeastInput ? Step{0.0f, 0.0f} : Step{largest / 127.0f, 127.0f / largest};
}

// Codes of half a group, and the correction of their sum.
HWY_INLINE int32_t round_to_codes(const float* x, float to_code, int8_t* codes) {
  Ints sum = hn::Zero(I32());
  for (int64_t i = 0; i < kHalfGroup; i += kLanes) {
    const auto code =
        hn::Min(hn::NearestInt(hn::Mul(hn::LoadU(F32(), x + i), hn::Set(F32(), to_code))),
                hn::Set(I32(), 127));
    const auto clamped = hn::Max(code, hn::Set(I32(), -127));
    sum = hn::Add(sum, clamped);
    hn::StoreU(hn::DemoteTo(hn::Rebind<int8_t, F32>(), clamped), hn::Rebind<int8_t, F32>(),
               codes + i);
  }
  return -kCodeOffset * hn::GetLane(hn::SumOfLanes(I32(), sum));
}

HWY_INLINE void quantise_block(const float* x, InputCoding coding, InputBlock& out) {
  Step step{};
  if (coding == InputCoding::kRotatedInt8) step = step_of(x, kQuantBlock);
  out.block_correction = 0;
  for (int64_t g = 0; g < kBlockGroups; ++g) {
    const float* group = x + g * kQuantGroup;
    if (coding == InputCoding::kInt8) step = step_of(group, kQuantGroup);
    int8_t* codes = out.codes.data() + g * kQuantGroup;
    const int32_t first = round_to_codes(group, step.to_code, codes),
                  second = round_to_codes(group + kHalfGroup, step.to_code, codes + kHalfGroup);
    const auto at = static_cast<size_t>(g);
    out.scale[at] = step.scale;
    out.half_correction[at] = first;
    out.correction[at] = first + second;
    out.block_correction += first + second;
  }
}

// What rounding took away. May be x.
HWY_INLINE void rest_of(const float* x, const InputBlock& rounded, float* rest) {
  for (int64_t i = 0; i < kQuantBlock; i += kLanes) {
    const auto code = hn::ConvertTo(
        F32(),
        hn::PromoteTo(I32(), hn::LoadU(hn::Rebind<int8_t, F32>(), rounded.codes.data() + i)));
    const V scale = hn::Set(F32(), rounded.scale[static_cast<size_t>(i / kQuantGroup)]);
    hn::StoreU(hn::NegMulAdd(scale, code, hn::LoadU(F32(), x + i)), F32(), rest + i);
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

void quantise_inputs(const float* x, int64_t k, InputCoding coding, InputBlock* out,
                     InputBlock* rest) {
  for (int64_t b = 0; b < blocks_of(k); ++b) {
    const int64_t first = b * kQuantBlock, count = std::min(k - first, kQuantBlock);
    float tail[kQuantBlock] = {};
    if (count < kQuantBlock) std::copy_n(x + first, count, tail);
    const float* inputs = count == kQuantBlock ? x + first : tail;
    HWY_ALIGN float own[kQuantBlock];
    if (coding == InputCoding::kRotatedInt8) {
      rotate_back(inputs, own);
      inputs = own;
    }
    quantise_block(inputs, coding, out[b]);
    if (rest == nullptr) continue;
    rest_of(inputs, out[b], own);
    quantise_block(own, coding, rest[b]);
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
