// Logits and greedy continuations against the reference implementation, for every checkpoint under
// tests/golden. ORIGIN.txt beside each tells which script and versions computed it.
#include <algorithm>

#include "testing/checkpoint.h"

namespace longhaul::testing {
namespace {

class Golden : public ::testing::TestWithParam<std::string> {};

// f32 against f32: what remains is the order of sums over a few layers.
constexpr double kTolerance = 2e-4;

TEST_P(Golden, LogitsEqualTheReference) {
  const LoadedModel model = load_f32(GetParam());
  const auto cases = golden_cases(GetParam());
  ASSERT_FALSE(cases.empty());
  for (const GoldenCase& c : cases) {
    EXPECT_LE(max_difference(run_logits(model, c.prompt, 0), c.logits), kTolerance)
        << c.prompt.size() << " tokens";
  }
}

TEST_P(Golden, GreedyContinuationIsTheReferences) {
  const LoadedModel model = load_f32(GetParam());
  for (const GoldenCase& c : golden_cases(GetParam())) {
    auto session = TestSession::create(model);
    std::vector<int32_t> next = c.prompt, chosen;
    while (chosen.size() < c.greedy.size()) {
      int32_t best = 0;
      const Status status = session->logits(next, [&](int64_t, int64_t n, const float* logits) {
        const float* row = logits + (n - 1) * model.vocab_size();
        best = static_cast<int32_t>(std::max_element(row, row + model.vocab_size()) - row);
        return true;
      });
      ASSERT_TRUE(status.ok()) << status.error().text();
      chosen.push_back(best);
      next = {best};
    }
    EXPECT_EQ(chosen, c.greedy) << c.prompt.size() << " tokens";
  }
}

// Where a token goes to another expert or attends to another entry than the reference's, its logits
// may still be close. The prompt in one step, what follows token by token.
TEST_P(Golden, ChoicesAtEveryTokenAreTheReferences) {
  const LoadedModel model = load_f32(GetParam());
  for (const GoldenCase& c : golden_cases(GetParam())) {
    std::vector<std::vector<int32_t>> steps{c.prompt};
    for (size_t i = 0; i + 1 < c.greedy.size(); ++i) steps.push_back({c.greedy[i]});
    const Choices found = run_choices(model, steps);
    EXPECT_EQ(found.size(), c.chosen.size()) << "every choice of the model has its reference";
    for (const auto& [what, sets] : c.chosen) {
      const auto it = found.find(what);
      ASSERT_NE(it, found.end()) << what;
      ASSERT_EQ(it->second.size(), c.prompt.size() + steps.size() - 1) << what;
      ASSERT_EQ(sets.size(), it->second.size()) << what;
      for (size_t t = 0; t < sets.size(); ++t)
        ASSERT_EQ(it->second[t], sets[t]) << what << " at token " << t << " of " << c.prompt.size();
    }
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Golden);
INSTANTIATE_TEST_SUITE_P(Checkpoints, Golden, ::testing::ValuesIn(golden_checkpoints()), test_name);

}  // namespace
}  // namespace longhaul::testing
