// The same tokens give the same logits, bit for bit, however they are fed: for every checkpoint
// under tests/golden, with weights and state kept in every format.
//
// Every format of weights meets every format of state in chunks of two sizes; all other checks, and
// the long list of chunks, are for formats that between them use every kernel. LONGHAUL_GRID=full
// runs everything with everything.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "api/loaded_model.h"
#include "testing/steps.h"

namespace longhaul::testing {
namespace {

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
  static std::vector<int64_t> chunks_for(const LoadedModel& model, bool in_depth) {
    std::vector<int64_t> chunks =
        in_depth ? std::vector<int64_t>{1, 2, 3, 7, 15, 16, 17} : std::vector<int64_t>{7};
    for (const StateSpec& s : model.arch->states) {
      if (!s.is_ring()) continue;
      chunks.push_back(s.window + 1);
      if (in_depth) chunks.insert(chunks.end(), {std::max<int64_t>(1, s.window - 1), s.window});
    }
    std::sort(chunks.begin(), chunks.end());
    chunks.erase(std::unique(chunks.begin(), chunks.end()), chunks.end());
    return chunks;
  }
  static std::string state_path() {
    return (std::filesystem::temp_directory_path() /
            ("longhaul_state_" + test_name({GetParam(), 0}) + std::to_string(::getpid())))
        .string();
  }
};

TEST_P(Equivalence, AnyChunksGiveTheSameBits) {
  const std::vector<int32_t> prompt = long_prompt();
  const std::vector<Format> in_depth = formats_in_depth(GetParam());
  for (const Format& format : grid() == Grid::kSmall ? in_depth : formats_of(GetParam())) {
    const LoadedModel model = load(GetParam(), format);
    const std::vector<float> whole = run_logits(model, prompt, 0);
    const bool is_in_depth = std::any_of(in_depth.begin(), in_depth.end(), [&](const Format& f) {
      return f.name() == format.name();
    });
    for (int64_t chunk : chunks_for(model, is_in_depth))
      EXPECT_EQ(difference(run_logits(model, prompt, chunk), whole, model.vocab_size()), "")
          << format.name() << ", chunks of " << chunk;
  }
}

TEST_P(Equivalence, ABatchIsItsSequencesAlone) {
  const std::vector<int32_t> prompt = long_prompt();
  for (const Format& format : formats_in_depth(GetParam())) {
    LoadOptions options;
    options.max_batch_sequences = 3;
    const LoadedModel model = load(GetParam(), format, options);
    const std::vector<float> whole = run_logits(model, prompt, 0);
    // Three sequences of unequal pasts take three, one and five tokens in the same step, in any
    // order.
    const std::vector<size_t> past = {0, 5, prompt.size() / 2}, take = {3, 1, 5};
    std::vector<size_t> order = {0, 1, 2};
    do {
      std::vector<Sequence> sequences;
      std::vector<SequenceInput> inputs;
      for (size_t i = 0; i < 3; ++i) sequences.push_back(new_sequence(model));
      for (size_t i : order) {
        const std::span tokens(prompt);
        if (past[i] > 0) step(model, {{&sequences[i], tokens.first(past[i]), LogitsWanted::kNone}});
        inputs.push_back({&sequences[i], tokens.subspan(past[i], take[i]), LogitsWanted::kAll});
      }
      const auto together = step(model, inputs);
      for (size_t at = 0; at < 3; ++at) {
        const size_t i = order[at];
        EXPECT_EQ(difference(together[at], rows_of(whole, past[i], take[i], model.vocab_size()),
                             model.vocab_size()),
                  "")
            << format.name() << ", sequence " << i;
      }
    } while (std::next_permutation(order.begin(), order.end()));
  }
}

TEST_P(Equivalence, ForkedAndRestoredGoOnAsIfNothingHappened) {
  const std::vector<int32_t> prompt = long_prompt();
  const std::string path = state_path();
  std::vector<size_t> cuts = {1, prompt.size() / 3, prompt.size() - 1};
  for (const Format& format : formats_in_depth(GetParam())) {
    const LoadedModel model = load(GetParam(), format);
    const int64_t v = model.vocab_size();
    const std::vector<float> whole = run_logits(model, prompt, 0);
    const auto logits_of = [&](TestSession& session, const std::vector<int32_t>& tokens) {
      std::vector<float> logits;
      const Status status = session.logits(tokens, [&](int64_t, int64_t n, const float* l) {
        logits.insert(logits.end(), l, l + n * v);
        return true;
      });
      EXPECT_TRUE(status.ok()) << status.error().text();
      return logits;
    };
    for (const size_t cut : cuts) {
      const std::vector<int32_t> head(prompt.begin(), prompt.begin() + static_cast<int64_t>(cut)),
          tail(prompt.begin() + static_cast<int64_t>(cut), prompt.end());
      auto session = TestSession::create(model);
      logits_of(*session, head);
      auto fork = session->fork();
      ASSERT_TRUE(fork.ok());
      ASSERT_TRUE(session->save(path).ok());
      // The original moves on with other tokens; its copies must not notice.
      logits_of(*session, {tail.rbegin(), tail.rend()});
      auto restored = TestSession::restore(model, path);
      ASSERT_TRUE(restored.ok()) << restored.error().text();
      const std::vector<float> expected = rows_of(whole, cut, tail.size(), v);
      EXPECT_EQ(difference(logits_of(*fork, tail), expected, v), "")
          << format.name() << ", forked after " << cut;
      EXPECT_EQ(difference(logits_of(*restored, tail), expected, v), "")
          << format.name() << ", restored after " << cut;
    }
    if (grid() != Grid::kFull) cuts = {prompt.size() / 3};  // the others are of a first format
  }
  std::remove(path.c_str());
}

// Rings are as long as the context for which a sequence was made lets them be; a restored one keeps
// those of the context before.
TEST_P(Equivalence, TheRoomOfASequenceChangesNothing) {
  const std::vector<int32_t> prompt = long_prompt();
  const std::string path = state_path();
  for (const Format& format : formats_in_depth(GetParam())) {
    const LoadedModel model = load(GetParam(), format);
    const int64_t v = model.vocab_size();
    const std::vector<float> whole = run_logits(model, prompt, 0);
    const auto n = static_cast<int64_t>(prompt.size());
    for (const int64_t room : {n, n + 1, n + 17}) {
      Sequence sequence = new_sequence(model, room);
      const size_t cut = prompt.size() / 2 + 3;
      std::vector<float> logits =
          in_steps(model, sequence, std::span(prompt).first(cut), {5, 1, 13});
      ASSERT_TRUE(sequence.save(path).ok());
      auto restored = Sequence::restore(*model.arch, path, model.context);
      ASSERT_TRUE(restored.ok()) << restored.error().text();
      const std::vector<float> rest =
          in_steps(model, *restored, std::span(prompt).subspan(cut), {1, 4});
      logits.insert(logits.end(), rest.begin(), rest.end());
      EXPECT_EQ(difference(logits, whole, v), "") << format.name() << ", room for " << room;
    }
  }
  std::remove(path.c_str());
}

TEST_P(Equivalence, RowsThatNobodyNeedsChangeNothing) {
  const std::vector<int32_t> prompt = long_prompt();
  for (const Format& format : formats_in_depth(GetParam())) {
    const LoadedModel skipping = load(GetParam(), format),
                      forced = load(GetParam(), format, {}, {.skip_unneeded_rows = false});
    const int64_t v = skipping.vocab_size();
    const std::vector<float> whole = run_logits(skipping, prompt, 0);
    EXPECT_EQ(difference(run_logits(forced, prompt, 0), whole, v), "") << format.name();
    for (const LoadedModel* model : {&skipping, &forced}) {
      Sequence s = new_sequence(*model);
      const std::span tokens(prompt);
      const size_t cut = prompt.size() / 2;
      step(*model, {{&s, tokens.first(cut), LogitsWanted::kNone}});
      const auto some = step(*model, {{&s, tokens.subspan(cut, 4), LogitsWanted::kLast}})[0];
      const auto rest = step(*model, {{&s, tokens.subspan(cut + 4), LogitsWanted::kLast}})[0];
      EXPECT_EQ(difference(some, rows_of(whole, cut + 3, 1, v), v), "") << format.name();
      EXPECT_EQ(difference(rest, rows_of(whole, prompt.size() - 1, 1, v), v), "") << format.name();
    }
  }
}

TEST_P(Equivalence, ThreadsChangeNothing) {
  const std::vector<int32_t> prompt = long_prompt();
  for (const Format& format : formats_in_depth(GetParam())) {
    std::vector<float> one;
    for (int threads : {1, 2, 3}) {
      LoadOptions options;
      options.threads = threads;
      const LoadedModel model = load(GetParam(), format, options);
      const std::vector<float> logits = run_logits(model, prompt, 9);
      if (threads == 1) one = logits;
      EXPECT_EQ(difference(logits, one, model.vocab_size()), "")
          << format.name() << ", " << threads << " threads";
    }
  }
}

// Each on its own; ref, whose sums are rounded at the borders of panels, is the one to notice a
// panel that is not where its positions say.
TEST_P(Equivalence, EveryKernelSetHoldsTheBits) {
  std::vector<int32_t> prompt = long_prompt();
  prompt.resize(std::min<size_t>(prompt.size(), 45));
  for (const KernelSet* set : all_kernel_sets()) {
    ::setenv("LONGHAUL_KERNELS", set->name, 1);
    std::vector<Format> formats = {{"q4", "q8"}};
    if (grid() != Grid::kSmall) formats.push_back({"bf16", "bf16"});
    for (const Format& format : formats) {
      const LoadedModel model = load(GetParam(), format);
      ASSERT_EQ(model.kernels, set);
      const std::vector<float> whole = run_logits(model, prompt, 0);
      for (int64_t chunk : {1, 7})
        EXPECT_EQ(difference(run_logits(model, prompt, chunk), whole, model.vocab_size()), "")
            << set->name << ", " << format.name() << ", chunks of " << chunk;
    }
  }
  ::unsetenv("LONGHAUL_KERNELS");
}

TEST_P(Equivalence, AllocatedBytesAreThePlannedOnes) {
  const LoadedModel model = load_f32(GetParam());
  const LoadedModel& m = model;
  for (int64_t n : {int64_t{1}, int64_t{7}, int64_t{16}, int64_t{255}, m.context}) {
    auto s = Sequence::create(*m.arch, m.limits.kv, n);
    ASSERT_TRUE(s.ok() && s->reserve(n).ok());
    EXPECT_EQ(s->allocated_bytes(), state_bytes(*m.arch, n, m.limits.kv)) << n << " tokens";
  }
  EXPECT_EQ(m.plan.state_bytes, state_bytes(*m.arch, m.context, m.limits.kv));
  EXPECT_EQ(m.plan.scratch_bytes, m.executor->scratch_bytes());
  EXPECT_EQ(m.plan.weight_bytes, m.weights->resident_bytes());
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Equivalence);
INSTANTIATE_TEST_SUITE_P(Checkpoints, Equivalence, ::testing::ValuesIn(checkpoints_in_depth()),
                         test_name);

}  // namespace
}  // namespace longhaul::testing
