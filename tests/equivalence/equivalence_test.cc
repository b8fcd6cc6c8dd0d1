// The same tokens give the same logits, however they are fed: for every checkpoint under tests/golden.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "engine/executor.h"
#include "engine/model_impl.h"
#include "testing/checkpoint.h"

namespace longhaul::testing {
namespace {

// Chunks cut attention into other tiles, so f32 sums may be ordered differently; random layers amplify that. Logits here reach 15.
constexpr double kTolerance = 1e-4;

class Equivalence : public ::testing::TestWithParam<std::string> {
 protected:
  // A prompt several windows long, from the goldens.
  static std::vector<int32_t> long_prompt() {
    std::vector<int32_t> best;
    for (const GoldenCase& c : golden_cases(GetParam())) {
      std::vector<int32_t> tokens = c.prompt;
      tokens.insert(tokens.end(), c.greedy.begin(), c.greedy.end());
      if (tokens.size() > best.size()) best = tokens;
    }
    return best;
  }
  static std::vector<int64_t> windows(const Model& model) {
    std::vector<int64_t> found;
    for (const StateSpec& s : model.impl().arch.states) {
      if (s.is_ring()) found.push_back(s.window);
    }
    return found;
  }
};

std::vector<float> last_row(const std::vector<float>& logits, int64_t vocab) { return {logits.end() - vocab, logits.end()}; }

std::vector<float> step_logits(Executor& executor, std::vector<SequenceInput> inputs, int64_t vocab, size_t of) {
  std::vector<float> out;
  const Status status = executor.step(inputs, [&](size_t sequence, int64_t, int64_t n, const float* logits) {
    if (sequence == of) out.insert(out.end(), logits, logits + n * vocab);
    return true;
  });
  EXPECT_TRUE(status.ok()) << status.error().text();
  return out;
}

TEST_P(Equivalence, AnyChunksGiveTheSameLogits) {
  const Model model = load_f32(GetParam());
  const std::vector<int32_t> prompt = long_prompt();
  const std::vector<float> whole = run_logits(model, prompt, 0);
  std::vector<int64_t> chunks = {1, 2, 3, 7, 15, 16, 17};
  for (int64_t w : windows(model)) chunks.insert(chunks.end(), {std::max<int64_t>(1, w - 1), w, w + 1});
  std::sort(chunks.begin(), chunks.end());
  chunks.erase(std::unique(chunks.begin(), chunks.end()), chunks.end());
  for (int64_t chunk : chunks) EXPECT_LE(max_difference(run_logits(model, prompt, chunk), whole), kTolerance) << "chunks of " << chunk;
}

TEST_P(Equivalence, ABatchIsItsSequencesAlone) {
  LoadOptions options;
  options.sequences = 3;
  const Model model = load_f32(GetParam(), options);
  Model::Impl& m = model.impl();
  const std::vector<int32_t> prompt = long_prompt();
  const int64_t v = model.vocab_size();
  // Three sequences of unequal pasts take three, one and five tokens in the same step.
  const std::vector<size_t> past = {0, 5, prompt.size() / 2}, take = {3, 1, 5};
  std::vector<Sequence> sequences;
  std::vector<SequenceInput> inputs;
  for (size_t i = 0; i < 3; ++i) {
    auto s = Sequence::create(m.arch, m.limits.kv, m.context);
    ASSERT_TRUE(s.ok());
    sequences.push_back(std::move(*s));
  }
  for (size_t i = 0; i < 3; ++i) {
    const std::span tokens(prompt);
    if (past[i] > 0) step_logits(*m.executor, {{&sequences[i], tokens.first(past[i]), LogitsWanted::kNone}}, v, 0);
    inputs.push_back({&sequences[i], tokens.subspan(past[i], take[i]), i == 1 ? LogitsWanted::kLast : LogitsWanted::kAll});
  }
  std::vector<std::vector<float>> together(3);
  ASSERT_TRUE(m.executor
                  ->step(inputs,
                         [&](size_t i, int64_t, int64_t n, const float* logits) {
                           together[i].insert(together[i].end(), logits, logits + n * v);
                           return true;
                         })
                  .ok());
  const std::vector<float> whole = run_logits(model, prompt, 0);
  for (size_t i = 0; i < 3; ++i) {
    const auto begin = whole.begin() + static_cast<int64_t>(past[i]) * v;
    EXPECT_LE(max_difference(together[i], {begin, begin + static_cast<int64_t>(take[i]) * v}), kTolerance) << "sequence " << i;
  }
}

TEST_P(Equivalence, ForkedAndRestoredGoOnAsIfNothingHappened) {
  const Model model = load_f32(GetParam());
  const std::vector<int32_t> prompt = long_prompt();
  const std::vector<float> whole = run_logits(model, prompt, 0);
  const std::string path =
      (std::filesystem::temp_directory_path() / ("longhaul_state_" + test_name({GetParam(), 0}) + std::to_string(::getpid()))).string();
  for (const size_t cut : {size_t{1}, prompt.size() / 3, prompt.size() - 1}) {
    const std::vector<int32_t> head(prompt.begin(), prompt.begin() + static_cast<int64_t>(cut)),
        tail(prompt.begin() + static_cast<int64_t>(cut), prompt.end());
    auto session = Session::create(model);
    const auto ignore = [](int64_t, int64_t, const float*) { return true; };
    ASSERT_TRUE(session->logits(head, ignore).ok());
    auto fork = session->fork();
    ASSERT_TRUE(fork.ok());
    ASSERT_TRUE(session->save(path).ok());
    // The original moves on with other tokens; its copies must not notice.
    ASSERT_TRUE(session->logits({tail.rbegin(), tail.rend()}, ignore).ok());
    auto restored = Session::restore(model, path);
    ASSERT_TRUE(restored.ok()) << restored.error().text();
    const std::vector<float> expected(whole.begin() + static_cast<int64_t>(cut) * model.vocab_size(), whole.end());
    for (Session* copy : {&*fork, &*restored}) {
      std::vector<float> logits;
      ASSERT_TRUE(copy->logits(tail,
                               [&](int64_t, int64_t n, const float* l) {
                                 logits.insert(logits.end(), l, l + n * model.vocab_size());
                                 return true;
                               })
                      .ok());
      EXPECT_LE(max_difference(logits, expected), kTolerance) << (copy == &*fork ? "forked" : "restored") << " after " << cut;
    }
  }
  std::remove(path.c_str());
}

TEST_P(Equivalence, RowsThatNobodyNeedsChangeNothing) {
  LoadOptions all;
  all.skip_unneeded_rows = false;
  const Model skipping = load_f32(GetParam()), forced = load_f32(GetParam(), all);
  const std::vector<int32_t> prompt = long_prompt();
  const int64_t v = skipping.vocab_size();
  std::vector<std::vector<float>> rows;
  for (const Model* model : {&skipping, &forced}) {
    Model::Impl& m = model->impl();
    auto s = Sequence::create(m.arch, m.limits.kv, m.context);
    ASSERT_TRUE(s.ok());
    const std::span tokens(prompt);
    const size_t cut = prompt.size() / 2;
    step_logits(*m.executor, {{&*s, tokens.first(cut), LogitsWanted::kNone}}, v, 0);
    std::vector<float> out = step_logits(*m.executor, {{&*s, tokens.subspan(cut, 4), LogitsWanted::kLast}}, v, 0);
    const std::vector<float> rest = step_logits(*m.executor, {{&*s, tokens.subspan(cut + 4), LogitsWanted::kLast}}, v, 0);
    out.insert(out.end(), rest.begin(), rest.end());
    rows.push_back(out);
  }
  EXPECT_EQ(rows[0].size(), static_cast<size_t>(2 * v));
  EXPECT_LE(max_difference(rows[0], rows[1]), 0.0) << "the same kernels on the same rows";
  EXPECT_LE(max_difference(last_row(rows[0], v), last_row(run_logits(skipping, prompt, 0), v)), kTolerance);
}

TEST_P(Equivalence, ThreadsChangeNothing) {
  LoadOptions one, two;
  one.threads = 1;
  two.threads = 2;
  const std::vector<int32_t> prompt = long_prompt();
  EXPECT_EQ(max_difference(run_logits(load_f32(GetParam(), one), prompt, 9), run_logits(load_f32(GetParam(), two), prompt, 9)), 0.0);
}

TEST_P(Equivalence, AllocatedBytesAreThePlannedOnes) {
  const Model model = load_f32(GetParam());
  Model::Impl& m = model.impl();
  for (int64_t n : {int64_t{1}, int64_t{7}, int64_t{16}, int64_t{255}, m.context}) {
    auto s = Sequence::create(m.arch, m.limits.kv, n);
    ASSERT_TRUE(s.ok() && s->reserve(n).ok());
    EXPECT_EQ(s->allocated_bytes(), state_bytes(m.arch, n, m.limits.kv)) << n << " tokens";
  }
  EXPECT_EQ(m.plan.state_bytes, state_bytes(m.arch, m.context, m.limits.kv));
  EXPECT_EQ(m.plan.scratch_bytes, m.executor->scratch_bytes());
  EXPECT_EQ(m.plan.weight_bytes, m.weights->resident_bytes());
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Equivalence);
INSTANTIATE_TEST_SUITE_P(Checkpoints, Equivalence, ::testing::ValuesIn(golden_checkpoints()), test_name);

}  // namespace
}  // namespace longhaul::testing
