#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>

#include "kernels/kernels_testing.h"

namespace longhaul {
namespace {

constexpr int64_t kSizes[] = {1, 15, 16, 17, 63, 1000};
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// f32 element by element, each value from a few roundings of 2^-24 and an exp good to 1e-7: 1e-6 of
// the value.
void expect_close(std::span<const float> actual, std::span<const float> expected, const char* what,
                  double relative = 1e-6) {
  for (size_t i = 0; i < expected.size(); ++i) {
    const double bound = relative * std::abs(double{expected[i]}) + 1e-37;
    ASSERT_NEAR(actual[i], expected[i], bound) << what << " at " << i;
  }
}

// Values of every size: near zero, usual, where exp saturates, and beyond where a square or a cube
// overflows.
std::vector<float> wide_values() {
  std::vector<float> x{0.0f, -0.0f};
  for (float magnitude = 1e-30f; magnitude < 1e30f; magnitude *= 1.37f) {
    x.push_back(magnitude);
    x.push_back(-magnitude);
  }
  for (float v = -120.0f; v <= 120.0f; v += 0.37f) x.push_back(v);
  return x;
}

TEST(Kernels, ChooseTakesTheFastestAndNamesWhatWorks) {
  unsetenv("LONGHAUL_KERNELS");
  EXPECT_EQ(*choose_kernels(), all_kernel_sets().back());
  for (const KernelSet* set : all_kernel_sets()) {
    setenv("LONGHAUL_KERNELS", set->name, 1);
    EXPECT_EQ(*choose_kernels(), set);
  }
  setenv("LONGHAUL_KERNELS", "abacus", 1);
  const auto result = choose_kernels();
  unsetenv("LONGHAUL_KERNELS");
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().text().find("ref"), std::string::npos);
}

TEST(Kernels, Bf16ConversionsAreExactlyThoseOfRef) {
  auto x = wide_values();
  x.insert(x.end(), {kInfinity, -kInfinity, 1.00390625f, 1.01171875f, 3.4e38f, 1e-40f});
  x.insert(x.end(), {kNaN, -kNaN});
  const auto n = static_cast<int64_t>(x.size());
  for (const KernelSet* set : all_kernel_sets()) {
    std::vector<bf16> rounded(x.size());
    std::vector<float> widened(x.size());
    set->to_bf16(x.data(), n, rounded.data());
    set->to_f32(rounded.data(), n, widened.data());
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(rounded[i].bits, to_bf16(x[i]).bits) << set->name << " " << x[i];
      ASSERT_EQ(std::bit_cast<uint32_t>(widened[i]), uint32_t{rounded[i].bits} << 16) << set->name;
    }
  }
}

TEST(Kernels, BytesWidenExactly) {
  std::vector<int8_t> bytes;
  for (int v = -128; v < 128; ++v) bytes.push_back(static_cast<int8_t>(v));
  bytes.push_back(5);  // a ragged tail
  for (const KernelSet* set : all_kernel_sets()) {
    std::vector<bf16> widened(bytes.size());
    set->bytes_to_bf16(bytes.data(), static_cast<int64_t>(bytes.size()), widened.data());
    for (size_t i = 0; i < bytes.size(); ++i)
      ASSERT_EQ(to_f32(widened[i]), static_cast<float>(bytes[i])) << set->name;
  }
}

TEST(Kernels, RmsNormMatchesRef) {
  for (const KernelSet* set : sets_but_ref()) {
    for (int64_t n : kSizes) {
      const auto x = random_floats(n, 3), w = random_floats(n, 4);
      for (const float* weights : {w.data(), static_cast<const float*>(nullptr)}) {
        std::vector<float> actual = x, expected(x.size());
        set->rms_norm(actual.data(), weights, 1e-6f, n, actual.data());  // in place
        ref_kernels().rms_norm(x.data(), weights, 1e-6f, n, expected.data());
        expect_close(actual, expected,
                     set->name);  // the f32 sum of squares adds n / 64 terms a lane
      }
    }
  }
}

