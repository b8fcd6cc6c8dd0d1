#include "mechanisms/router.h"

#include <numeric>

#include "mechanisms/mechanisms_testing.h"

namespace longhaul {
namespace {

// A router whose logits are its input.
struct Identity {
  int64_t n_experts = 0, top_k = 0;
  LinearRouterSpec router;
};

Identity identity_router(TestEnv& t, int64_t n, int64_t top_k, LinearRouterSpec router) {
  std::vector<float> one(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) one[static_cast<size_t>(i * n + i)] = 1.0f;
  router.proj = t.matrix(one, n, n);
  return {n, top_k, router};
}

struct Routed {
  std::vector<int32_t> chosen;
  std::vector<float> weight;
};

Routed route_rows(TestEnv& t, const Identity& s, const std::vector<float>& x,
                  const std::vector<int32_t>& tokens = {}) {
  const auto rows = static_cast<int64_t>(x.size()) / s.n_experts;
  Routed r{std::vector<int32_t>(static_cast<size_t>(rows * s.top_k), -1),
           std::vector<float>(static_cast<size_t>(rows * s.top_k))};
  const BlockIo io{.out = {.n = rows, .tokens = tokens}, .out_x = {x.data(), rows, s.n_experts}};
  route(t.env, s.router, s.n_experts, io, {r.chosen.data(), rows, s.top_k},
        {r.weight.data(), rows, s.top_k});
  return r;
}

TEST(Router, SqrtSoftplusScores) {
  for (const KernelSet* set : all_kernel_sets()) {
    TestEnv t(*set);
    const Identity s =
        identity_router(t, 4, 4, {.score = RouterScore::kSqrtSoftplus, .output_scale = 1.5f});
    const Routed r = route_rows(t, s, {1.5f, -3, 6, 0});
    EXPECT_EQ(r.chosen, (std::vector<int32_t>{2, 0, 3, 1}));
    const double scores[] = {2.4499950, 1.3043823, .8325546, .2204254},
                 sum = 2.4499950 + 1.3043823 + .8325546 + .2204254;
    for (size_t i = 0; i < 4; ++i)
      EXPECT_NEAR(r.weight[i], 1.5 * scores[i] / sum, 3e-7) << set->name;
  }
}

TEST(Router, SqrtSoftplusStandsAnyLogit) {
  TestEnv t;
  const Identity s = identity_router(t, 4, 2, {.score = RouterScore::kSqrtSoftplus});
  const Routed r = route_rows(t, s, {1e30f, -1e30f, -88, 1e4f});
  EXPECT_EQ(r.chosen, (std::vector<int32_t>{0, 3}));
  EXPECT_NEAR(r.weight[0], 1.0, 1e-6);
  EXPECT_NEAR(r.weight[1], 1e-13, 1e-18);
}

TEST(Router, TheBiasMovesTheChoiceAlone) {
  TestEnv t;
  const WeightId bias = t.vector({0, 10, 0, 0});
  const Identity s =
      identity_router(t, 4, 2, {.score = RouterScore::kSqrtSoftplus, .selection_bias = bias});
  const Routed r = route_rows(t, s, {1.5f, -3, 6, 0});
  EXPECT_EQ(r.chosen, (std::vector<int32_t>{1, 2}));
  EXPECT_NEAR(r.weight[0], .2204254 / (.2204254 + 2.4499950), 3e-7);
}

TEST(Router, TokensNameTheirExpertsAndScoresTheirWeights) {
  TestEnv t;
  const WeightId table = t.index({0, 1, 3, 1, 2, 2}, 3);
  const Identity s = identity_router(
      t, 4, 2, {.score = RouterScore::kSqrtSoftplus, .token_experts = table, .output_scale = 2.0f});
  const std::vector<float> logits = {1.5f, -3, 6, 0};
  std::vector<float> x;
  for (int i = 0; i < 4; ++i) x.insert(x.end(), logits.begin(), logits.end());
  // A token beyond the table has the first row, as its embedding would be.
  const Routed r = route_rows(t, s, x, {1, 0, 2, 7});
  EXPECT_EQ(r.chosen, (std::vector<int32_t>{3, 1, 0, 1, 2, 2, 0, 1}));
  EXPECT_NEAR(r.weight[0], 2 * .8325546 / (.8325546 + .2204254), 5e-7);
  EXPECT_NEAR(r.weight[1], 2 * .2204254 / (.8325546 + .2204254), 5e-7);
  EXPECT_NEAR(r.weight[4], 1.0, 1e-6);
  EXPECT_NEAR(r.weight[5], 1.0, 1e-6);
}

// Weights of a damaged checkpoint: what is chosen must still be experts, each once.
TEST(Router, ScoresThatAreNoNumbersChooseExpertsAllTheSame) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (RouterScore score :
       {RouterScore::kSoftmax, RouterScore::kSigmoid, RouterScore::kSqrtSoftplus}) {
    for (size_t n_bad : {1, 5, 8}) {
      TestEnv t;
      const Identity s = identity_router(t, 8, 3, {.score = score});
      std::vector<float> x(8, 0.5f);
      std::fill_n(x.begin(), n_bad, nan);
      Routed r = route_rows(t, s, x);
      std::sort(r.chosen.begin(), r.chosen.end());
      EXPECT_TRUE(r.chosen.front() >= 0 && r.chosen.back() < 8);
      EXPECT_TRUE(std::adjacent_find(r.chosen.begin(), r.chosen.end()) == r.chosen.end());
    }
  }
}

}  // namespace
}  // namespace longhaul
