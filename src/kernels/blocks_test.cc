// Products of the block formats, and of all formats together: every set against ref, and the rules
// that hold for all products.
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/codecs/e4m3.h"
#include "kernels/codecs/grouped.h"
#include "kernels/codecs/mxfp4.h"
#include "kernels/codecs/q4.h"
#include "kernels/codecs/q8.h"
#include "kernels/codecs/rotation.h"
#include "kernels/cpu/matmul.h"
#include "kernels/kernels_testing.h"
#include "kernels/packed_testing.h"

namespace longhaul {
namespace {

constexpr const Codec* kPlain[] = {&kF32Codec, &kBf16Codec};
// Of grouped codes one codec of each kind of panels.
constexpr const Codec* kIntegers[] = {&kQ8Codec,
                                      &kQ4Codec,
                                      &kMxfp4Codec,
                                      &grouped_codecs::kQ4_0,
                                      &grouped_codecs::kQ4_1,
                                      &grouped_codecs::kQ8_0,
                                      &grouped_codecs::kQ5_1,
                                      &grouped_codecs::kQ2_K,
                                      &grouped_codecs::kQ3_K,
                                      &grouped_codecs::kQ4_K,
                                      &grouped_codecs::kQ5_K,
                                      &grouped_codecs::kQ6_K,
                                      &grouped_codecs::kIQ4_XS,
                                      &grouped_codecs::kNVFP4};
constexpr auto kFormats = [] {
  std::array<const Codec*, std::size(kIntegers) + 1> all{};
  std::copy(std::begin(kIntegers), std::end(kIntegers), all.begin());
  all.back() = &kE4m3Codec;
  return all;
}();

bool has_mins(const Codec* codec) {
  using namespace grouped_codecs;
  const Codec* with_mins[] = {&kQ4_1, &kQ5_1, &kQ2_K, &kQ4_K, &kQ5_K};
  return std::find(std::begin(with_mins), std::end(with_mins), codec) != std::end(with_mins);
}

struct Operands {
  int64_t m, n, k;
  const Codec* codec;
  std::vector<float> x;
  AlignedBytes weights;

  Operands(int64_t m_, int64_t n_, int64_t k_, const Codec* codec_)
      : m(m_),
        n(n_),
        k(k_),
        codec(codec_),
        x(random_floats(m_ * k_, 12)),
        weights(random_weights(codec_, n_, k_, 13)) {}

  int64_t input_stride() const {
    return blocks_of(k) *
           (is_int8(codec->inputs) ? static_cast<int64_t>(sizeof(InputBlock)) : kQuantBlock);
  }

  // As ref rounds them, so that all sets get the same.
  AlignedBytes inputs() const {
    AlignedBytes bytes(static_cast<uint64_t>(m * input_stride() * 2));
    for (int64_t r = 0; r < m; ++r) {
      if (is_int8(codec->inputs)) {
        ref_kernels().quantise_inputs(
            x.data() + r * k, k, codec->inputs,
            reinterpret_cast<InputBlock*>(bytes.data() + r * input_stride()), nullptr);
      } else {
        ref_kernels().to_bf16(x.data() + r * k, k,
                              reinterpret_cast<bf16*>(bytes.data()) + r * input_stride());
      }
    }
    return bytes;
  }

