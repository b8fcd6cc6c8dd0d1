#include "formats/config_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "formats/formats_testing.h"

namespace longhaul {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ConfigReaderTest : public ::testing::Test {
 protected:
  ConfigReader reader(std::string_view text) {
    auto parsed = parse_json(text, "config.json");
    EXPECT_TRUE(parsed.ok());
    json_ = std::move(*parsed);
    return ConfigReader(json_, "config.json");
  }
  static std::string message(const Status& status) {
    return status.ok() ? "ok" : status.error().text();
  }

  Json json_;
};

TEST_F(ConfigReaderTest, ReadsEachType) {
  auto r = reader(
      R"({"i":3,"n":1.5,"whole":10000,"b":true,"s":"x","c":"full","l":[1,2],"f":[0.5,1],"bs":[true,false],
                     "ss":["a"],"cs":["full","sliding"],"id":7,"ids":[7,8]})");
  EXPECT_EQ(r.integer("i", {.min = 1, .max = 3}), 3);
  EXPECT_EQ(r.number("n"), 1.5);
  EXPECT_EQ(r.number("whole"), 10000.0);
  EXPECT_TRUE(r.boolean("b"));
  EXPECT_EQ(r.string("s"), "x");
  EXPECT_EQ(r.choice("c", {"sliding", "full"}), 1u);
  EXPECT_THAT(r.integers("l"), ElementsAre(1, 2));
  EXPECT_THAT(r.numbers("f", {.min = 2, .max = 2}), ElementsAre(0.5, 1.0));
  EXPECT_THAT(r.booleans("bs"), ElementsAre(true, false));
  EXPECT_THAT(r.strings("ss"), ElementsAre("a"));
  EXPECT_THAT(r.choices("cs", {"sliding", "full"}), ElementsAre(1, 0));
  EXPECT_THAT(r.integer_or_list("id"), ElementsAre(7));
  EXPECT_THAT(r.integer_or_list("ids"), ElementsAre(7, 8));
  EXPECT_EQ(message(r.finish()), "ok");
}

TEST_F(ConfigReaderTest, TakesNullForMissing) {
  auto r = reader(R"({"a":null})");
  EXPECT_FALSE(r.has("a"));
  EXPECT_EQ(r.integer("a", {}, 5), 5);
  EXPECT_EQ(r.number("b", {}, 0.5), 0.5);
  EXPECT_TRUE(r.boolean("b", true));
  EXPECT_EQ(r.string("b", "y"), "y");
  EXPECT_EQ(r.choice("b", {"x", "y"}, 1), 1u);
  EXPECT_EQ(r.optional_integer("a"), std::nullopt);
  EXPECT_EQ(r.optional_number("a"), std::nullopt);
  EXPECT_EQ(r.optional_boolean("a"), std::nullopt);
  EXPECT_EQ(r.optional_string("a"), std::nullopt);
  EXPECT_FALSE(r.optional_child("a").has_value());
  EXPECT_THAT(r.integers("a"), IsEmpty());
  EXPECT_THAT(r.integer_or_list("a"), IsEmpty());
  EXPECT_EQ(message(r.status()), "ok");
  r.integer("a");
  EXPECT_EQ(message(r.status()),
            "config.json: a: null or missing, expected an integer of at least 0");
}

TEST_F(ConfigReaderTest, ReportsAllProblemsWithTheirPaths) {
  auto r = reader(R"({"text_config":{"hidden_size":0,"layer_types":["full",3],"eps":"small"}})");
  auto text = r.child("text_config");
  EXPECT_EQ(text.integer("hidden_size", {.min = 1, .max = 9}), 1);
  text.strings("layer_types");
  text.number("eps");
  const Status status = r.status();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kCorruptFile);
  EXPECT_EQ(status.error().text(),
            "config.json: 3 problems:\n"
            "  text_config.hidden_size: is 0, expected an integer from 1 to 9\n"
            "  text_config.layer_types[1]: is 3, expected a string\n"
            "  text_config.eps: is \"small\", expected a number");
}

