#include "formats/generation_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/formats_testing.h"

namespace longhaul {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Result<GenerationDefaults> parse(std::string_view generation, std::string_view config) {
  const auto g = parse_json(generation, "g"), c = parse_json(config, "c");
  EXPECT_TRUE(g.ok() && c.ok());
  return parse_generation_defaults(&*g, "generation_config.json", *c, "config.json");
}

TEST(GenerationDefaults, UnitesTheEndTokensOfAllFiles) {
  const auto d = parse(R"({"eos_token_id":[106,1],"bos_token_id":2,"temperature":1.0,"top_k":64,"top_p":0.95,"min_p":0,
                           "repetition_penalty":1.1,"do_sample":true,"suppress_tokens":[9,3],"transformers_version":"5"})",
                       R"({"eos_token_id":50,"bos_token_id":7,"pad_token_id":-1,"text_config":{"eos_token_id":1,"pad_token_id":0}})");
  ASSERT_TRUE(d.ok()) << d.error().message;
  EXPECT_THAT(d->eos_token_ids, ElementsAre(1, 50, 106));
  EXPECT_EQ(d->bos_token_id, 2);
  EXPECT_EQ(d->pad_token_id, 0);
  EXPECT_EQ(d->temperature, 1.0);
  EXPECT_EQ(d->top_k, 64);
  EXPECT_EQ(d->top_p, 0.95);
  EXPECT_EQ(d->min_p, 0.0);
  EXPECT_EQ(d->repetition_penalty, 1.1);
  EXPECT_EQ(d->do_sample, true);
  EXPECT_THAT(d->suppress_tokens, ElementsAre(3, 9));
}

TEST(GenerationDefaults, LeavesUnsetWhatIsNotSaid) {
  const auto d = parse(R"({"temperature":null})", R"({"eos_token_id":null})");
  ASSERT_TRUE(d.ok());
  EXPECT_EQ(d->temperature, std::nullopt);
  EXPECT_EQ(d->do_sample, std::nullopt);
  EXPECT_EQ(d->bos_token_id, std::nullopt);
  EXPECT_THAT(d->eos_token_ids, IsEmpty());
}

TEST(GenerationDefaults, RefusesValuesThatNoSamplerTakes) {
  const auto d = parse(R"({"temperature":-1,"top_p":1.5,"eos_token_id":[2147483648],"top_k":"all"})", "{}");
  ASSERT_FALSE(d.ok());
  EXPECT_THAT(d.error().message, HasSubstr("generation_config.json: 4 problems"));
  EXPECT_THAT(d.error().message, HasSubstr("eos_token_id[0]: is 2147483648"));
  EXPECT_FALSE(parse("{}", R"({"eos_token_id":"</s>"})").ok());
}

TEST(GenerationDefaults, NeedsNoFileOfItsOwn) {
  TemporaryFolder folder;
  const auto config = parse_json(R"({"eos_token_id":3})", "c");
  const auto d = read_generation_defaults(folder.path(), *config);
  ASSERT_TRUE(d.ok());
  EXPECT_THAT(d->eos_token_ids, ElementsAre(3));
  folder.write("generation_config.json", "{");
  EXPECT_FALSE(read_generation_defaults(folder.path(), *config).ok());
}

}  // namespace
}  // namespace longhaul