TEST(Kernels, RopeMatchesRef) {
  for (const KernelSet* set : sets_but_ref()) {
    for (int64_t half : kSizes) {
      const auto x = random_floats(2 * half, 5), angles = random_floats(half, 6);
      std::vector<float> cos, sin, actual = x, expected = x;
      for (float a : angles) {
        cos.push_back(std::cos(a));
        sin.push_back(std::sin(a));
      }
      set->rope(actual.data(), cos.data(), sin.data(), half);
      ref_kernels().rope(expected.data(), cos.data(), sin.data(), half);
      for (size_t i = 0; i < x.size(); ++i)
        ASSERT_NEAR(actual[i], expected[i], 3e-7) << set->name;  // a difference of products <= 1
    }
  }
}

TEST(Kernels, SumsAndScalesMatchRef) {
  for (const KernelSet* set : sets_but_ref()) {
    for (int64_t n : kSizes) {
      const auto x = random_floats(n, 7), y = random_floats(n, 8);
      const auto check = [&](auto apply, const char* what) {
        std::vector<float> actual = x, expected = x;
        apply(*set, actual.data());
        apply(ref_kernels(), expected.data());
        for (size_t i = 0; i < x.size(); ++i)
          ASSERT_NEAR(actual[i], expected[i], 2e-7) << set->name << " " << what;
      };
      check([&](const KernelSet& k, float* v) { k.add(v, y.data(), n); }, "add");
      check([&](const KernelSet& k, float* v) { k.add_scaled(v, y.data(), 0.3f, n); },
            "add_scaled");
      check([&](const KernelSet& k, float* v) { k.add_scaled_relu(v, y.data(), 0.3f, n); },
            "add_scaled_relu");
      check([&](const KernelSet& k, float* v) { k.add_scaled_relu(v, y.data(), -0.3f, n); },
            "add_scaled_relu, a weight below 0");
      check([&](const KernelSet& k, float* v) { k.scale(v, 0.7f, n); }, "scale");
      check([&](const KernelSet& k, float* v) { k.scale_by(v, y.data(), n); }, "scale_by");
    }
  }
}

TEST(Kernels, ReluAddsNothingBelowZero) {
  for (const KernelSet* set : all_kernel_sets()) {
    for (int64_t n : kSizes) {
      std::vector<float> x(static_cast<size_t>(n), 1.0f);
      const std::vector<float> below(x.size(), -1e30f), minus_zero(x.size(), -0.0f),
          above(x.size(), 2.0f);
      set->add_scaled_relu(x.data(), below.data(), 3.0f, n);
      set->add_scaled_relu(x.data(), minus_zero.data(), 3.0f, n);
      EXPECT_EQ(x, std::vector<float>(x.size(), 1.0f)) << set->name;
      set->add_scaled_relu(x.data(), above.data(), -3.0f, n);
      EXPECT_EQ(x, std::vector<float>(x.size(), -5.0f)) << set->name;
    }
  }
}

TEST(Kernels, ClampCutsAtBothEndsAndNowhereElse) {
  const auto values = wide_values();
  const auto n = static_cast<int64_t>(values.size());
  for (const KernelSet* set : all_kernel_sets()) {
    for (const auto& [low, high] :
         {std::pair{-10.0f, 10.0f}, {-kInfinity, 10.0f}, {-1e-20f, 1e20f}, {2.0f, 2.0f}}) {
      auto x = values;
      x.insert(x.end(), {kInfinity, -kInfinity});
      set->clamp(x.data(), low, high, n + 2);
      for (int64_t i = 0; i < n; ++i) {
        const float v = values[static_cast<size_t>(i)];
        ASSERT_EQ(x[static_cast<size_t>(i)], v < low    ? low
                                             : v > high ? high
                                                        : v)
            << set->name << " " << v;
      }
      EXPECT_EQ(x[x.size() - 2], high) << set->name;
      EXPECT_EQ(x[x.size() - 1], low) << set->name;
    }
  }
}

