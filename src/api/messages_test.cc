#include <gmock/gmock.h>

#include "api/messages.h"

namespace longhaul {
namespace {

using ::testing::HasSubstr;

TEST(Messages, AreReadBackAsTheyWereWritten) {
  const std::vector<Message> messages = {
      {Role::kSystem, "be \"brief\""},
      {Role::kUser, "what\nis 6*7?"},
      {.role = Role::kAssistant,
       .content = "",
       .reasoning = "a product",
       .tool_calls = {{"multiply", "{\"a\": 6, \"b\": 7.10}", "call_1"}}},
      {.role = Role::kTool, .content = "42", .tool_call_id = "call_1", .name = "multiply"},
  };
  const std::string json = to_json(messages);
  const auto back = parse_messages(json);
  ASSERT_TRUE(back.ok()) << back.error().text();
  ASSERT_EQ(back->size(), messages.size());
  EXPECT_EQ(to_json(*back), json);
  const Message& call = (*back)[2];
  EXPECT_EQ(call.role, Role::kAssistant);
  EXPECT_EQ(call.reasoning, "a product");
  ASSERT_EQ(call.tool_calls.size(), 1u);
  EXPECT_EQ(call.tool_calls[0].arguments, "{\"a\": 6, \"b\": 7.10}");
  EXPECT_EQ(call.tool_calls[0].id, "call_1");
}

TEST(Messages, TemplatesAreGivenArgumentsAsAnObject) {
  const Message m{
      .role = Role::kAssistant, .content = "x", .tool_calls = {{"f", "{\"n\": 1}", "c"}}};
  const auto json = messages_json(std::span(&m, 1));
  ASSERT_TRUE(json.ok());
  EXPECT_EQ(json->dump(),
            R"([{"role":"assistant","content":"x","tool_calls":[{"id":"c","type":"function",)"
            R"("function":{"name":"f","arguments":{"n":1}}}]}])");
  const Message bad{.role = Role::kAssistant, .content = "", .tool_calls = {{"f", "{", "c"}}};
  EXPECT_THAT(messages_json(std::span(&bad, 1)).error().text(), HasSubstr("arguments of f"));
}

TEST(Messages, WhatIsNoConversationIsRefused) {
  for (const auto& [json, words] :
       {std::pair{"{}", "expected a list"},
        {"[1]", "messages[0]"},
        {R"([{"role": "usr", "content": ""}])", "did you mean 'user'"},
        {R"([{"role": "user", "content": 5}])", "content is"},
        {R"([{"role": "user", "content": [{"type": "image"}]}])", "is no text"},
        {R"([{"role": "assistant", "tool_calls": [{}]}])", "has no function"}}) {
    const auto messages = parse_messages(json);
    ASSERT_FALSE(messages.ok()) << json;
    EXPECT_THAT(messages.error().text(), HasSubstr(words));
  }
  const auto parts = parse_messages(
      R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}])");
  ASSERT_TRUE(parts.ok());
  EXPECT_EQ(parts->front().content, "ab");
}

TEST(Messages, ToolsKeepTheirWholeDefinition) {
  const auto tools =
      parse_tools(R"([{"name": "f", "strict": true, "parameters": {"z": 1, "a": 2}}])");
  ASSERT_TRUE(tools.ok()) << tools.error().text();
  EXPECT_EQ(tools->front().name, "f");
  EXPECT_THAT(tools->front().definition, HasSubstr(R"("strict":true,"parameters":{"z":1,"a":2})"));
  const auto again = tools_of(*tools);
  ASSERT_TRUE(again.ok());
  EXPECT_TRUE(again->has("f"));
  EXPECT_FALSE(parse_tools("[{}]").ok());
}

}  // namespace
}  // namespace longhaul