  // Rows [row, row + rows) of C, with room for one more column to see that none is written beyond
  // n.
  std::vector<float> multiply(const KernelSet& set, const AlignedBytes& inputs, int64_t row,
                              int64_t rows, bool accumulate) const {
    std::vector<float> c(static_cast<size_t>(rows * (n + 1)), 0.5f);
    set.matmul(*codec,
               {.a = inputs.data() + row * input_stride() * (is_int8(codec->inputs) ? 1 : 2),
                .a_stride = input_stride(),
                .b = PackedMatrix{weights.data(), codec, n, k}.panels(),
                .c = c.data(),
                .c_stride = n + 1,
                .m = rows,
                .n = n,
                .k = k,
                .accumulate = accumulate});
    return c;
  }
};

TEST(BlockMatmul, MatchesRefAndWritesOnlyItsColumns) {
  for (const Codec* codec : kFormats) {
    for (int64_t n : {1, 15, 16, 17, 63, 150}) {
      for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 30}) {
        for (int64_t k : {1, 32, 127, 128, 129, 700}) {
          if (n > 17 && m > 9 && k < 700) continue;
          const Operands operands(m, n, k, codec);
          const AlignedBytes inputs = operands.inputs();
          for (bool accumulate : {false, true}) {
            const auto expected = operands.multiply(ref_kernels(), inputs, 0, m, accumulate);
            for (const KernelSet* set : sets_but_ref()) {
              const auto actual = operands.multiply(*set, inputs, 0, m, accumulate);
              // Integers: exact sums of 32 products, then at most 22 steps of three roundings
              // (2^-24). E4M3: a rounding a product. One output alone may have lost digits to
              // cancellation, and where there are mins most of a sum is cancelled.
              ASSERT_LT(nmse(actual, expected), has_mins(codec) ? 1e-10 : 1e-12)
                  << set->name << " " << codec->name << " " << m << "x" << n << "x" << k;
              for (int64_t r = 0; r < m; ++r)
                ASSERT_EQ(actual[static_cast<size_t>(r * (n + 1) + n)], 0.5f) << set->name;
            }
          }
        }
      }
    }
  }
}

TEST(BlockMatmul, RowDoesNotDependOnTheRowsBesideIt) {
  for (const Codec* codec : kFormats) {
    const Operands operands(30, 150, 700, codec);
    const AlignedBytes inputs = operands.inputs();
    for (const KernelSet* set : all_kernel_sets()) {
      const auto all = operands.multiply(*set, inputs, 0, operands.m, true);
      for (int64_t m = 1; m <= 30; ++m) {
        const auto some = operands.multiply(*set, inputs, 30 - m, m, true);
        ASSERT_TRUE(bitwise_equal(some, std::span(all).last(some.size())))
            << set->name << " " << codec->name << " m=" << m;
      }
    }
  }
}

TEST(BlockMatmul, OutputDoesNotDependOnThePanelsBesideIt) {
  for (const Codec* codec : kFormats) {
    const Operands operands(3, 90, 300, codec);
    const AlignedBytes inputs = operands.inputs();
    for (const KernelSet* set : all_kernel_sets()) {
      const auto all = operands.multiply(*set, inputs, 0, 3, false);
      Operands first(3, 90, 300, codec);
      first.n = 20;
      const auto some = first.multiply(*set, inputs, 0, 3, false);
      for (size_t r = 0; r < 3; ++r) {
        ASSERT_TRUE(
            bitwise_equal(std::span(some).subspan(r * 21, 20), std::span(all).subspan(r * 91, 20)))
            << set->name;
      }
    }
  }
}

TEST(BlockMatmul,
     TiersOfFusedMultiplyAddsAgreeBitByBit) {  // their sums are exact and their f32 steps the same
  for (const Codec* codec : kIntegers) {
    const Operands operands(9, 70, 500, codec);
    const AlignedBytes inputs = operands.inputs();
    const KernelSet& best = *all_kernel_sets().back();
    const auto expected = operands.multiply(best, inputs, 0, 9, false);
    for (const KernelSet* set : sets_but_ref()) {
      const std::string_view name = set->name;
      if (!name.starts_with("avx") && name != "neon") continue;
      EXPECT_TRUE(bitwise_equal(operands.multiply(*set, inputs, 0, 9, false), expected))
          << name << " " << codec->name;
    }
  }
}

// Inputs and weights at their largest: no sum may saturate.
TEST(BlockMatmul, LargestValuesDoNotSaturate) {
  for (const Codec* codec : kIntegers) {
    Operands operands(2, 16, 128, codec);
    operands.x.assign(operands.x.size(), 1.0f);
    for (uint8_t code : {0x00, 0x77, 0xff}) {
      const PackedMatrix matrix{operands.weights.data(), codec, 16, 128};
      const int64_t code_bytes = codec->layout.block_bytes > kByteCodes ? kByteCodes : kNibbleCodes;
      const int64_t codes_at = matrix.panel_bytes() - code_bytes;
      std::memset(operands.weights.data() + codes_at, code,
                  static_cast<size_t>(matrix.panel_bytes() - codes_at));
      const AlignedBytes inputs = operands.inputs();
      const auto expected = operands.multiply(ref_kernels(), inputs, 0, 2, false);
      for (const KernelSet* set : sets_but_ref())
        EXPECT_LT(nmse(operands.multiply(*set, inputs, 0, 2, false), expected), 1e-13) << set->name;
    }
  }
}

