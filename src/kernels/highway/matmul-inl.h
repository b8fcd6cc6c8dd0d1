// Matmul microkernels: R rows by P panels of sums stay in registers while k runs.
#if defined(LONGHAUL_KERNELS_CPU_MATMUL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LONGHAUL_KERNELS_CPU_MATMUL_INL_H_
#undef LONGHAUL_KERNELS_CPU_MATMUL_INL_H_
#else
#define LONGHAUL_KERNELS_CPU_MATMUL_INL_H_
#endif

#include <algorithm>

#include "kernels/highway/vector-inl.h"
#include "kernels/register_tiles.h"
#include "kernels/unroll.h"

HWY_BEFORE_NAMESPACE();
namespace longhaul {
namespace HWY_NAMESPACE {

// One step of one row: sum += a * b over the step's inputs, in order. An operand takes kInputs
// registers.
struct F32Step {
  using Element = float;
  static constexpr int kInputs = 1;
  struct A {
    V value;
  };
  struct B {
    V value;
  };
  static HWY_INLINE A load_a(const float* a) { return {hn::Set(F32(), *a)}; }
  static HWY_INLINE B load_b(const std::byte* b) {
    return {hn::LoadU(F32(), reinterpret_cast<const float*>(b))};
  }
  static HWY_INLINE V multiply_add(A a, B b, V sum) { return hn::MulAdd(a.value, b.value, sum); }
};

// A bf16 is the upper half of an f32: the pair's first element is shifted up, the second one
// masked.
struct Bf16Step {
  using Element = bf16;
  static constexpr int kInputs = 2;
  struct Pair {
    V first, second;
  };
  using A = Pair;
  using B = Pair;
  static HWY_INLINE Pair widen(hn::Vec<U32> pair) {
    return {hn::BitCast(F32(), hn::ShiftLeft<16>(pair)),
            hn::BitCast(F32(), hn::And(pair, hn::Set(U32(), 0xffff0000u)))};
  }
  static HWY_INLINE A load_a(const bf16* a) {
    uint32_t pair;
    std::memcpy(&pair, a, sizeof pair);
    return widen(hn::Set(U32(), pair));
  }
  static HWY_INLINE B load_b(const std::byte* b) {
    return widen(hn::LoadU(U32(), reinterpret_cast<const uint32_t*>(b)));
  }
  static HWY_INLINE V multiply_add(A a, B b, V sum) {
    return hn::MulAdd(a.second, b.second, hn::MulAdd(a.first, b.first, sum));
  }
};

// Columns of the vector that starts at `column`, 0 .. kLanes.
HWY_INLINE int64_t columns_in(const MatmulTile& t, int64_t column) {
  return std::clamp(t.n - column, int64_t{0}, kLanes);
}

template <class Step, int kRows, int kPanels>
void microkernel(const MatmulTile& t, int64_t row, int64_t panel) {
  constexpr int kVectors = kPanels * kPanelVectors;
  constexpr int64_t kVectorBytes = kLanes * 4;  // both operands hold 4 bytes an output and step
  const auto* a = static_cast<const typename Step::Element*>(t.a) + row * t.a_stride;
  const std::byte* b = t.b.data + panel * t.b.panel_stride;
  float* c = t.c + row * t.c_stride + panel * kPanel;
  V sum[kRows][kVectors];
  LH_UNROLL for (int r = 0; r < kRows; ++r) {
    LH_UNROLL for (int v = 0; v < kVectors; ++v) {
      const int64_t columns = t.accumulate ? columns_in(t, panel * kPanel + v * kLanes) : 0;
      const float* from = c + r * t.c_stride + v * kLanes;
      sum[r][v] = columns == kLanes ? hn::LoadU(F32(), from)
                  : columns > 0     ? load_n(from, columns)
                                    : hn::Zero(F32());
    }
  }
  for (int64_t k = 0; k < t.k; k += Step::kInputs) {
    if constexpr (kRows < kVectors) {  // the fewer operands stay in registers, the others pass
      typename Step::A inputs[kRows];
      LH_UNROLL for (int r = 0; r < kRows; ++r) inputs[r] = Step::load_a(a + r * t.a_stride + k);
      LH_UNROLL for (int v = 0; v < kVectors; ++v) {
        const auto weights = Step::load_b(b + v / kPanelVectors * t.b.panel_stride +
                                          v % kPanelVectors * kVectorBytes);
        LH_UNROLL for (int r = 0; r < kRows; ++r) sum[r][v] =
            Step::multiply_add(inputs[r], weights, sum[r][v]);
      }
    } else {
      typename Step::B weights[kVectors];
      LH_UNROLL for (int v = 0; v < kVectors; ++v) {
        weights[v] = Step::load_b(b + v / kPanelVectors * t.b.panel_stride +
                                  v % kPanelVectors * kVectorBytes);
      }
      LH_UNROLL for (int r = 0; r < kRows; ++r) {
        const auto input = Step::load_a(a + r * t.a_stride + k);
        LH_UNROLL for (int v = 0; v < kVectors; ++v) sum[r][v] =
            Step::multiply_add(input, weights[v], sum[r][v]);
      }
    }
    b += t.b.step_stride;
  }
  LH_UNROLL for (int r = 0; r < kRows; ++r) {
    LH_UNROLL for (int v = 0; v < kVectors; ++v) {
      const int64_t columns = columns_in(t, panel * kPanel + v * kLanes);
      float* to = c + r * t.c_stride + v * kLanes;
      if (columns == kLanes) {
        hn::StoreU(sum[r][v], F32(), to);
      } else if (columns > 0) {
        store_n(sum[r][v], columns, to);
      }
    }
  }
}

// Sums, the fewer of the two operands, and one of the other.
template <class Step>
constexpr bool fits_registers(int rows, int panels) {
  const int vectors = panels * kPanelVectors;
  return rows * vectors + Step::kInputs * (std::min(rows, vectors) + 1) <= kRegisters;
}

template <class Step>
struct StepKernels {
  static constexpr bool fits(int rows, int panels) { return fits_registers<Step>(rows, panels); }
  template <int kRows, int kPanels>
  static constexpr Microkernel kernel() {
    return microkernel<Step, kRows, kPanels>;
  }
};

void matmul_f32(const MatmulTile& tile) {
  static constexpr RegisterTiles tiles = make_register_tiles<StepKernels<F32Step>>(kBestRows);
  run_register_tiles(tiles, tile);
}

void matmul_bf16(const MatmulTile& tile) {
  static constexpr RegisterTiles tiles = make_register_tiles<StepKernels<Bf16Step>>(kBestRows);
  run_register_tiles(tiles, tile);
}

template <class Step>
HWY_INLINE int64_t peak(int64_t rounds) {
  constexpr int kSums = 12;
  typename Step::Element element{};
  alignas(64) std::byte bytes[64] = {};
  typename Step::Element pair[2] = {element, element};
  const auto a = Step::load_a(pair);
  const auto b = Step::load_b(bytes);
  V sum[kSums];
  LH_UNROLL for (int s = 0; s < kSums; ++s) sum[s] = constant(static_cast<float>(s));
  for (int64_t i = 0; i < rounds; ++i) {
    LH_UNROLL for (int s = 0; s < kSums; ++s) sum[s] = Step::multiply_add(a, b, sum[s]);
  }
  V total = sum[0];
  LH_UNROLL for (int s = 1; s < kSums; ++s) total = hn::Add(total, sum[s]);
  volatile float sink = hn::GetLane(hn::SumOfLanes(F32(), total));
  static_cast<void>(sink);
  return rounds * kSums * kLanes * Step::kInputs;
}

int64_t peak_f32(int64_t rounds) { return peak<F32Step>(rounds); }
int64_t peak_bf16(int64_t rounds) { return peak<Bf16Step>(rounds); }

}  // namespace HWY_NAMESPACE
}  // namespace longhaul
HWY_AFTER_NAMESPACE();

#endif