TEST_F(ConfigReaderTest, ChecksTypesStrictly) {
  auto r = reader(R"({"f":1.0,"b":1,"s":false,"o":[],"a":{},"big":18446744073709551615})");
  r.integer("f");
  r.boolean("b");
  r.string("s");
  r.child("o");
  r.integers("a");
  r.integer("big");
  const std::string text = message(r.status());
  EXPECT_THAT(text, HasSubstr("f: is 1.0, expected an integer"));
  EXPECT_THAT(text, HasSubstr("b: is 1, expected true or false"));
  EXPECT_THAT(text, HasSubstr("s: is false, expected a string"));
  EXPECT_THAT(text, HasSubstr("o: is an array, expected an object"));
  EXPECT_THAT(text, HasSubstr("a: is an object, expected an array of integers"));
  EXPECT_THAT(text, HasSubstr("big: is 18446744073709551615, expected an integer"));
}

TEST_F(ConfigReaderTest, ChecksRangesAndLengths) {
  auto r = reader(R"({"eps":-1.0,"l":[1,2,3],"m":[5]})");
  r.number("eps", {.min = 0});
  r.integers("l", {.min = 2, .max = 2});
  r.integers("m", {.min = 1, .max = 3}, {.min = 0, .max = 4});
  r.integers("absent", {.min = 1, .max = 3});
  const std::string text = message(r.status());
  EXPECT_THAT(text, HasSubstr("eps: is -1.0, expected a number of at least 0"));
  EXPECT_THAT(text, HasSubstr("l: has 3 elements, expected 2"));
  EXPECT_THAT(text, HasSubstr("m[0]: is 5, expected an integer from 0 to 4"));
  EXPECT_THAT(text, HasSubstr("absent: null or missing, expected an array of integers"));
}

