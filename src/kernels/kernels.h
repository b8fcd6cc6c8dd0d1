// The kernel set: every inner loop of the engine, as plain functions over contiguous rows.
//
// `ref` is the truth the others are tested against (plain loops, f64 sums); `cpu` is Highway code
// compiled for each instruction set; `avx3_vnni` and `avx3_bf16` replace products by native dot
// instructions (x86/x86.h). The set is chosen once at start.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "base/errors.h"
#include "base/numbers.h"
#include "kernels/codecs/codecs.h"
#include "kernels/codecs/quant_blocks.h"

namespace longhaul {

// The products of a tier by the weight format that they multiply by. What it lacks runs on the
// codec's portable product.
class Products {
 public:
  struct Entry {
    const Codec* codec = nullptr;
    Product run = nullptr;
  };

  constexpr Products(std::initializer_list<Entry> entries) {
    for (const Entry& e : entries) set(*e.codec, e.run);
  }
  constexpr void set(const Codec& codec, Product run) {
    size_t i = 0;
    while (i < n_ && entries_[i].codec != &codec) ++i;
    if (i == n_) ++n_;
    entries_.at(i) = {&codec, run};
  }
  Product of(const Codec& codec) const {
    for (size_t i = 0; i < n_; ++i) {
      if (entries_[i].codec == &codec) return entries_[i].run;
    }
    return codec.product;
  }

 private:
  std::array<Entry, 32> entries_{};
  size_t n_ = 0;
};

enum class Activation { kGeluTanh, kSilu };

struct KernelSet {
  const char* name;

  // Plain formats first: attention looks them up a tile at a time. Of block formats tiles start at
  // a panel's header and at input 0; integer sums are exact, and f32 sums run block after block (of
  // formats that scale groups: group after group).
  Products products;

  // Rounds x[k] to 8 bits. coding: kInt8, or kRotatedInt8, which rotates each block first. The
  // largest magnitude of what shares a scale becomes code 127; codes are rounded to nearest even.
  // Writes blocks_of(k) blocks; inputs beyond k are zeros.
  //   rest  null, or room for as many blocks: what rounding took away, rounded in the same way
  void (*quantise_inputs)(const float* x, int64_t k, InputCoding coding, InputBlock* out,
                          InputBlock* rest);

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

  void matmul(const Codec& b, const MatmulTile& tile) const { products.of(b)(tile); }
  // Of plain operands, whatever they are: weights, keys or values.
  void matmul_f32(const MatmulTile& tile) const { matmul(kF32Codec, tile); }
  void matmul_bf16(const MatmulTile& tile) const { matmul(kBf16Codec, tile); }
};

const KernelSet& ref_kernels();
// Every set this machine can run, ref first, the fastest last.
std::span<const KernelSet* const> all_kernel_sets();
// The set named by LONGHAUL_KERNELS (ref, avx2, avx3, avx3_vnni, avx3_bf16, neon, ...) or the
// fastest one here; an unknown or unsupported name is an error that lists the names that work.
Result<const KernelSet*> choose_kernels();

}  // namespace longhaul
