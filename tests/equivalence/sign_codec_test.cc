// A weight format is one file and one row: a toy format (testing/sign_codec.h) is packed,
// multiplied by on every tier, priced, written to a folder and read from it, and nothing else knows
// of it.
#include "testing/sign_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/loaded_model.h"
#include "checkpoint/quantize.h"
#include "formats/formats_testing.h"
#include "kernels/cpu/matmul.h"
#include "kernels/kernels_testing.h"
#include "mechanisms/resident_weights.h"
#include "testing/checkpoint.h"

namespace longhaul::testing {
namespace {

using ::testing::Contains;
using ::testing::Field;
using ::testing::HasSubstr;

LoadOptions options() { return {.context = 512, .all_logits = true}; }

// Loaded in a format that the public options do not name.
Result<LoadedModel> load_as(const std::string& folder, const std::string& weights) {
  LH_TRY(PricedModel priced, open_and_price(folder, options()));
  LH_TRY(priced.limits.weights, priced.opened.weights->formats().choose(weights, folder));
  return LoadedModel::load(std::move(priced), options());
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
    AlignedBytes scratch(matmul_scratch_bytes(product.w, kM));
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
    const auto report = quantize(golden_folder(golden), out, kSignCodec, {});
    ASSERT_TRUE(report.ok()) << report.error().text();
    EXPECT_THAT(report->tensors,
                Contains(Field(&QuantizeReport::Row::name, HasSubstr(".sign.0-"))));
    const auto packed = load_as(out, "auto"), plain = load_as(golden_folder(golden), "sign");
    ASSERT_TRUE(packed.ok()) << packed.error().text();
    ASSERT_TRUE(plain.ok()) << plain.error().text();
    for (const LoadedModel* model : {&*packed, &*plain}) {
      EXPECT_EQ(model->weights->resident_bytes(),
                resident_weight_bytes(*model->arch, model->limits.weights));
    }
    const std::vector<int32_t> prompt = golden_cases(golden).front().prompt;
    const std::vector<float> logits = run_logits(*packed, prompt, 0);
    EXPECT_EQ(logits, run_logits(*plain, prompt, 0));
    EXPECT_NE(logits, run_logits(load_f32(golden), prompt, 0));
  }
}

TEST(SignCodec, IsUnknownWhereItHasNoRow) {
  const auto model = load_as(golden_folder("gemma/e2b"), "sign");
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(model.error().text(), HasSubstr("--weights 'sign' is not known here; use one of "
                                              "auto, f32, bf16, q8, q4, released"));
}

}  // namespace
}  // namespace longhaul::testing
