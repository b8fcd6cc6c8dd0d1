// A model on the plain loops of ref_ops gives what it gives on the threads and kernels that run:
// the seam of a backend is complete, and nothing reaches around it.
#include <gtest/gtest.h>

#include "kernels/kernels_testing.h"
#include "runtime/runtime_testing.h"

namespace longhaul {
namespace {

constexpr int64_t kTokens = 45;  // beyond the windows, with entries of several windows
constexpr int64_t kFirst = 20;

// Logits of every token behind the first step, which wants none.
std::vector<float> run(Executor executor, const Architecture& arch) {
  Sequence sequence = must(Sequence::create(arch, DType::kF32, kTokens));
  std::vector<int32_t> tokens;
  for (int64_t t = 0; t < kTokens; ++t) {
    tokens.push_back(static_cast<int32_t>((t * 7 + 3) % arch.vocab_size));
  }
  std::vector<float> out;
  const LogitsSink sink = [&](size_t, int64_t, int64_t n, const float* logits) {
    out.insert(out.end(), logits, logits + n * arch.vocab_size);
    return true;
  };
  const std::span all(tokens);
  const SequenceInput first{&sequence, all.first(kFirst), LogitsWanted::kNone};
  const SequenceInput rest{&sequence, all.subspan(kFirst), LogitsWanted::kAll};
  EXPECT_TRUE(executor.advance({&first, 1}, sink).ok());
  EXPECT_TRUE(executor.advance({&rest, 1}, sink).ok());
  return out;
}

TEST(Backend, TheReferenceRunsEveryModel) {
  const PlanRequest request{.context = kTokens,
                            .weights = WeightFormat::kF32,
                            .kv = DType::kF32,
                            .chunk = kTokens,
                            .logit_rows = 7,
                            .n_threads = 2};
  const StepLimits limits = step_limits(request);
  ThreadPool pool(2);
  for (const Architecture& arch : small_models()) {
    SCOPED_TRACE(arch.name);
    const RandomWeights weights(arch, WeightFormat::kF32);
    const std::vector<float> expected =
        run(must(Executor::create(arch, weights.weights(), ref_ops(), limits)), arch);
    ASSERT_EQ(expected.size(), static_cast<size_t>((kTokens - kFirst) * arch.vocab_size));
    for (const KernelSet* set : all_kernel_sets()) {
      const std::vector<float> found =
          run(must(Executor::create(arch, weights.weights(), *set, pool, limits)), arch);
      EXPECT_LT(nmse(found, expected), 1e-9) << set->name;  // f32 sums, a few layers deep
    }
  }
}

// What every block hands to an observer, in order; and nothing changes where one looks.
TEST(Backend, TapsNameEveryBlock) {
  const PlanRequest request{
      .context = kTokens, .weights = WeightFormat::kF32, .kv = DType::kF32, .chunk = kTokens};
  ThreadPool pool(1);
  for (const Architecture& arch : small_models()) {
    SCOPED_TRACE(arch.name);
    const RandomWeights weights(arch, WeightFormat::kF32);
    const auto executor = [&] {
      return must(
          Executor::create(arch, weights.weights(), ref_kernels(), pool, step_limits(request)));
    };
    Executor watched = executor();
    std::vector<std::string> names;
    watched.watch_taps([&](const Tap& tap) {
      if (tap.positions.empty() || tap.positions.front() != 0) return;  // of the first step
      EXPECT_EQ(static_cast<size_t>(tap.values.n), tap.positions.size());
      const int64_t width = tap.what == "out" || tap.what == "embed"
                                ? arch.n_streams * arch.hidden_size
                                : arch.hidden_size;
      EXPECT_EQ(tap.values.width, width);
      const std::string layer =
          tap.layer == kNone ? "" : "layers." + std::to_string(tap.layer) + ".";
      names.push_back(layer + std::string(tap.what));
    });
    EXPECT_EQ(run(std::move(watched), arch), run(executor(), arch));
    EXPECT_EQ(names.front(), "embed");
    // The last block that writes state has no output in a step that wants no logits.
    const auto has = [&](const char* name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    EXPECT_TRUE(has("layers.0.attn") && has("layers.0.mlp") && has("layers.0.out"));
    EXPECT_EQ(has("layers.0.ple"), arch.name == "sharing");
    EXPECT_EQ(has("layers.0.branch.1"), arch.name == "mixture" || arch.name == "compressing");
  }
}

}  // namespace
}  // namespace longhaul
