// A step that fails, in any of its places, commits nothing: for every checkpoint under
// tests/golden, the sequences of the step go on with the bits of sequences that never saw it.
#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "api/loaded_model.h"
#include "testing/steps.h"

namespace longhaul::testing {
namespace {

constexpr int64_t kText = 128;  // tokens of the whole text, for models that follow its length
constexpr size_t kRead = 90;

// The experts of a model, or where `is_damaged_` instead of them what is no number.
class DamagedExperts final : public ExpertSource {
 public:
  DamagedExperts(const Architecture& arch, Weights& weights) : weights_(weights) {
    uint64_t most = 0;
    for (size_t id = 0; id < arch.weights.size(); ++id) {
      if (arch.weights[id].use != WeightUse::kExpert) continue;
      const PackedMatrix& m = weights.matrices[id];
      most = std::max(most, m.codec->bytes(m.n, m.k));
    }
    memory_ = std::move(*Buffer::allocate(std::max<uint64_t>(most, 1)));  // or no experts at all
    std::memset(memory_.data(), 0xff, memory_.size());
    weights_.experts = this;
  }
  ~DamagedExperts() override { weights_.experts = nullptr; }

  int64_t acquire(WeightId, std::span<ExpertRows> wanted) override {
    return static_cast<int64_t>(wanted.size());
  }
  PackedMatrix expert(WeightId weight, int64_t e) const override {
    PackedMatrix m = weights_.matrix(weight, e);
    if (is_damaged_) m.data = memory_.data();
    return m;
  }
  bool take_damage() override { return is_damaged_; }
  void damage(bool is_damaged) { is_damaged_ = is_damaged; }

 private:
  Weights& weights_;
  Buffer memory_;
  bool is_damaged_ = false;
};

struct Stop : std::runtime_error {
  Stop() : std::runtime_error("stopped by an observer") {}
};

// Two sequences of one text, the first further on, and steps of wrong tokens that fail.
class FailedSteps {
 public:
  FailedSteps(const LoadedModel& model, const std::vector<int32_t>& tokens)
      : model_(model),
        executor_(*model.executor),
        tokens_(tokens),
        wrong_(tokens.rbegin(), tokens.rbegin() + 19) {
    Sequence s = new_sequence(model);
    whole_ = step(model, {{&s, tokens, LogitsWanted::kAll, kText}})[0];
  }

  // A step that fails in place after place; behind each the sequences are what they were.
  void fail_everywhere() {
    fail_with_bad_inputs();
    fail_at_every_tap();
    fail_at_the_sink();
    fail_by_damaged_experts();
  }

  // The next tokens of each, accepted.
  void read(std::array<size_t, 2> n) {
    expect_unchanged(n, "the next tokens");
    ASSERT_TRUE(executor_.commit().ok());
  }
  size_t left() const { return tokens_.size() - static_cast<size_t>(a_.length()); }

 private:
  std::vector<SequenceInput> wrong_inputs() {
    const std::span wrong(wrong_);
    return {{&a_, wrong.first(19), LogitsWanted::kAll, kText},
            {&b_, wrong.first(3), LogitsWanted::kLast, kText}};
  }

  // Logits of the sequences' next tokens, which are not accepted.
  void expect_unchanged(std::array<size_t, 2> n, const std::string& where) {
    std::vector<SequenceInput> inputs;
    for (size_t i = 0; i < 2; ++i) {
      Sequence& s = i == 0 ? a_ : b_;
      inputs.push_back({&s, std::span(tokens_).subspan(static_cast<size_t>(s.length()), n[i]),
                        LogitsWanted::kAll, kText});
    }
    const auto logits = propose(model_, inputs);
    const int64_t v = model_.vocab_size();
    for (size_t i = 0; i < 2; ++i) {
      const auto first = static_cast<size_t>(inputs[i].sequence->length());
      EXPECT_EQ(difference(logits[i], rows_of(whole_, first, n[i], v), v), "")
          << where << ", sequence " << i << " behind " << first;
    }
  }

  void expect_failure(const std::vector<SequenceInput>& inputs, const LogitsSink& sink,
                      ErrorCode code, const std::string& where) {
    const int64_t a = a_.length(), b = b_.length();
    const Status status = executor_.step(inputs, sink);
    ASSERT_FALSE(status.ok()) << where;
    EXPECT_EQ(status.error().code, code) << status.error().text();
    EXPECT_FALSE(executor_.commit().ok()) << where;
    EXPECT_TRUE(a_.length() == a && b_.length() == b) << where;
  }

