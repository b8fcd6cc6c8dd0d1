#include "longhaul/nearest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace longhaul {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Nearest, FindsWhatWasMisspelt) {
  const std::vector<std::string> options = {
      "max-tokens", "temp",  "temperature",      "top-k",   "top-p", "context",
      "chat",       "chunk", "chat-template",    "threads", "stop",  "stats",
      "kv",         "json",  "presence-penalty", "seed",    "file",  "repetition-penalty"};
  const std::pair<const char*, const char*> cases[] = {{"topk", "top-k"},
                                                       {"top_k", "top-k"},
                                                       {"max-token", "max-tokens"},
                                                       {"max_tokens", "max-tokens"},
                                                       {"maxtokens", "max-tokens"},
                                                       {"tempreature", "temperature"},
                                                       {"TEMP", "temp"},
                                                       {"tmep", "temp"},
                                                       {"contex", "context"},
                                                       {"contxt", "context"},
                                                       {"thread", "threads"},
                                                       {"treads", "threads"},
                                                       {"jsn", "json"},
                                                       {"sed", "seed"},
                                                       {"chat-tmplate", "chat-template"},
                                                       {"presence", "presence-penalty"},
                                                       {"repeat-penalty", "repetition-penalty"},
                                                       {"max-new-tokens", "max-tokens"},
                                                       {"presense_penalty", "presence-penalty"},
                                                       {"stat", "stats"},
                                                       {"flie", "file"},
                                                       {"context-size", "context"}};
  for (const auto& [word, meant] : cases)
    EXPECT_THAT(nearest(word, options), ElementsAre(meant)) << word;
  for (const char* word : {"", "gpu", "n-gpu-layers", "verbose", "x", "mlock"})
    EXPECT_THAT(nearest(word, options), IsEmpty()) << word;
  EXPECT_THAT(nearest(std::string(100000, 'a'), options), IsEmpty());
}

TEST(Nearest, NamesAllThatAreAsNear) {
  EXPECT_THAT(nearest("q5", {"auto", "f32", "bf16", "q8", "q4"}), ElementsAre("q8", "q4"));
  EXPECT_THAT(nearest("gemma", {"gemma-1", "gemma-2", "gemma-3", "gemma-4"}),
              ElementsAre("gemma-1", "gemma-2", "gemma-3"));
  EXPECT_THAT(nearest("gemma-4-e2", {"gemma-4-E2B", "gemma-4-E4B", "gemma-4-12B"}),
              ElementsAre("gemma-4-E2B"));
  EXPECT_THAT(nearest("x", {}), IsEmpty());
}

TEST(Nearest, EndsAMessage) {
  EXPECT_EQ(did_you_mean("q5", {"q8", "q4"}), "; did you mean 'q8' or 'q4'?");
  EXPECT_EQ(did_you_mean("rum", {"run", "chat"}), "; did you mean 'run'?");
  EXPECT_EQ(did_you_mean("zebra", {"run", "chat"}), "");
}

}  // namespace
}  // namespace longhaul
