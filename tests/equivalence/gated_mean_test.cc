// A recurrent mixer that lives in tests/testing/gated_mean.h alone, placed behind every other
// block: its state survives whatever a sequence goes through, and it is priced and printed.
#include "testing/gated_mean.h"

#include <gmock/gmock.h>

#include "cost/inspect.h"
#include "formats/formats_testing.h"
#include "mechanisms/mixers.h"
#include "models/registry.h"
#include "runtime/runtime_testing.h"

namespace longhaul::testing {
namespace {

using ::testing::HasSubstr;

struct NoMixer {
  int64_t width = 0;
};
[[maybe_unused]] Needs needs(const NoMixer&) { return {}; }
static_assert(MixerSpec<GatedMeanSpec> && MixerSpec<AttentionSpec> && MixerSpec<ParallelSpec>);
static_assert(!MixerSpec<NoMixer>, "a spec that lacks a function is no mixer");
static_assert(!std::is_constructible_v<Mixer, NoMixer>);

constexpr int64_t kTokens = 70, kWidth = 20;

// Two layers with attention over all tokens; behind them a layer that only keeps a mean.
Architecture model() {
  const Json config = must(parse_json(R"({"model_type": "laguna", "vocab_size": 61,
      "hidden_size": 48, "intermediate_size": 40, "num_hidden_layers": 2,
      "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "num_experts": 4,
      "num_experts_per_tok": 2, "moe_intermediate_size": 16,
      "shared_expert_intermediate_size": 16,
      "layer_types": ["full_attention", "full_attention"]})",
                                      "config"));
  Architecture arch = must(read_architecture(config, "config"));
  GatedMeanSpec s{.width = kWidth};
  s.gate_proj = arch.add_matrix("layers.2.gate_proj.weight", kWidth, arch.hidden_size);
  s.value_proj = arch.add_matrix("layers.2.value_proj.weight", kWidth, arch.hidden_size);
  s.out_proj = arch.add_matrix("layers.2.out_proj.weight", arch.hidden_size, kWidth);
  s.mean = static_cast<StateId>(arch.states.size());
  arch.states.push_back({.layer = 2, .fixed_elements = kWidth});
  arch.blocks.push_back({.layer = 2, .pre_norm = NormSpec{}, .mixer = s});
  arch.n_layers = 3;
  return arch;
}

class GatedMean : public ::testing::Test {
 protected:
  static PlanRequest request() {
    return {.context = kTokens,
            .batch = 2,
            .weights = WeightFormat::kF32,
            .kv = DType::kF32,
            .chunk = 2 * kTokens,
            .n_threads = 2};
  }

  Sequence sequence() const { return must(Sequence::create(arch_, DType::kF32, kTokens)); }

  static std::vector<int32_t> tokens(int64_t begin, int64_t end, int64_t text = 0) {
    std::vector<int32_t> ids;
    for (int64_t t = begin; t < end; ++t) {
      ids.push_back(static_cast<int32_t>((t * 7 + text * 13 + 3) % 61));
    }
    return ids;
  }

  // Steps of n tokens up to `end`; logits of the last token where they are wanted.
  std::vector<float> read(Sequence& s, int64_t end, int64_t n, LogitsWanted wanted) {
    std::vector<float> last;
    const LogitsSink sink = [&](size_t, int64_t, int64_t, const float* logits) {
      last.assign(logits, logits + arch_.vocab_size);
      return true;
    };
    while (s.length() < end) {
      const std::vector<int32_t> step = tokens(s.length(), std::min(end, s.length() + n));
      const bool is_last = s.length() + static_cast<int64_t>(step.size()) == end;
      const SequenceInput input{&s, step, is_last ? wanted : LogitsWanted::kNone};
      EXPECT_TRUE(executor_.advance({&input, 1}, sink).ok());
    }
    return last;
  }

  std::vector<float> whole() {
    Sequence s = sequence();
    return read(s, kTokens, kTokens, LogitsWanted::kLast);
  }

  const Architecture arch_ = model();
  const RandomWeights weights_{arch_, WeightFormat::kF32};
  ThreadPool pool_{2};
  Executor executor_ = must(
      Executor::create(arch_, weights_.weights(), ref_kernels(), pool_, step_limits(request())));
};

TEST_F(GatedMean, TheStateIsDeclaredAndItsBlockIsTheLastThatWrites) {
  EXPECT_EQ(last_writing_block(arch_), static_cast<int64_t>(arch_.blocks.size()) - 1);
}

// Chunks whose logits nobody wants end in the last block that writes state. It must be this one.
TEST_F(GatedMean, ChunksWithoutLogitsLeaveWhatAWholePromptLeaves) {
  const std::vector<float> expected = whole();
  ASSERT_EQ(expected.size(), 61u);
  for (const int64_t n : {1, 3, 32, 69}) {
    Sequence s = sequence();
    EXPECT_EQ(read(s, kTokens, n, LogitsWanted::kLast), expected) << "chunks of " << n;
  }
  Sequence s = sequence();
  EXPECT_TRUE(read(s, kTokens - 1, 23, LogitsWanted::kNone).empty());
  EXPECT_EQ(read(s, kTokens, 1, LogitsWanted::kLast), expected);
}

