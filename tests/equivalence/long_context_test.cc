// Contexts of several spans of keys, of rings that wrap often and of many pages: the same bits in
// steps of one token, of a few, of a whole prompt, in a batch, and on any number of threads.
#include <fmt/format.h>

#include "api/loaded_model.h"
#include "testing/steps.h"

namespace longhaul::testing {
namespace {

struct Case {
  std::string name, checkpoint;
  std::vector<std::string> overrides;  // of its config
  std::vector<Format> formats;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

constexpr int64_t kTokens = 2600;

std::vector<Case> cases() {
  const Format f32{"f32", "f32"}, bf16{"bf16", "bf16"}, q8{"q8", "q8"}, released{"q4", "released"};
  return {
      {"narrow_windows", "gemma/e2b", {}, {f32, bf16, q8}},
      {"wide_windows", "gemma/e2b", {"sliding_window=600"}, {f32, bf16, q8}},
      {"many_key_heads",
       "laguna/xs",
       {"max_position_embeddings=4096", "sliding_window=300"},
       {bf16, q8}},
      {"convolutions", "zaya/full", {"max_position_embeddings=4096"}, {f32, bf16, q8}},
      {"entries", "deepseek_v4/flash", {"max_position_embeddings=4096"}, {f32, q8, released}},
      {"many_entries", "deepseek_v4/released", {}, {bf16, released}},
  };
}

std::vector<int32_t> tokens_for(const LoadedModel& model) {
  std::vector<int32_t> tokens;
  uint32_t state = 1;
  for (int64_t i = 0; i < kTokens; ++i) {
    state = state * 1664525u + 1013904223u;
    tokens.push_back(
        static_cast<int32_t>((state >> 8) % static_cast<uint32_t>(model.vocab_size())));
  }
  return tokens;
}

LoadedModel load(const Case& c, const Format& format, int threads) {
  LoadOptions options;
  options.config.overrides = c.overrides;
  options.context = options.max_batch_tokens = kTokens;
  options.threads = threads;
  options.max_batch_sequences = 2;
  return load(c.checkpoint, format, options);
}

class LongContext : public ::testing::TestWithParam<Case> {
 protected:
  static std::vector<Format> formats() {
    if (grid() == Grid::kSmall) return {GetParam().formats.back()};
    return GetParam().formats;
  }
};

TEST_P(LongContext, AnyStepsGiveTheSameBits) {
  for (const Format& format : formats()) {
    const LoadedModel model = load(GetParam(), format, 1), shared = load(GetParam(), format, 3);
    const std::vector<int32_t> tokens = tokens_for(model);
    const int64_t v = model.vocab_size();
    Sequence at_once = new_sequence(model);
    const std::vector<float> whole =
        in_steps(model, at_once, tokens, {static_cast<size_t>(kTokens)});
    const std::span all(tokens);
    for (const std::vector<size_t>& sizes : {std::vector<size_t>{512}, {509, 1, 7}}) {
      Sequence sequence = new_sequence(model);
      EXPECT_EQ(difference(in_steps(model, sequence, tokens, sizes), whole, v), "")
          << format.name() << ", steps of " << sizes[0];
    }
    Sequence one_by_one = new_sequence(model);
    step(model, {{&one_by_one, all.first(kTokens / 2), LogitsWanted::kNone}});
    EXPECT_EQ(difference(in_steps(model, one_by_one, all.subspan(kTokens / 2), {1}),
                         rows_of(whole, kTokens / 2, kTokens - kTokens / 2, v), v),
              "")
        << format.name() << ", steps of 1";
    // Few rows at the end of a long context: their spans are shared out over threads.
    Sequence sequence = new_sequence(shared);
    EXPECT_EQ(
        difference(in_steps(shared, sequence, tokens, {static_cast<size_t>(kTokens) - 40, 1, 3}),
                   whole, v),
        "")
        << format.name();
    Sequence first = new_sequence(shared), second = new_sequence(shared);
    step(shared, {{&first, all.first(2200), LogitsWanted::kNone}});
    step(shared, {{&second, all.first(700), LogitsWanted::kNone}});
    const auto together = step(shared, {{&first, all.subspan(2200, 2), LogitsWanted::kAll},
                                        {&second, all.subspan(700, 30), LogitsWanted::kAll}});
    EXPECT_EQ(difference(together[0], rows_of(whole, 2200, 2, v), v), "") << format.name();
    EXPECT_EQ(difference(together[1], rows_of(whole, 700, 30, v), v), "") << format.name();
  }
}

// Steps of which the first rows are right and accepted, around borders of pages: of keys, and of
// entries that stand for 4 and more tokens each.
TEST_P(LongContext, FirstRowsAreAcceptedAcrossBordersOfPages) {
  constexpr int64_t kRows = 16, kBefore = 8, kBehind = 24;
  const Format& format = GetParam().formats.back();
  const LoadedModel model = load(GetParam(), format, 1);
  const std::vector<int32_t> tokens = tokens_for(model);
  const int64_t v = model.vocab_size();
  const std::span all(tokens);
  Sequence at_once = new_sequence(model), base = new_sequence(model);
  const std::vector<float> whole = in_steps(model, at_once, tokens, {static_cast<size_t>(kTokens)});
  for (const int64_t border : {128, 512, 1024, 2048}) {
    const int64_t at = border - kBefore;
    in_steps(
        model, base,
        all.subspan(static_cast<size_t>(base.length()), static_cast<size_t>(at - base.length())),
        {512});
    for (const int64_t n : {0, 1, 7, 8, 9, 15}) {
      std::vector<int32_t> rows(all.begin() + at, all.begin() + at + kRows);
      for (int64_t i = n; i < kRows; ++i) {
        auto& wrong = rows[static_cast<size_t>(i)];
        wrong = static_cast<int32_t>((wrong + 1 + i) % v);
      }
      auto s = base.fork();
      ASSERT_TRUE(s.ok());
      propose(model, {{&*s, rows, LogitsWanted::kAll}});
      ASSERT_TRUE(model.executor->commit(0, n).ok());
      const auto rest = all.subspan(static_cast<size_t>(at + n), kBehind);
      EXPECT_EQ(difference(step(model, {{&*s, rest, LogitsWanted::kAll}})[0],
                           rows_of(whole, static_cast<size_t>(at + n), kBehind, v), v),
                "")
          << format.name() << ", " << n << " rows accepted behind " << at;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, LongContext, ::testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace longhaul::testing