TEST(Kernels, SumOfSquaresMatchesRef) {
  for (const KernelSet* set : sets_but_ref()) {
    for (int64_t n : kSizes) {
      const auto x = random_floats(n, 12);
      const double expected = ref_kernels().sum_of_squares(x.data(), n);
      ASSERT_NEAR(set->sum_of_squares(x.data(), n), expected, 1e-6 * expected)
          << set->name << " n=" << n;
    }
    EXPECT_EQ(set->sum_of_squares(nullptr, 0), 0.0f) << set->name;
  }
}

TEST(Kernels, GatedActivationsHoldForEveryMagnitude) {
  const auto gate = wide_values();
  const auto n = static_cast<int64_t>(gate.size());
  const std::vector<float> up(gate.size(), 0.75f);
  for (const KernelSet* set : sets_but_ref()) {
    for (Activation activation : {Activation::kGeluTanh, Activation::kSilu}) {
      std::vector<float> actual(gate.size()), expected(gate.size());
      set->gated_activation(activation, gate.data(), up.data(), n, actual.data());
      ref_kernels().gated_activation(activation, gate.data(), up.data(), n, expected.data());
      for (size_t i = 0; i < gate.size(); ++i) {
        // Far below zero the value is x e^x: an error of 2^-24 in the exponent of 90 is 1e-5 of a
        // value under 1e-30. ref itself loses gelu there, where 1 + tanh cancels to multiples of
        // 2^-53.
        const double bound = 1e-6 * std::abs(double{expected[i]}) + 1e-14;
        ASSERT_NEAR(actual[i], expected[i], bound) << set->name << " x=" << gate[i];
      }
    }
  }
}

TEST(Kernels, SoftcapHoldsForEveryMagnitude) {
  for (const KernelSet* set : sets_but_ref()) {
    std::vector<float> actual = wide_values(), expected = actual;
    const auto n = static_cast<int64_t>(actual.size());
    set->softcap(actual.data(), n, 30.0f);
    ref_kernels().softcap(expected.data(), n, 30.0f);
    expect_close(actual, expected, set->name);
  }
}

TEST(Kernels, NaNIsNotLost) {
  for (const KernelSet* set : all_kernel_sets()) {
    for (size_t at : {size_t{0}, size_t{20}, size_t{32}}) {
      std::vector<float> x(33, 1.0f), out(33);
      x[at] = kNaN;
      const std::vector<float> ones(33, 1.0f);
      for (Activation activation : {Activation::kGeluTanh, Activation::kSilu}) {
        set->gated_activation(activation, x.data(), ones.data(), 33, out.data());
        EXPECT_TRUE(std::isnan(out[at])) << set->name;
      }
      set->rms_norm(x.data(), nullptr, 1e-6f, 33, out.data());
      EXPECT_TRUE(std::isnan(out[0])) << set->name;
      auto capped = x, probabilities = x;
      set->softcap(capped.data(), 33, 30.0f);
      EXPECT_TRUE(std::isnan(capped[at])) << set->name;
      set->softmax(probabilities.data(), 33);
      EXPECT_TRUE(std::isnan(probabilities[(at + 1) % 33])) << set->name;
      auto clamped = x, added = ones;
      set->clamp(clamped.data(), -2.0f, 2.0f, 33);
      EXPECT_TRUE(std::isnan(clamped[at])) << set->name;
      set->add_scaled_relu(added.data(), x.data(), 2.0f, 33);
      EXPECT_TRUE(std::isnan(added[at])) << set->name;
      EXPECT_TRUE(std::isnan(set->sum_of_squares(x.data(), 33))) << set->name;
      float max = -kInfinity, sum = 0.0f;
      set->softmax_step(x.data(), 33, 0, 33, 1.0f, &max, &sum, out.data());
      EXPECT_TRUE(std::isnan(sum)) << set->name;
    }
  }
}

