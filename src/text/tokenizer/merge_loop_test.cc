#include "text/tokenizer/merge_loop.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace longhaul {
namespace {

struct Model {
  Vocabulary vocabulary;
  MergeTexts texts;
  Merges merges;
};

// A random model over three letters. Merges are shuffled, so a product's own merges may rank below
// those that make it.
Model random_model(std::mt19937& rng) {
  Model m;
  std::vector<std::string> tokens = {"a", "b", "c"};
  for (size_t i = 0; i < 40; ++i) {
    const std::string both = tokens[rng() % tokens.size()] + tokens[rng() % tokens.size()];
    if (both.size() <= 8 && std::find(tokens.begin(), tokens.end(), both) == tokens.end())
      tokens.push_back(both);
  }
  std::vector<std::pair<std::string, std::string>> pairs;
  for (size_t i = 0; i < tokens.size(); ++i) {
    EXPECT_TRUE(m.vocabulary.add(tokens[i], static_cast<int64_t>(i), "test").ok());
    for (size_t cut = 1; cut < tokens[i].size(); ++cut) {
      const auto left = tokens[i].substr(0, cut), right = tokens[i].substr(cut);
      const auto known = [&](const std::string& s) {
        return std::find(tokens.begin(), tokens.end(), s) != tokens.end();
      };
      if (known(left) && known(right)) pairs.emplace_back(left, right);
    }
  }
  std::shuffle(pairs.begin(), pairs.end(), rng);
  for (const auto& [left, right] : pairs) EXPECT_TRUE(m.texts.add(left, right, "test").ok());
  auto merges = Merges::build(m.texts, m.vocabulary, "test");
  EXPECT_TRUE(merges.ok());
  m.merges = std::move(*merges);
  return m;
}

TEST(MergeLoop, BothLoopsAgreeAlsoWhereALaterMergeRanksLower) {
  std::mt19937 rng(5);
  for (int model = 0; model < 40; ++model) {
    const Model m = random_model(rng);
    MergeLoop loop(m.merges);
    for (const size_t n : {0, 1, 2, 3, 10, 60, 300}) {
      std::vector<int32_t> tokens(n);
      for (auto& t : tokens) t = static_cast<int32_t>(rng() % (model % 3 + 1));
      auto expected = tokens, got = tokens;
      loop.run_short(expected);
      loop.run_long(got);
      EXPECT_EQ(got, expected) << "model " << model << " n " << n;
    }
  }
}

}  // namespace
}  // namespace longhaul