TEST_F(ConfigReaderTest, CallsAnUnknownChoiceUnsupportedRatherThanCorrupt) {
  auto r = reader(R"({"hidden_act":"relu6"})");
  r.choice("hidden_act", {"silu", "gelu"});
  EXPECT_EQ(r.status().error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(message(r.status()), "config.json: hidden_act: is 'relu6', supported: 'silu', 'gelu'");
  r.fail("hidden_act", "is odd");
  EXPECT_EQ(r.status().error().code, ErrorCode::kCorruptFile);
}

TEST_F(ConfigReaderTest, RefusesFieldsThatNobodyRead) {
  auto r = reader(
      R"({"a":1,"new_trick":true,"text_config":{"b":1,"new_scale":2},"vision_config":{"x":1}})");
  r.integer("a");
  auto text = r.child("text_config");
  text.integer("b");
  constexpr std::array kIgnored = {IgnoredField{"vision_config", "text only"},
                                   IgnoredField{"absent", "older files have it"}};
  r.ignore(kIgnored);
  EXPECT_THAT(r.unread_keys(), ElementsAre("new_trick", "text_config.new_scale"));
  EXPECT_EQ(message(r.status()), "ok");
  EXPECT_EQ(r.finish().error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(message(r.finish()), HasSubstr("2 problems:\n  new_trick: not known"));
  r.ignore("new_trick", "no effect");
  r.child("text_config").ignore("new_scale", "no effect");
  EXPECT_EQ(message(r.finish()), "ok");
}

TEST_F(ConfigReaderTest, TellsWhatToDoAboutAFieldThatIsNotKnown) {
  auto one = reader(R"({"o":{"new_trick":true,"unsloth_fixed":true,"x":null}})");
  one.child("o");
  EXPECT_EQ(message(one.finish()),
            "config.json: o.new_trick: not known to this family; it may change the model's "
            "results; take it away with --set "
            "o.new_trick=null, or go on at your own risk with --ignore-unknown-fields");
  auto two = reader(R"({"new_trick":true,"newer":[1]})");
  EXPECT_THAT(message(two.finish()), HasSubstr("\ntake a field that is not known away with --set "
                                               "FIELD=null, or go on at your own risk with "
                                               "--ignore-unknown-fields"));
}

TEST_F(ConfigReaderTest, ListsFieldsThatTheUserTakesTheRiskOf) {
  const auto json = parse_json(
      R"({"a":"text","new_trick":true,"o":{"\u001b":1},"quantization_config":{"quant_method":"gptq"}})",
      "c");
  std::vector<std::string> ignored;
  ConfigReader r({*json, "config.json", &ignored});
  r.child("o");
  EXPECT_THAT(message(r.finish()),
              HasSubstr("quantization_config: weights quantised by 'gptq' are not supported"));
  EXPECT_THAT(message(r.finish()), HasSubstr("--set quantization_config=null"));
  EXPECT_THAT(ignored, ElementsAre("a", "new_trick", "o.\\x1b")) << "each once";
  r.integer("a");
  EXPECT_THAT(message(r.finish()), HasSubstr("a: is \"text\", expected an integer"))
      << "values of known fields are checked nevertheless";
}

TEST_F(ConfigReaderTest, TakesCopiesOfAnInnerObjectsFields) {
  auto r = reader(R"({"vocab_size":8,"eps":1e-6,"window":4,"lists":[1,2],"other":5,
                      "text_config":{"vocab_size":8,"eps":0.000001,"window":5,"lists":[1,2]}})");
  auto text = r.child("text_config");
  r.holds_copies_of(text);
  for (const char* key : {"vocab_size", "window"}) text.integer(key);
  text.number("eps");
  text.integers("lists");
  const std::string found = message(r.finish());
  EXPECT_THAT(found, HasSubstr("window: is 4, and 5 where it counts, in text_config"));
  EXPECT_THAT(found, HasSubstr("other: not known to this family"));
  EXPECT_THAT(found, HasSubstr("2 problems"));
}

TEST_F(ConfigReaderTest, ReportsAMissingObjectOnceAndNotItsFields) {
  auto r = reader(R"({})");
  auto text = r.child("text_config");
  EXPECT_EQ(text.integer("hidden_size", {.min = 1}), 1);
  text.child("rope").number("theta");
  text.fail("hidden_size", "is odd");
  EXPECT_THAT(text.keys(), IsEmpty());
  EXPECT_EQ(message(r.finish()), "config.json: text_config: null or missing, expected an object");
}

TEST_F(ConfigReaderTest, ListsKeysUpToALimit) {
  auto r = reader(R"({"rope":{"full":1,"sliding":2}})");
  EXPECT_THAT(r.child("rope").keys(), ElementsAre("full", "sliding"));
  EXPECT_THAT(r.child("rope").keys(1), IsEmpty());
  EXPECT_EQ(message(r.status()), "config.json: rope: has 2 fields, expected at most 1");
}

TEST_F(ConfigReaderTest, WantsAnObject) {
  auto r = reader("[1]");
  r.integer("a");
  EXPECT_EQ(message(r.finish()), "config.json: is an array, expected an object");
}

TEST_F(ConfigReaderTest, CutsLongLists) {
  auto r = reader("{}");
  for (int i = 0; i < 40; ++i) r.integer(fmt::format("k{}", i));
  EXPECT_THAT(message(r.status()), HasSubstr("40 problems"));
  EXPECT_THAT(message(r.status()), HasSubstr("and 10 more"));
}

TEST(ReadJsonFile, NamesTheFileAndItsLimit) {
  TemporaryFolder folder;
  folder.write("c.json", "{\"a\": 1}");
  const std::string path = folder.path() + "/c.json";
  EXPECT_TRUE(read_json_file(path, 8).ok());
  EXPECT_THAT(read_json_file(path, 7).error().text(),
              HasSubstr("c.json: 8 bytes, expected at most 7"));
  EXPECT_EQ(read_json_file(path + "x", 7).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace longhaul