TEST(Kernels, SoftmaxMatchesRefAndStandsLargeLogits) {
  for (const KernelSet* set : sets_but_ref()) {
    for (int64_t n : kSizes) {
      for (float magnitude : {1.0f, 30.0f, 1e4f, 1e30f}) {
        std::vector<float> actual = random_floats(n, 9);
        for (float& v : actual) v *= magnitude;
        std::vector<float> expected = actual;
        set->softmax(actual.data(), n);
        ref_kernels().softmax(expected.data(), n);
        // The difference to the maximum is rounded at its own size: 60 * 2^-24.
        for (size_t i = 0; i < actual.size(); ++i)
          ASSERT_NEAR(actual[i], expected[i], 4e-6 * expected[i] + 1e-30) << set->name;
      }
    }
  }
}

TEST(Kernels, SoftmaxStepsEqualOneSoftmaxOverTheRange) {
  const int64_t tile = 48, n = 3 * tile;
  for (const KernelSet* set : all_kernel_sets()) {
    for (int64_t begin : {0, 1, 15, 50, 143}) {
      for (int64_t end : {1, 16, 49, 97, 144}) {
        if (begin >= end) continue;
        const auto scores = random_floats(n, 10);
        std::vector<float> weights(static_cast<size_t>(n));
        float max = -kInfinity, sum = 0.0f;
        for (int64_t t = 0; t < n; t += tile) {
          const int64_t from = std::clamp<int64_t>(begin - t, 0, tile),
                        to = std::clamp<int64_t>(end - t, 0, tile);
          const float factor = set->softmax_step(scores.data() + t, tile, from, to, 20.0f, &max,
                                                 &sum, weights.data() + t);
          for (int64_t i = 0; i < t; ++i) weights[static_cast<size_t>(i)] *= factor;
        }
        std::vector<float> expected;
        for (int64_t i = begin; i < end; ++i)
          expected.push_back(20.0f * scores[static_cast<size_t>(i)]);
        ref_kernels().softmax(expected.data(), end - begin);
        for (int64_t i = 0; i < n; ++i) {
          const float wanted =
              i < begin || i >= end ? 0.0f : expected[static_cast<size_t>(i - begin)];
          // Two exps, each of an argument up to 40 rounded at 2^-24 of that.
          ASSERT_NEAR(weights[static_cast<size_t>(i)] / sum, wanted, 1e-5 * wanted)
              << set->name << " " << begin << ".." << end;
        }
      }
    }
  }
}

TEST(Kernels, SoftmaxStepRoundsItsWeightsToBf16) {
  const auto scores = random_floats(50, 11);
  for (const KernelSet* set : all_kernel_sets()) {
    std::vector<float> weights(50);
    std::vector<bf16> rounded(50);
    float max = -kInfinity, sum = 0.0f, max_bf16 = -kInfinity, sum_bf16 = 0.0f;
    set->softmax_step(scores.data(), 50, 3, 47, 2.0f, &max, &sum, weights.data());
    set->softmax_step_bf16(scores.data(), 50, 3, 47, 2.0f, &max_bf16, &sum_bf16, rounded.data());
    EXPECT_EQ(max, max_bf16);
    EXPECT_EQ(sum, sum_bf16);
    for (size_t i = 0; i < 50; ++i)
      EXPECT_EQ(rounded[i].bits, to_bf16(weights[i]).bits) << set->name << " " << i;
  }
}

TEST(Kernels, SoftmaxStepOverNothingChangesNothing) {
  for (const KernelSet* set : all_kernel_sets()) {
    const std::vector<float> scores(20, 1.0f);
    std::vector<float> weights(20, 5.0f);
    float max = 2.0f, sum = 3.0f;
    EXPECT_EQ(set->softmax_step(scores.data(), 20, 7, 7, 1.0f, &max, &sum, weights.data()), 1.0f);
    EXPECT_EQ(max, 2.0f);
    EXPECT_EQ(sum, 3.0f);
    EXPECT_EQ(weights, std::vector<float>(20, 0.0f));
  }
}

}  // namespace
}  // namespace longhaul
