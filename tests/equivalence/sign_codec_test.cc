// A weight format is one file and one row: a toy format (testing/sign_codec.h) is packed,
// multiplied by on every tier, priced, written to a folder and read from it, and nothing else knows
// of it.
#include "testing/sign_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/model_impl.h"
#include "formats/formats_testing.h"
#include "kernels/cpu/matmul.h"
#include "kernels/kernels_testing.h"
#include "longhaul/tools.h"
#include "testing/checkpoint.h"

namespace longhaul::testing {
namespace {

using ::testing::HasSubstr;

LoadOptions options(const std::string& weights) {
  LoadOptions o;
  o.weights = weights;
  o.context = 512;
  o.all_logits = true;
  return o;
}

TEST(SignCodec, EveryTierMultipliesByWhatIsUnpacked) {
  constexpr int64_t kN = 70, kK = 200, kM = 40;
  const auto w = random_floats(kN * kK, 1), x = random_floats(kM * kK, 2);
  AlignedBytes packed(kSignCodec.bytes(kN, kK));
  EXPECT_EQ(packed.span().size(), 5u * 4 * 192);  // panels of 16, blocks of 64
  ASSERT_TRUE(pack_rows(w.data(), DType::kF32, kN, kK, kSignCodec, packed.data()).ok());
  const PackedMatrix matrix{packed.data(), &kSignCodec, kN, kK};
  std::vector<float> expected, row(kK);
  for (int64_t m = 0; m < kM; ++m) {
    for (int64_t n = 0; n < kN; ++n) {
      kSignCodec.unpack(matrix, n, row.data());
      double sum = 0;
      for (int64_t i = 0; i < kK; ++i) {
        EXPECT_EQ(row[static_cast<size_t>(i)] < 0, w[static_cast<size_t>(n * kK + i)] < 0);
        sum += double{to_f32(to_bf16(x[static_cast<size_t>(m * kK + i)]))} *
               double{row[static_cast<size_t>(i)]};
      }
      expected.push_back(static_cast<float>(sum));
    }
  }
  ThreadPool pool(2);
  for (const KernelSet* set : all_kernel_sets()) {
    EXPECT_EQ(set->products.of(kSignCodec), kSignCodec.product) << set->name;
    std::vector<float> y(kM * kN);
    Matmul product{
        .x = x.data(), .x_stride = kK, .w = matrix, .y = y.data(), .y_stride = kN, .m = kM};
    AlignedBytes scratch(matmul_scratch_bytes(kSignCodec, kM, kK));
    matmul({set, &pool}, {&product, 1}, scratch.span());
    EXPECT_LT(nmse(y, expected), 1e-13) << set->name;  // sums in f64, rounded once
  }
}

// A model without and one with experts: the head in 8 bits, what is not rounded in bf16.
TEST(SignCodec, AFolderPackedInItGivesTheLogitsOfPackingWhileLoading) {
  const RegisteredCodec registered(kSignCodec);
  for (const char* golden : {"gemma/e2b", "laguna/xs2"}) {
    const TemporaryFolder folder;
    const std::string out = folder.path() + "/packed";
    const auto report = quantize(golden_folder(golden), out, {.weights = "sign"});
    ASSERT_TRUE(report.ok()) << report.error().text();
    EXPECT_THAT(report->json, HasSubstr(".sign.0-"));
    const auto packed = Model::load(out, options("auto")),
               plain = Model::load(golden_folder(golden), options("sign"));
    ASSERT_TRUE(packed.ok()) << packed.error().text();
    ASSERT_TRUE(plain.ok()) << plain.error().text();
    for (const Model* model : {&*packed, &*plain}) {
      EXPECT_EQ(model->load_stats().weight_bytes_resident,
                model->load_stats().planned_weight_bytes);
    }
    const std::vector<int32_t> prompt = golden_cases(golden).front().prompt;
    const std::vector<float> logits = run_logits(*packed, prompt, 0);
    EXPECT_EQ(logits, run_logits(*plain, prompt, 0));
    EXPECT_NE(logits, run_logits(load_f32(golden), prompt, 0));
  }
}

TEST(SignCodec, IsUnknownWhereItHasNoRow) {
  const auto model = Model::load(golden_folder("gemma/e2b"), options("sign"));
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(model.error().text(), HasSubstr("--weights 'sign' is not known here; use one of "
                                              "auto, f32, bf16, q8, q4, released"));
}

}  // namespace
}  // namespace longhaul::testing
