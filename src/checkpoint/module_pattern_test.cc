#include "checkpoint/module_pattern.h"

#include <gmock/gmock.h>

namespace longhaul {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

bool matches(const Result<ModulePattern>& pattern, std::string_view name) {
  EXPECT_TRUE(pattern.ok()) << (pattern.ok() ? "" : pattern.error().text());
  if (!pattern.ok()) return false;
  const auto found = pattern->matches(ModuleName(name));
  EXPECT_TRUE(found.ok());
  return found.ok() && *found;
}
bool target_matches(const std::string& target, std::string_view name) {
  return matches(ModulePattern::target(target, "config.json"), name);
}

TEST(ModuleName, IsSpeltAsOtherModelsWrapIt) {
  const ModuleName name("model.language_model.layers.3.mlp.up_proj");
  EXPECT_EQ(name.text(), "model.language_model.layers.3.mlp.up_proj");
  for (const char* other :
       {"model.layers.3.mlp.up_proj", "language_model.model.layers.3.mlp.up_proj",
        "language_model.layers.3.mlp.up_proj", "layers.3.mlp.up_proj"})
    EXPECT_THAT(name.spellings(), Contains(other));
  EXPECT_EQ(name.spellings().size(), 5u);
}

TEST(ModulePattern, IsANameAClassOrAnExpression) {
  EXPECT_TRUE(target_matches("Linear", "model.layers.0.mlp.up_proj"));
  EXPECT_FALSE(target_matches("Linear", "model.embed_tokens"));
  EXPECT_TRUE(target_matches("Embedding", "model.embed_tokens"));
  EXPECT_TRUE(target_matches("lm_head", "lm_head"));
  EXPECT_FALSE(target_matches("head", "lm_head"));
  EXPECT_TRUE(target_matches("model.layers.0.q", "language_model.model.layers.0.q"));
  EXPECT_TRUE(target_matches("re:.*self_attn.*", "model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(target_matches("re:.*\\.experts\\.\\d+\\.(gate|up)_proj$", "a.experts.12.up_proj"));
  EXPECT_FALSE(target_matches("re:.*\\.experts\\.\\d+\\.(gate|up)_proj$", "a.experts.x.up_proj"));
}

// Python's re.match and re.search.
TEST(ModulePattern, MatchesFromTheBeginningOrAnywhere) {
  EXPECT_FALSE(target_matches("re:self_attn", "model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(target_matches("re:mod", "model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(target_matches("re:^(?!.*vision).*proj", "model.layers.0.q_proj"));
  EXPECT_FALSE(target_matches("re:^(?!.*vision).*proj", "model.vision.0.q_proj"));
  EXPECT_TRUE(matches(ModulePattern::search("self_attn\\.q", "c"), "layers.0.self_attn.q_proj"));
  EXPECT_FALSE(matches(ModulePattern::search("^self_attn", "c"), "layers.0.self_attn.q_proj"));
}

TEST(ModulePattern, RefusesWhatIsNoExpression) {
  const auto broken = ModulePattern::target("re:(", "config.json: ignore");
  ASSERT_FALSE(broken.ok());
  EXPECT_THAT(broken.error().text(), HasSubstr("config.json: ignore: regex '(' does not compile"));
  EXPECT_FALSE(broken.error().remedy.empty());
}

TEST(ModulePattern, EndsWithoutAnAnswerThatTakesTooLong) {
  const auto slow = ModulePattern::target("re:(a*)*b", "config.json");
  ASSERT_TRUE(slow.ok());
  const auto found = slow->matches(ModuleName(std::string(64, 'a') + "c"));
  EXPECT_TRUE(found.ok() ? !*found : !found.error().remedy.empty());
}

}  // namespace
}  // namespace longhaul
