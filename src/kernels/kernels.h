// The kernel set: every inner loop of the engine, as plain functions over contiguous rows.
//
// `ref` is the truth the others are tested against (plain loops, f64 sums); `cpu` is Highway code
// compiled for each instruction set; `avx3_vnni` and `avx3_bf16` replace products by native dot
// instructions (x86/x86.h). The set is chosen once at start.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/check.h"
#include "base/errors.h"
#include "base/numbers.h"
#include "kernels/codecs/panels.h"

namespace longhaul {

// C [M, N] = A [M, K] * B, or C += with accumulate. Sums and C are f32. An output's sum runs over k
// in order, whatever M and N are, and goes on from C as if it had not paused, where a product is
// cut at a multiple of kPanel inputs (of whole blocks in block formats). B says what A is:
//   f32, bf16          rows of the same type, K padded to a whole step with zeros
//   kQ8, kQ4, kF4      rows of InputBlock, K padded to whole blocks
//   kF8E4M3            rows of bf16, K padded to whole blocks with zeros
struct MatmulTile {
  const void* a = nullptr;
  int64_t a_stride = 0;  // elements from row to row; bytes where rows are of InputBlock
  Panels b;
  float* c = nullptr;
  int64_t c_stride = 0;         // elements from row to row
  int64_t m = 0, n = 0, k = 0;  // n need not fill its last panel: only n columns of C are written
  bool accumulate = false;
};

enum class Activation { kGeluTanh, kSilu };

struct KernelSet {
  const char* name;

  void (*matmul_f32)(const MatmulTile&);
  void (*matmul_bf16)(const MatmulTile&);
  // Block formats (quant_blocks.h): tiles start at a panel's header and at input 0. Integer sums
  // are exact; in f32, block after block,
  //   C += (scale * input scale) * sum   of kQ8, and of kQ4, whose sums have their multipliers in
  //   them; of kF4 group after group C += scale * sum                   of kF8E4M3
  void (*matmul_q8)(const MatmulTile&);
  void (*matmul_q4)(const MatmulTile&);
  void (*matmul_f4)(const MatmulTile&);
  void (*matmul_f8)(const MatmulTile&);

  // Each group's largest magnitude becomes code 127; codes are rounded to nearest even. Writes
  // blocks_of(k) blocks, zeros beyond k.
  void (*quantise_inputs)(const float* x, int64_t k, InputBlock* out);

  void (*to_bf16)(const float* x, int64_t n, bf16* out);  // round to nearest even
  void (*to_f32)(const bf16* x, int64_t n, float* out);
  void (*bytes_to_bf16)(const int8_t* x, int64_t n, bf16* out);  // exact

  // out = x * rsqrt(mean(x^2) + eps) * w; w may be null (all ones); out may be x. Zhang & Sennrich
  // 2019, eq. 4, with eps inside.
  void (*rms_norm)(const float* x, const float* w, float eps, int64_t n, float* out);
  // Rotates the pairs (x[i], x[i + half]), i < half, by the angles whose cosines and sines are
  // given. In place.
  void (*rope)(float* x, const float* cos, const float* sin, int64_t half);
  // out = activation(gate) * up; out may be gate or up.
  void (*gated_activation)(Activation, const float* gate, const float* up, int64_t n, float* out);
  void (*softcap)(float* x, int64_t n, float cap);                       // x = cap * tanh(x / cap)
  void (*add)(float* x, const float* y, int64_t n);                      // x += y
  void (*add_scaled)(float* x, const float* y, float scale, int64_t n);  // x += scale * y
  void (*add_scaled_relu)(float* x, const float* y, float scale,
                          int64_t n);                         // x += scale * max(y, 0)
  void (*clamp)(float* x, float low, float high, int64_t n);  // x = min(max(x, low), high)
  float (*sum_of_squares)(const float* x, int64_t n);
  void (*scale)(float* x, float factor, int64_t n);             // x *= factor
  void (*scale_by)(float* x, const float* factors, int64_t n);  // x *= factors, element by element
  void (*softmax)(float* x, int64_t n);                         // in place, over all n

  // One step of the online softmax of one query row (Milakov & Gimelshein 2018, alg. 3) over a tile
  // of scores: positions outside [begin, end) get weight 0; the rest becomes exp(scale * score -
  // new max), scale > 0. Updates the row's running max (starts at -inf) and sum, returns the factor
  // by which what was accumulated so far must be multiplied (1 where the max did not change). An
  // empty range writes zeros, changes nothing and returns 1.
  float (*softmax_step)(const float* scores, int64_t n, int64_t begin, int64_t end, float scale,
                        float* running_max, float* running_sum, float* weights);
  float (*softmax_step_bf16)(const float* scores, int64_t n, int64_t begin, int64_t end,
                             float scale, float* running_max, float* running_sum, bf16* weights);

  // Multiply-adds on registers alone, with the instruction that matmul_* uses: what the roofline
  // calls the peak. Returns how many multiply-adds it did.
  int64_t (*peak_f32)(int64_t rounds);
  int64_t (*peak_bf16)(int64_t rounds);
  int64_t (*peak_int8)(int64_t rounds);

  void matmul(DType b, const MatmulTile& tile) const {
    switch (b) {
      case DType::kF32: return matmul_f32(tile);
      case DType::kBF16: return matmul_bf16(tile);
      case DType::kQ8: return matmul_q8(tile);
      case DType::kQ4: return matmul_q4(tile);
      case DType::kF4: return matmul_f4(tile);
      case DType::kF8E4M3: return matmul_f8(tile);
      default: LH_CHECK(!"a dtype of packed operands");
    }
  }
};

const KernelSet& ref_kernels();
// Every set this machine can run, ref first, the fastest last.
std::span<const KernelSet* const> all_kernel_sets();
// The set named by LONGHAUL_KERNELS (ref, avx2, avx3, avx3_vnni, avx3_bf16, neon, ...) or the
// fastest one here; an unknown or unsupported name is an error that lists the names that work.
Result<const KernelSet*> choose_kernels();

}  // namespace longhaul
