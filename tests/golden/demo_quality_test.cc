// What fewer bits cost a trained model: perplexity of the demo on its held-out text, measured as
// `longhaul score` does, and the errors of its weights.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/mapped_file.h"
#include "base/numbers.h"
#include "formats/safetensors.h"
#include "kernels/codecs/codecs.h"
#include "longhaul/session.h"
#include "testing/checkpoint.h"

namespace longhaul::testing {
namespace {

const std::string kDemo = std::string(LH_SOURCE_DIR) + "/models/demo";

double perplexity(const std::string& weights, const std::string& kv) {
  const LoadOptions options{.weights = *parse_weights(weights),
                            .kv = *parse_cache(kv),
                            .context = 512,
                            .all_logits = true};
  const auto model = Model::load(kDemo, options);
  const auto text = read_file(kDemo + "/heldout.txt", size_t{1} << 24);
  EXPECT_TRUE(model.ok() && text.ok());
  const auto tokens = (*model)->encode(*text, /*with_bos=*/false);
  EXPECT_TRUE(tokens.ok());
  const auto result = score(*model, *tokens, 512);
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result->n_tokens, 13229);
  return std::exp(result->nll);
}

// Measured on 30 November 2026: bf16 18.448; q8 18.463, q4 18.771; on the 24th q8 state 18.446.
TEST(DemoQuality, FewerBitsCostLittlePerplexity) {
  const double base = perplexity("bf16", "bf16");
  EXPECT_NEAR(base, 18.4478, 0.01);  // the model's card
  EXPECT_LE(perplexity("q8", "bf16") / base, 1.001);
  EXPECT_LE(perplexity("q4", "bf16") / base, 1.02);
  EXPECT_LE(perplexity("bf16", "q8") / base, 1.001);
}

// Squared error of Q4_0: 32 weights share a scale, the one of largest size over -8; codes are 0 to
// 15 less 8. The scale is not rounded here, which favours it.
double q4_0_error(const std::vector<float>& w) {
  double error = 0;
  for (size_t group = 0; group < w.size(); group += 32) {
    const float* x = w.data() + group;
    const float largest =
        *std::max_element(x, x + 32, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
    const float d = largest / -8, inverse = d != 0 ? 1 / d : 0;
    for (int i = 0; i < 32; ++i) {
      const float code = std::min(15.0f, std::floor(x[i] * inverse + 8.5f)) - 8;
      error += std::pow(double{x[i]} - double{code * d}, 2);
    }
  }
  return error;
}

TEST(DemoQuality, Q4RoundsEveryMatrixBetterThanQ4_0) {
  const auto source = open_checkpoint(kDemo);
  ASSERT_TRUE(source.ok());
  int n = 0;
  for (const TensorInfo& t : source->all()) {
    if (t.shape.size() != 2 || t.shape[1] % 32 != 0 || t.dtype != DType::kBF16) continue;
    std::vector<float> w(t.bytes.size() / 2);
    for (size_t i = 0; i < w.size(); ++i) {
      bf16 x;
      std::memcpy(&x, t.bytes.data() + 2 * i, 2);
      w[i] = to_f32(x);
    }
    std::vector<std::byte> packed(kQ4Codec.bytes(t.shape[0], t.shape[1]));
    const auto error =
        pack_rows(t.bytes.data(), t.dtype, t.shape[0], t.shape[1], kQ4Codec, packed.data());
    ASSERT_TRUE(error.ok());
    EXPECT_LT(error->squared_error, q4_0_error(w)) << t.name;
    ++n;
  }
  EXPECT_GT(n, 50);
}

}  // namespace
}  // namespace longhaul::testing