TEST(QuantiseInputs, EverySetWritesTheBytesOfRef) {
  for (int64_t k : {1, 31, 32, 33, 127, 128, 129, 1000}) {
    auto x = random_floats(k, 3);
    x[0] = 0.5f;
    if (k > 200) {
      std::fill_n(x.begin() + 128, 128, 0.0f);
      std::fill_n(x.begin() + 256, 128, 1e-38f);
      std::fill_n(x.begin() + 384, 128, -3e38f);
      for (size_t i = 0; i < 128; ++i)
        x[512 + i] = static_cast<float>(i) - 64.5f;  // with 127 * 2^-n: ties
      x[512] = 127.0f;
    }
    for (const InputCoding coding : {InputCoding::kInt8, InputCoding::kRotatedInt8}) {
      std::vector<InputBlock> expected(static_cast<size_t>(blocks_of(k)));
      ref_kernels().quantise_inputs(x.data(), k, coding, expected.data(), nullptr);
      for (const KernelSet* set : sets_but_ref()) {
        std::vector<InputBlock> actual(expected.size());
        std::memset(actual.data(), 0x55, actual.size() * sizeof(InputBlock));
        set->quantise_inputs(x.data(), k, coding, actual.data(), nullptr);
        EXPECT_EQ(std::memcmp(actual.data(), expected.data(), actual.size() * sizeof(InputBlock)),
                  0)
            << set->name << " k=" << k;
      }
    }
  }
}

TEST(QuantiseInputs, KeepsEachInputWithinHalfAStepOfItsBlock) {
  const int64_t k = 300;
  for (const InputCoding coding : {InputCoding::kInt8, InputCoding::kRotatedInt8}) {
    auto x = random_floats(k, 5);
    std::vector<InputBlock> blocks(static_cast<size_t>(blocks_of(k)));
    ref_kernels().quantise_inputs(x.data(), k, coding, blocks.data(), nullptr);
    x.resize(blocks.size() * kQuantBlock);
    for (size_t b = 0; b < blocks.size(); ++b) {
      const InputBlock& block = blocks[b];
      float* inputs = x.data() + b * kQuantBlock;
      if (coding == InputCoding::kRotatedInt8) rotate_back(inputs);
      std::array<int32_t, kBlockGroups> sums{}, halves{};
      for (size_t i = 0; i < block.codes.size(); ++i) {
        const int8_t code = block.codes[i];
        const float scale = block.scale[i / kQuantGroup];
        EXPECT_NEAR(scale * static_cast<float>(code), inputs[i], 0.5001f * scale);
        sums[i / kQuantGroup] += code;
        if (i % kQuantGroup < kHalfGroup) halves[i / kQuantGroup] += code;
      }
      for (size_t g = 0; g < sums.size(); ++g) {
        if (coding == InputCoding::kRotatedInt8) {
          EXPECT_EQ(block.scale[g], block.scale[0]);
        }
        EXPECT_EQ(block.correction[g], -kCodeOffset * sums[g]);
        EXPECT_EQ(block.half_correction[g], -kCodeOffset * halves[g]);
      }
      EXPECT_EQ(block.block_correction,
                -kCodeOffset * std::accumulate(sums.begin(), sums.end(), 0));
    }
  }
}

// A second rounding keeps inputs to 15 bits of the largest that they share a scale with.
TEST(QuantiseInputs, TheRestIsRoundedInTheSameWay) {
  const int64_t k = 300;
  for (const InputCoding coding : {InputCoding::kInt8, InputCoding::kRotatedInt8}) {
    for (const KernelSet* set : all_kernel_sets()) {
      auto x = random_floats(k, 5);
      x[7] = 20.0f;
      std::vector<InputBlock> blocks(static_cast<size_t>(blocks_of(k))), rest(blocks.size());
      set->quantise_inputs(x.data(), k, coding, blocks.data(), rest.data());
      x.resize(blocks.size() * kQuantBlock);
      for (size_t i = 0; i < x.size(); ++i) {
        const size_t b = i / kQuantBlock, at = i % kQuantBlock, g = at / kQuantGroup;
        if (at == 0 && coding == InputCoding::kRotatedInt8) rotate_back(&x[i]);
        const float kept = blocks[b].scale[g] * static_cast<float>(blocks[b].codes[at]) +
                           rest[b].scale[g] * static_cast<float>(rest[b].codes[at]);
        EXPECT_NEAR(kept, x[i], 0.0021f * blocks[b].scale[g]) << set->name << " " << i;
      }
    }
  }
}

