#include "formats/config_override.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace longhaul {
namespace {

constexpr const char* kConfig =
    R"({"a": 1, "rope": {"full": {"theta": 5.0}, "list": [1, 2]}, "text": "x"})";

// The config after the assignments, on one line; or the error.
std::string overridden(const std::vector<std::string>& assignments) {
  Json config = std::move(*parse_json(kConfig, "test"));
  const Status status = override_fields(config, assignments);
  if (status.ok()) return config.dump();
  EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(config.dump(), parse_json(kConfig, "test")->dump()) << "changed on an error";
  return status.error().text();
}

std::string edited(const char* config) { return parse_json(config, "test")->dump(); }

TEST(ConfigOverride, SetsFieldsAtAnyDepth) {
  EXPECT_EQ(overridden({}), edited(kConfig));
  EXPECT_EQ(overridden({"a=2"}),
            edited(R"({"a": 2, "rope": {"full": {"theta": 5.0}, "list": [1, 2]}, "text": "x"})"));
  EXPECT_EQ(overridden({"rope.full.theta=1e6"}),
            edited(R"({"a": 1, "rope": {"full": {"theta": 1e6}, "list": [1, 2]}, "text": "x"})"));
  EXPECT_EQ(overridden({"rope.full.factor=1.25"}),
            edited(
                R"({"a": 1, "rope": {"full": {"theta": 5.0, "factor": 1.25}, "list": [1, 2]},
              "text": "x"})"))
      << "a field that the config leaves out";
}

TEST(ConfigOverride, TakesAnyJsonValue) {
  EXPECT_EQ(overridden({"a=0.5", "text=\"y=z\"", "rope.list=[true, {\"b\": 1}, null]"}),
            edited(
                R"({"a": 0.5, "rope": {"full": {"theta": 5.0}, "list": [true, {"b": 1}, null]},
              "text": "y=z"})"));
}

TEST(ConfigOverride, NullTakesAFieldAway) {
  EXPECT_EQ(overridden({"a=null"}),
            edited(R"({"rope": {"full": {"theta": 5.0}, "list": [1, 2]}, "text": "x"})"));
  EXPECT_EQ(overridden({"rope.full.theta=null", "rope.list= null "}),
            edited(R"({"a": 1, "rope": {"full": {}}, "text": "x"})"));
  EXPECT_EQ(overridden({"rope=null", "text=null", "a=null"}), "{}");
  EXPECT_EQ(overridden({"a=null", "a=7"}),
            edited(R"({"rope": {"full": {"theta": 5.0}, "list": [1, 2]}, "text": "x", "a": 7})"));
  for (const char* absent :
       {"b=null", "rope.b=null", "no.such.object=null", "rope.sliding.theta=null"})
    EXPECT_EQ(overridden({absent}), edited(kConfig)) << absent;
  EXPECT_THAT(overridden({"a.b=null"}), ::testing::HasSubstr("the config has no object 'a'"))
      << "a number has no fields";
}

TEST(ConfigOverride, FindsNamesThatHaveDots) {
  Json config = std::move(*parse_json(
      R"({"transformers.js_config": {"dtype": "q4"}, "o": {"x.y": 1, "x": {"y": 2}}})", "test"));
  EXPECT_TRUE(
      override_fields(config, std::vector<std::string>{"transformers.js_config=null", "o.x.y=3"})
          .ok());
  EXPECT_EQ(config.dump(), edited(R"({"o": {"x.y": 3, "x": {"y": 2}}})"));
}

TEST(ConfigOverride, LaterOnesGoOverEarlierOnes) {
  EXPECT_EQ(overridden({"rope={}", "rope.full=1", "rope.full=2"}),
            edited(R"({"a": 1, "rope": {"full": 2}, "text": "x"})"));
}

TEST(ConfigOverride, RefusesWhatItCannotPlace) {
  const std::pair<const char*, const char*> kRefused[] = {
      {"", "--set : expected FIELD=VALUE"},
      {"a", "--set a: expected FIELD=VALUE"},
      {"=1", "a name in the path is empty"},
      {"rope..theta=1", "a name in the path is empty"},
      {".a=1", "a name in the path is empty"},
      {"rope.=1", "a name in the path is empty"},
      {"ropes.full.theta=1",
       "the config has no object 'ropes'; make it with --set 'ropes={...}' first"},
      {"rope.sliding.theta=1", "the config has no object 'rope.sliding'"},
      {"a.b=1", "the config has no object 'a'"},
      {"rope.list.0=1", "the config has no object 'rope.list'"},
      {"a=", "not valid JSON"},
      {"a=silu", "a text in double quotes"},
      {"a=1 2", "not valid JSON"},
      {"a={\"b\": 1, \"b\": 2}", "stands twice"},
      {"\x1b]0;x\x07.b=1", "the config has no object '\\x1b]0;x\\x07'"},
  };
  for (const auto& [assignment, fragment] : kRefused)
    EXPECT_THAT(overridden({assignment}), ::testing::HasSubstr(fragment)) << assignment;
  EXPECT_THAT(overridden({"a=" + std::string(100, '[') + std::string(100, ']')}),
              ::testing::HasSubstr("nested deeper"));
}

TEST(ConfigOverride, LeavesWhatIsNoObjectToItsReader) {
  Json config = Json::Array{};
  EXPECT_TRUE(override_fields(config, std::vector<std::string>{"a=1"}).ok());
  EXPECT_NE(config.as_array(), nullptr);
}

}  // namespace
}  // namespace longhaul