  void fail_with_bad_inputs() {
    const int64_t most = executor_.limits().max_rows;
    const std::vector<int32_t> many(static_cast<size_t>(most), wrong_.front());
    std::vector<int32_t> no_token = wrong_;
    no_token.back() = static_cast<int32_t>(model_.vocab_size());
    const auto fails = [&](std::span<const int32_t> tokens, ErrorCode code, const char* where) {
      auto inputs = wrong_inputs();
      inputs[1].tokens = tokens;
      expect_failure(inputs, sink_, code, where);
    };
    fails({}, ErrorCode::kInvalidArgument, "no tokens");
    fails(no_token, ErrorCode::kInvalidArgument, "a token outside of the vocabulary");
    auto inputs = wrong_inputs();
    inputs.push_back(inputs.front());
    expect_failure(inputs, sink_, ErrorCode::kInvalidArgument, "too many sequences");
    inputs.pop_back();
    inputs[1].sequence = inputs[0].sequence;
    expect_failure(inputs, sink_, ErrorCode::kInvalidArgument, "a sequence twice");
    expect_failure({}, sink_, ErrorCode::kInvalidArgument, "no sequences");
    fails(many, ErrorCode::kInvalidArgument, "too many rows");
    Sequence small = new_sequence(model_, 8);
    inputs = wrong_inputs();
    inputs[1] = {&small, std::span(wrong_).first(9), LogitsWanted::kLast, kText};
    expect_failure(inputs, sink_, ErrorCode::kOverBudget, "no room");
    expect_unchanged({2, 3}, "bad inputs");
  }

  // Whoever watches ends the step, at one intermediate result after the other.
  void fail_at_every_tap() {
    int n_taps = 0;
    executor_.watch_taps([&](const Tap&) { ++n_taps; });
    EXPECT_TRUE(executor_.step(wrong_inputs(), sink_).ok());
    for (int stop_at = 0; stop_at < n_taps; ++stop_at) {
      int left = stop_at;
      executor_.watch_taps([&](const Tap&) {
        if (left-- == 0) throw Stop();
      });
      EXPECT_THROW((void)executor_.step(wrong_inputs(), sink_), Stop);
      executor_.watch_taps({});
      EXPECT_FALSE(executor_.commit().ok());
      expect_unchanged({2, 3}, "stopped at tap " + std::to_string(stop_at));
    }
  }

  void fail_at_the_sink() {
    for (const int stop_at : {0, 1}) {
      int n_calls = 0;
      const LogitsSink sink = [&](auto&&...) { return n_calls++ != stop_at; };
      expect_failure(wrong_inputs(), sink, ErrorCode::kCancelled, "stopped by the sink");
      expect_unchanged({2, 3}, "stopped by the sink at call " + std::to_string(stop_at));
    }
  }

  void fail_by_damaged_experts() {
    DamagedExperts experts(*model_.arch, model_.weights->weights);
    experts.damage(true);
    expect_failure(wrong_inputs(), sink_, ErrorCode::kCorruptFile, "damaged experts");
    experts.damage(false);
    expect_unchanged({2, 3}, "damaged experts");
  }

  const LoadedModel& model_;
  Executor& executor_;
  const std::vector<int32_t>& tokens_;
  const std::vector<int32_t> wrong_;
  const LogitsSink sink_ = [](auto&&...) { return true; };
  std::vector<float> whole_;
  Sequence a_ = new_sequence(model_), b_ = new_sequence(model_);
};

class FailedStep : public ::testing::TestWithParam<std::string> {};

TEST_P(FailedStep, CommitsNothing) {
  for (const Format& format : formats_in_depth(GetParam())) {
    SCOPED_TRACE(format.name());
    LoadOptions options;
    options.max_batch_sequences = 2;
    const LoadedModel model = load(GetParam(), format, options);
    std::vector<int32_t> tokens;
    for (size_t t = 0; t < kRead; ++t) {
      tokens.push_back(
          static_cast<int32_t>((t * t * 13 + t * 5 + 2) % static_cast<size_t>(model.vocab_size())));
    }
    FailedSteps steps(model, tokens);
    // Behind nothing, within a window, behind several.
    steps.fail_everywhere();
    steps.read({7, 2});
    steps.fail_everywhere();
    steps.read({30, 11});
    steps.fail_everywhere();
    steps.read({steps.left(), 40});
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(FailedStep);
INSTANTIATE_TEST_SUITE_P(Checkpoints, FailedStep, ::testing::ValuesIn(checkpoints_in_depth()),
                         test_name);

}  // namespace
}  // namespace longhaul::testing