// One input of 128 is 25 times as large as they are in the mean, as in trained models.
TEST(BlockMatmul, OutliersAmongTheInputsCostRotatedFormatsLittle) {
  constexpr int64_t kN = 64, kK = 1024;
  const auto w = random_floats(kN * kK, 31);
  auto x = random_floats(kK, 32);
  for (size_t i = 5; i < x.size(); i += kQuantBlock) x[i] = i % 256 == 5 ? 14.0f : -14.0f;
  AlignedBytes packed(kQ8Codec.bytes(kN, kK));
  ASSERT_TRUE(pack_rows(w.data(), DType::kF32, kN, kK, kQ8Codec, packed.data()).ok());
  std::vector<float> expected;
  for (size_t n = 0; n < kN; ++n) {
    double sum = 0;
    for (size_t i = 0; i < kK; ++i) sum += double{w[n * kK + i]} * double{x[i]};
    expected.push_back(static_cast<float>(sum));
  }
  std::vector<InputBlock> inputs(static_cast<size_t>(blocks_of(kK)));
  ref_kernels().quantise_inputs(x.data(), kK, kQ8Codec.inputs, inputs.data(), nullptr);
  std::vector<float> y(kN);
  ref_kernels().matmul(kQ8Codec,
                       {.a = inputs.data(),
                        .a_stride = static_cast<int64_t>(inputs.size() * sizeof(InputBlock)),
                        .b = PackedMatrix{packed.data(), &kQ8Codec, kN, kK}.panels(),
                        .c = y.data(),
                        .c_stride = kN,
                        .m = 1,
                        .n = kN,
                        .k = kK});
  // Rounding weights alone is 4e-5; 8 bits for the largest input, and 127 others, would be 6e-4.
  EXPECT_LT(nmse(y, expected), 1.2e-4);
}

struct GroupResult {
  std::vector<float> y1, y2, y3;
};

// Three products at once, of which the first two share x, in two formats.
GroupResult run_group(const KernelSet& set, int n_threads, int64_t m, int64_t k, const Codec* first,
                      const Codec* second, bool has_fine_inputs = false) {
  ThreadPool pool(n_threads);
  const auto x = random_floats(m * (k + 3), 14), other = random_floats(2 * 33, 15);
  const AlignedBytes w1 = random_weights(first, 301, k, 16), w2 = random_weights(second, 20, k, 17),
                     w3 = random_weights(first, 50, 33, 18);
  GroupResult result{std::vector<float>(static_cast<size_t>(m * 301)),
                     std::vector<float>(static_cast<size_t>(m * 20)), std::vector<float>(2 * 50)};
  Matmul group[] = {
      {.x = x.data(),
       .x_stride = k + 3,
       .w = {w1.data(), first, 301, k},
       .y = result.y1.data(),
       .y_stride = 301,
       .m = m},
      {.x = other.data(),
       .x_stride = 33,
       .w = {w3.data(), first, 50, 33},
       .y = result.y3.data(),
       .y_stride = 50,
       .m = 2},
      {.x = x.data(),
       .x_stride = k + 3,
       .w = {w2.data(), second, 20, k},
       .y = result.y2.data(),
       .y_stride = 20,
       .m = m},
  };
  for (Matmul& product : group) product.w.has_fine_inputs = has_fine_inputs;
  const bool shares = first->inputs == second->inputs;
  AlignedBytes scratch(matmul_scratch_bytes(group[0].w, m) + matmul_scratch_bytes(group[1].w, 2) +
                       (shares ? 0 : matmul_scratch_bytes(group[2].w, m)));
  matmul({&set, &pool}, group, scratch.span());
  return result;
}

