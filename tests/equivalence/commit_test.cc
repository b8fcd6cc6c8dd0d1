// A step proposes, the caller commits: rows that were not accepted, and steps that failed, leave no
// trace. What a sequence gives afterwards is, bit for bit, what it gives where they never were; for
// every checkpoint under tests/golden.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "api/loaded_model.h"
#include "testing/steps.h"

namespace longhaul::testing {
namespace {

constexpr int64_t kText = 420;  // tokens of the whole text, for models that follow its length
constexpr size_t kRead = 300;   // beyond a page, a hundred turns of the windows

class Commits : public ::testing::TestWithParam<std::string> {
 protected:
  static std::vector<int32_t> text(const LoadedModel& model, size_t n = kRead) {
    std::vector<int32_t> tokens;
    for (size_t t = 0; t < n; ++t) {
      tokens.push_back(
          static_cast<int32_t>(static_cast<int64_t>(t * t * 31 + t * 7 + 3) % model.vocab_size()));
    }
    return tokens;
  }
  static std::vector<float> straight(const LoadedModel& model, std::span<const int32_t> tokens) {
    Sequence s = new_sequence(model);
    return step(model, {{&s, tokens, LogitsWanted::kAll, kText}})[0];
  }
  static std::string state_path() {
    return (std::filesystem::temp_directory_path() /
            ("longhaul_commit_" + test_name({GetParam(), 0}) + std::to_string(::getpid())))
        .string();
  }

