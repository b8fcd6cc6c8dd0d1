// Logits and greedy continuations against the reference implementation, for every checkpoint under tests/golden. ORIGIN.txt beside each tells
// which script and versions computed it.
#include <algorithm>

#include "testing/checkpoint.h"

namespace longhaul::testing {
namespace {

class Golden : public ::testing::TestWithParam<std::string> {};

// f32 against f32: what remains is the order of sums over a few layers.
constexpr double kTolerance = 2e-4;

TEST_P(Golden, LogitsEqualTheReference) {
  const Model model = load_f32(GetParam());
  const auto cases = golden_cases(GetParam());
  ASSERT_FALSE(cases.empty());
  for (const GoldenCase& c : cases) {
    EXPECT_LE(max_difference(run_logits(model, c.prompt, 0), c.logits), kTolerance) << c.prompt.size() << " tokens";
  }
}

TEST_P(Golden, GreedyContinuationIsTheReferences) {
  const Model model = load_f32(GetParam());
  for (const GoldenCase& c : golden_cases(GetParam())) {
    auto session = Session::create(model);
    std::vector<int32_t> next = c.prompt, chosen;
    while (chosen.size() < c.greedy.size()) {
      int32_t best = 0;
      const Status status = session->logits(next, [&](int64_t, int64_t n, const float* logits) {
        const float* row = logits + (n - 1) * model.vocab_size();
        best = static_cast<int32_t>(std::max_element(row, row + model.vocab_size()) - row);
        return true;
      });
      ASSERT_TRUE(status.ok()) << status.error().message;
      chosen.push_back(best);
      next = {best};
    }
    EXPECT_EQ(chosen, c.greedy) << c.prompt.size() << " tokens";
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Golden);
INSTANTIATE_TEST_SUITE_P(Checkpoints, Golden, ::testing::ValuesIn(golden_checkpoints()), test_name);

}  // namespace
}  // namespace longhaul::testing