TEST(Matmul, GroupMatchesRefForEverySetAndAnyThreads) {
  const std::pair<const Codec*, const Codec*> formats[] = {
      {&kQ8Codec, &kQ8Codec},      {&kQ4Codec, &kQ8Codec},
      {&kMxfp4Codec, &kE4m3Codec}, {&kE4m3Codec, &kQ4Codec},
      {&kF32Codec, &kF32Codec},    {&kBf16Codec, &kBf16Codec},
      {&kBf16Codec, &kQ4Codec},    {&grouped_codecs::kQ4_K, &grouped_codecs::kQ6_K}};
  for (const auto& [first, second] : formats) {
    for (int64_t m : {1, 2, 33, 70}) {
      for (int64_t k : {5, 451}) {
        const auto expected = run_group(ref_kernels(), 1, m, k, first, second);
        for (const KernelSet* set : sets_but_ref()) {
          const auto one = run_group(*set, 1, m, k, first, second),
                     two = run_group(*set, 2, m, k, first, second);
          ASSERT_LT(nmse(one.y1, expected.y1), 1e-12) << set->name << " m=" << m << " k=" << k;
          ASSERT_LT(nmse(one.y2, expected.y2), 1e-12) << set->name;
          ASSERT_LT(nmse(one.y3, expected.y3), 1e-12) << set->name;
          ASSERT_TRUE(bitwise_equal(one.y1, two.y1) && bitwise_equal(one.y2, two.y2) &&
                      bitwise_equal(one.y3, two.y3))
              << set->name;
        }
      }
    }
  }
}

// Few rows and many rows are cut differently.
void expect_decode_equals_prefill(const KernelSet& set, const Codec* codec) {
  for (const bool has_fine_inputs : {false, true}) {
    const auto many = run_group(set, 2, 70, 451, codec, codec, has_fine_inputs),
               one = run_group(set, 2, 1, 451, codec, codec, has_fine_inputs);
    EXPECT_TRUE(bitwise_equal(one.y1, std::span(many.y1).first(one.y1.size())))
        << set.name << " " << codec->name;
  }
}

// Against products of the weights as the kernels see them and of inputs that are not rounded.
TEST(Matmul, FineInputsLoseLittle) {
  constexpr int64_t kM = 3, kN = 301, kK = 451;
  const auto x = random_floats(kM * (kK + 3), 14);  // those of run_group
  for (const Codec* codec : kIntegers) {
    const AlignedBytes packed = random_weights(codec, kN, kK, 16);
    std::vector<float> w(kK), expected(kM * kN);
    for (int64_t n = 0; n < kN; ++n) {
      codec->unpack({packed.data(), codec, kN, kK}, n, w.data());
      for (int64_t m = 0; m < kM; ++m) {
        double sum = 0;
        for (int64_t i = 0; i < kK; ++i)
          sum +=
              double{w[static_cast<size_t>(i)]} * double{x[static_cast<size_t>(m * (kK + 3) + i)]};
        expected[static_cast<size_t>(m * kN + n)] = static_cast<float>(sum);
      }
    }
    for (const KernelSet* set : all_kernel_sets()) {
      const auto coarse = run_group(*set, 1, kM, kK, codec, codec),
                 fine = run_group(*set, 1, kM, kK, codec, codec, true);
      EXPECT_LT(nmse(coarse.y1, expected), 1e-4) << set->name << " " << codec->name;
      EXPECT_LT(nmse(fine.y1, expected), 2e-9) << set->name << " " << codec->name;
    }
  }
}

TEST(Matmul, DecodeEqualsPrefillBitwise) {
  for (const Codec* codec : kPlain) {
    for (const KernelSet* set : all_kernel_sets()) expect_decode_equals_prefill(*set, codec);
  }
  for (const Codec* codec : kFormats) {
    for (const KernelSet* set : sets_but_ref()) expect_decode_equals_prefill(*set, codec);
  }
}

TEST(BlockMatmul, NoInputsGiveZeros) {
  ThreadPool pool(1);
  for (const Codec* codec : kFormats) {
    AlignedBytes weights(codec->bytes(20, 0));
    std::vector<float> y(2 * 20, 3.0f);
    Matmul product{.x = y.data(),
                   .x_stride = 0,
                   .w = {weights.data(), codec, 20, 0},
                   .y = y.data(),
                   .y_stride = 20,
                   .m = 2};
    AlignedBytes scratch(matmul_scratch_bytes(product.w, 2));
    matmul({all_kernel_sets().back(), &pool}, {&product, 1}, scratch.span());
    EXPECT_EQ(y, std::vector<float>(40, 0.0f));
  }
}

}  // namespace
}  // namespace longhaul