  // Proposes m rows of which the first n are the text's, and accepts those. Empty, or what is
  // wrong with their logits.
  static std::string round(const LoadedModel& model, Sequence& s, std::span<const int32_t> tokens,
                           const std::vector<float>& whole, int64_t m, int64_t n) {
    const int64_t at = s.length();
    std::vector<int32_t> rows;
    for (int64_t i = 0; i < m; ++i) {
      const auto right = static_cast<size_t>(at + i) % tokens.size();
      const int32_t wrong = i < n ? 0 : 1 + static_cast<int32_t>(i % 5);
      rows.push_back(static_cast<int32_t>((tokens[right] + wrong) % model.vocab_size()));
    }
    const std::vector<float> logits = propose(model, {{&s, rows, LogitsWanted::kAll, kText}})[0];
    EXPECT_EQ(s.length(), at);
    EXPECT_TRUE(model.executor->commit(0, n).ok());
    EXPECT_EQ(s.length(), at + n);
    const int64_t v = model.vocab_size();
    return difference(rows_of(logits, 0, static_cast<size_t>(n), v),
                      rows_of(whole, static_cast<size_t>(at), static_cast<size_t>(n), v), v);
  }
};

// Rounds of all sizes, of which any first rows are accepted, across borders of panels, pages,
// windows and entries; now and then the sequence goes on as its fork, or from a file.
TEST_P(Commits, AnyFirstRowsOfAStep) {
  const std::string path = state_path();
  const uint64_t n_seeds = grid() == Grid::kFull ? 16 : grid() == Grid::kUsual ? 2 : 1;
  for (const Format& format : formats_in_depth(GetParam())) {
    const LoadedModel model = load(GetParam(), format);
    const std::vector<int32_t> tokens = text(model);
    const std::vector<float> whole = straight(model, tokens);
    for (uint64_t seed = 0; seed < n_seeds; ++seed) {
      Sequence s = new_sequence(model);
      uint64_t random = seed * 977 + 5;
      for (int64_t i = 0; s.length() < static_cast<int64_t>(kRead); ++i) {
        random = random * 6364136223846793005ull + 1442695040888963407ull;
        const int64_t m = 1 + static_cast<int64_t>(random >> 40) % kMaxPartialRows;
        const int64_t left = static_cast<int64_t>(kRead) - s.length();
        const int64_t n =
            std::min(left, i % 5 == 4 ? m : static_cast<int64_t>(random >> 50) % (m + 1));
        ASSERT_EQ(round(model, s, tokens, whole, m, n), "")
            << format.name() << ", " << n << " of " << m << " rows behind " << s.length() - n;
        if (i % 13 == 7) {
          auto fork = s.fork();
          ASSERT_TRUE(fork.ok());
          s = std::move(*fork);
        }
        if (i % 29 == 17) {
          ASSERT_TRUE(s.save(path).ok());
          auto restored = Sequence::restore(*model.arch, path, model.context);
          ASSERT_TRUE(restored.ok()) << restored.error().text();
          s = std::move(*restored);
        }
      }
    }
  }
  std::remove(path.c_str());
}

// From every position of a window of 128 tokens: a round, and the rest of the text behind it, so
// that the entry of the open window is seen.
TEST_P(Commits, EveryAlignmentWithCompressedWindows) {
  const LoadedModel first = load(GetParam(), {"f32", "f32"});
  const auto& states = first.arch->states;
  if (std::none_of(states.begin(), states.end(), [](const StateSpec& s) { return s.ratio > 1; })) {
    return;  // nothing is compressed
  }
  for (const Format& format :
       grid() == Grid::kFull ? formats_in_depth(GetParam()) : std::vector<Format>{{"f32", "f32"}}) {
    const LoadedModel model = load(GetParam(), format);
    const std::vector<int32_t> tokens = text(model, 280);
    const std::vector<float> whole = straight(model, tokens);
    const int64_t v = model.vocab_size(), per_position = grid() == Grid::kFull ? 16 : 2,
                  stride = grid() == Grid::kSmall ? 7 : 1;
    Sequence base = new_sequence(model);
    for (int64_t at = 0; at < 128; at += stride) {
      for (int64_t j = 0; j < per_position; ++j) {
        const int64_t m = 1 + (at / 4 + j * 16 / per_position) % 16,
                      n = (at / 4 * 5 + j + at % 4) % (m + 1);
        auto s = base.fork();
        ASSERT_TRUE(s.ok());
        ASSERT_EQ(round(model, *s, tokens, whole, m, n), "")
            << n << " of " << m << " behind " << at;
        const auto rest = std::span(tokens).subspan(static_cast<size_t>(at + n));
        const auto logits = step(model, {{&*s, rest, LogitsWanted::kAll, kText}})[0];
        ASSERT_EQ(
            difference(logits, rows_of(whole, static_cast<size_t>(at + n), rest.size(), v), v), "")
            << format.name() << ", after " << n << " of " << m << " behind " << at;
      }
      step(model,
           {{&base, std::span(tokens).subspan(static_cast<size_t>(at), static_cast<size_t>(stride)),
             LogitsWanted::kNone, kText}});
    }
  }
}

TEST_P(Commits, WhatCannotBeAcceptedIsRefusedAndChangesNothing) {
  LoadOptions options;
  options.max_batch_sequences = 2;
  const LoadedModel model = load(GetParam(), {"f32", "f32"}, options);
  Executor& executor = *model.executor;
  const std::vector<int32_t> tokens = text(model);
  const std::vector<float> whole = straight(model, tokens);
  Sequence a = new_sequence(model), b = new_sequence(model);
  const auto refused = [&](size_t i, int64_t n) {
    const Status status = executor.commit(i, n);
    return !status.ok() && status.error().code == ErrorCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused(0, 0)) << "before any step";
  EXPECT_FALSE(executor.commit().ok());
  const std::span all(tokens);
  propose(model, {{&a, all.first(17), LogitsWanted::kNone, kText},
                  {&b, all.first(3), LogitsWanted::kNone, kText}});
  for (const int64_t n : {-1, 1, 16, 18}) EXPECT_TRUE(refused(0, n)) << n << " of 17 rows";
  EXPECT_TRUE(refused(1, 4) && refused(2, 0));
  EXPECT_EQ(a.length(), 0);
  EXPECT_TRUE(executor.commit(1, 2).ok());
  EXPECT_TRUE(refused(1, 0)) << "accepted already";
  EXPECT_TRUE(executor.commit().ok()) << "the other";
  EXPECT_FALSE(executor.commit().ok());
  EXPECT_TRUE(a.length() == 17 && b.length() == 2);
  // The next step drops what waits, and goes on from what was accepted.
  propose(model, {{&a, all.first(5), LogitsWanted::kNone, kText}});
  const int64_t v = model.vocab_size();
  const auto logits = step(model, {{&b, all.subspan(2, 9), LogitsWanted::kAll, kText},
                                   {&a, all.subspan(17, 9), LogitsWanted::kAll, kText}});
  EXPECT_EQ(difference(logits[0], rows_of(whole, 2, 9, v), v), "");
  EXPECT_EQ(difference(logits[1], rows_of(whole, 17, 9, v), v), "");
  // A sequence that is another by then.
  propose(model, {{&a, all.first(5), LogitsWanted::kNone, kText}});
  ASSERT_TRUE(a.fill_random(40, 1).ok());
  EXPECT_TRUE(refused(0, 5) && !executor.commit().ok());
  EXPECT_EQ(a.length(), 40);
}

// A snapshot is come back to after other tokens, again and again, and by another sequence; what
// follows is what follows where nothing else was ever read.
TEST_P(Commits, SnapshotsAreComeBackTo) {
  for (const Format& format : formats_in_depth(GetParam())) {
    const LoadedModel model = load(GetParam(), format);
    const std::vector<int32_t> tokens = text(model), wrong(tokens.rbegin(), tokens.rend());
    const std::vector<float> whole = straight(model, tokens);
    const int64_t v = model.vocab_size();
    Sequence s = new_sequence(model), other = new_sequence(model);
    step(model, {{&other, std::span(wrong).first(60), LogitsWanted::kNone, kText}});
    for (const size_t at : {0, 5, 37, 130, 250}) {
      const auto now = static_cast<size_t>(s.length());
      if (at > now) {
        step(model, {{&s, std::span(tokens).subspan(now, at - now), LogitsWanted::kNone, kText}});
      }
      const auto snapshot = s.snapshot();
      ASSERT_TRUE(snapshot.ok());
      for (const size_t n : {1, 20, 29}) {
        step(model, {{&s, std::span(wrong).first(n), LogitsWanted::kNone, kText}});
        propose(model, {{&s, std::span(wrong).first(n), LogitsWanted::kNone, kText}});
        ASSERT_TRUE(s.rewind(*snapshot).ok() && other.rewind(*snapshot).ok());
        EXPECT_FALSE(model.executor->commit().ok()) << "rows of what it was";
        EXPECT_TRUE(s.length() == static_cast<int64_t>(at) && other.length() == s.length());
        for (Sequence* each : {&other, &s}) {
          const auto rest = std::span(tokens).subspan(at, each == &s ? 45 : 30);
          const auto logits = step(model, {{each, rest, LogitsWanted::kAll, kText}})[0];
          EXPECT_EQ(difference(logits, rows_of(whole, at, rest.size(), v), v), "")
              << format.name() << ", back at " << at << " after " << n << " tokens";
        }
        ASSERT_TRUE(s.rewind(*snapshot).ok());
      }
    }
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Commits);
INSTANTIATE_TEST_SUITE_P(Checkpoints, Commits, ::testing::ValuesIn(checkpoints_in_depth()),
                         test_name);

}  // namespace
}  // namespace longhaul::testing