TEST_F(GatedMean, TheMeanMatters) {
  Sequence s = sequence(), other = sequence();
  read(s, kTokens - 1, 9, LogitsWanted::kNone);
  const std::vector<int32_t> others = tokens(0, 5, 1);
  const SequenceInput input{&other, others, LogitsWanted::kNone};
  EXPECT_TRUE(executor_.advance({&input, 1}, {}).ok());
  read(other, kTokens - 1, 9, LogitsWanted::kNone);
  EXPECT_NE(read(s, kTokens, 1, LogitsWanted::kLast), read(other, kTokens, 1, LogitsWanted::kLast));
}

TEST_F(GatedMean, AForkGoesOnAlone) {
  const std::vector<float> expected = whole();
  Sequence s = sequence();
  read(s, 33, 8, LogitsWanted::kNone);
  Sequence fork = must(s.fork());
  EXPECT_EQ(read(s, kTokens, 5, LogitsWanted::kLast), expected);
  EXPECT_EQ(read(fork, kTokens, 16, LogitsWanted::kLast), expected);
}

TEST_F(GatedMean, IsSavedAndRestored) {
  const TemporaryFolder folder;
  const std::string path = folder.path() + "/state";
  Sequence s = sequence();
  read(s, 33, 8, LogitsWanted::kNone);
  ASSERT_TRUE(s.save(path).ok());
  Sequence restored = must(Sequence::restore(arch_, path, kTokens));
  EXPECT_EQ(read(restored, kTokens, 7, LogitsWanted::kLast), whole());
}

TEST_F(GatedMean, SequencesOfABatchAreThoseAlone) {
  Sequence a = sequence(), b = sequence();
  const std::vector<int32_t> ids = tokens(0, kTokens);
  const SequenceInput inputs[] = {{&a, std::span(ids).first(40), LogitsWanted::kNone},
                                  {&b, std::span(ids).first(11), LogitsWanted::kLast}};
  ASSERT_TRUE(executor_.advance(inputs, [](auto&&...) { return true; }).ok());
  EXPECT_EQ(read(a, kTokens, 30, LogitsWanted::kLast), whole());
  EXPECT_EQ(read(b, kTokens, 59, LogitsWanted::kLast), whole());
}

TEST_F(GatedMean, CostsWhatIsPlanned) {
  const Plan plan = must(make_plan(arch_, request()));
  Sequence s = sequence();
  ASSERT_TRUE(s.reserve(kTokens).ok());
  EXPECT_EQ(2 * s.allocated_bytes(), plan.state_bytes);
  EXPECT_EQ(plan.layers.back().state_bytes, 2u * kWidth * sizeof(float));
  EXPECT_EQ(plan.layers.back().kv_read_bytes, kWidth * sizeof(float));
  EXPECT_EQ(weights_.resident_bytes(), plan.weight_bytes);
  EXPECT_EQ(executor_.scratch_bytes(), plan.scratch_bytes);
  read(s, kTokens, kTokens, LogitsWanted::kLast);
  EXPECT_EQ(executor_.flops(), plan.prefill_flops_skip);
}

TEST_F(GatedMean, IsPrinted) {
  const std::string report = inspect_report(arch_), json = inspect_json(arch_).dump();
  EXPECT_THAT(report, HasSubstr("gated mean 20"));
  EXPECT_THAT(report, HasSubstr("F full attention, M gated means"));
  EXPECT_THAT(report, HasSubstr("F F M"));
  EXPECT_THAT(report, HasSubstr("1 x a block of 20 numbers in f32"));
  EXPECT_THAT(json, HasSubstr("\"gated_mean\""));
}

TEST_F(GatedMean, SurvivesAnEditOfOtherBlocks) {
  Architecture arch = arch_;
  arch.blocks.erase(arch.blocks.begin());
  drop_unused_weights(arch);
  drop_unused_states(arch);
  const auto& s = *arch.blocks.back().mixer.as<GatedMeanSpec>();
  EXPECT_EQ(arch.tensor_of(s.out_proj).name, "layers.2.out_proj.weight");
  EXPECT_EQ(arch.state(s.mean).fixed_elements, kWidth);
  EXPECT_EQ(arch.states.size(), 2u);
}

TEST_F(GatedMean, ItsOutputIsTapped) {
  std::vector<std::string> names;
  executor_.watch_taps([&](const Tap& t) {
    if (t.layer == 2) names.push_back(std::string(t.what));
    EXPECT_EQ(static_cast<size_t>(t.values.n), t.positions.size());
  });
  Sequence s = sequence();
  read(s, 9, 9, LogitsWanted::kLast);
  EXPECT_THAT(names, ::testing::ElementsAre("mean", "out"));
}

}  // namespace
}  // namespace longhaul::testing
