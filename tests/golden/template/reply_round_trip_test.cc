// A model's turn as a chat template writes it, read back as if the model had written it: the same
// reasoning, content and calls.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "text/chat/chat_template.h"
#include "text/chat/reply_parser.h"

namespace longhaul {
namespace {

constexpr const char* kTools =
    R"([{"type": "function", "function": {"name": "weather", "description": "w", "parameters":
    {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "at": {"type": "object"}}}}}])";

struct Turn {
  std::string reasoning, content;
  std::vector<std::pair<std::string, std::string>> calls;  // name, arguments
};

Json message_of(const Turn& turn) {
  Json m = Json::object({{"role", "assistant"}, {"content", turn.content}});
  if (!turn.reasoning.empty()) m.set("reasoning_content", turn.reasoning);
  Json::Array calls;
  for (const auto& [name, arguments] : turn.calls) {
    calls.push_back(Json::object(
        {{"type", "function"},
         {"function",
          Json::object({{"name", name}, {"arguments", *parse_json(arguments, "a")}})}}));
  }
  if (!calls.empty()) m.set("tool_calls", std::move(calls));
  return m;
}

std::string rendered(const ChatTemplate& chat_template, Json::Array messages, bool thinking,
                     bool prompt) {
  const auto text = chat_template.render(Json::object({{"messages", std::move(messages)},
                                                       {"tools", *parse_json(kTools, "tools")},
                                                       {"enable_thinking", thinking},
                                                       {"add_generation_prompt", prompt},
                                                       {"bos_token", "<bos>"}}));
  EXPECT_TRUE(text.ok()) << (text.ok() ? "" : text.error().text());
  return text.ok() ? *text : std::string();
}

// stop: what ends the model's turn, and is no part of what it writes.
void check(const std::string& file, const std::string& stop, bool thinking, const Turn& turn) {
  SCOPED_TRACE(file + (thinking ? ", thinking: " : ": ") + turn.reasoning + "|" + turn.content);
  std::ifstream in(LH_SOURCE_DIR "/tests/golden/template/" + file, std::ios::binary);
  std::ostringstream source;
  source << in.rdbuf();
  const auto chat_template = ChatTemplate::parse(source.str(), file);
  ASSERT_TRUE(chat_template.ok());
  const Json user = Json::object({{"role", "user"}, {"content", "Say <think> or <|channel>?"}});
  const std::string prompt = rendered(*chat_template, {user}, thinking, true);
  const std::string whole = rendered(*chat_template, {user, message_of(turn)}, thinking, false);
  // Where a template's prompt closes the reasoning and its history does not write that, the turn
  // begins at the shorter place.
  size_t begin = 0;
  while (begin < std::min(prompt.size(), whole.size()) && prompt[begin] == whole[begin]) ++begin;
  while (begin > 0 && whole[begin - 1] != '>' && whole[begin - 1] != '\n') --begin;
  const ReplyFormat format = find_reply_format(source.str(), nullptr);
  const bool inside = begin == prompt.size() && ends_inside_reasoning(format, prompt);
  std::string_view written = std::string_view(whole).substr(begin);
  written = written.substr(0, written.find(stop));

  ReplyParser parser(format, *Tools::parse(kTools, "tools"), inside);
  for (const char c : written) parser.push(std::string_view(&c, 1));
  parser.finish();
  const Reply& reply = parser.reply();
  EXPECT_EQ(reply.reasoning, turn.reasoning) << written;
  std::string content = reply.content;
  while (content.ends_with('\n')) content.pop_back();  // before the end of the turn
  EXPECT_EQ(content, turn.content) << written;
  ASSERT_EQ(reply.tool_calls.size(), turn.calls.size()) << written;
  for (size_t i = 0; i < turn.calls.size(); ++i) {
    EXPECT_EQ(reply.tool_calls[i].name, turn.calls[i].first);
    EXPECT_EQ(reply.tool_calls[i].arguments, turn.calls[i].second);
  }
}

const std::vector<Turn> kPlain = {
    {"", "Hello.\n\n  Two lines.", {}},
    {"", "", {{"weather", R"({"city": "Z\u00fcrich \"x\"", "days": 3})"}}}};
const std::vector<Turn> kThinking = {
    {"Hm.\n\nWell <b>.", "Hello.", {}},
    {"Look it up.",
     "",
     {{"weather", R"({"at": {"x": [1, null, true], "y": "z"}, "city": " 75001\n"})"},
      {"weather", R"({"days": -2})"}}}};

Turn unescaped(Turn turn) {
  for (auto& call : turn.calls) {
    const size_t at = call.second.find("\\u00fc");
    if (at != std::string::npos) call.second.replace(at, 6, "\u00fc");
  }
  return turn;
}

TEST(ReplyRoundTrip, EachTemplateReadsBackWhatItWrites) {
  const std::pair<const char*, const char*> kTemplates[] = {{"laguna_v5.jinja", "</assistant>"},
                                                            {"laguna_v8.jinja", "</assistant>"},
                                                            {"chatml_tools.jinja", "<|im_end|>"}};
  for (const auto& [file, stop] : kTemplates) {
    for (const Turn& turn : kPlain) check(file, stop, false, unescaped(turn));
    for (const Turn& turn : kThinking) check(file, stop, true, turn);
  }
  for (const char* file : {"gemma4_large.jinja", "gemma4_small.jinja"}) {
    for (const Turn& turn : kPlain)
      check(file, turn.calls.empty() ? "<turn|>" : "<|tool_response>", false, unescaped(turn));
    for (const Turn& turn : kThinking)
      check(file, turn.calls.empty() ? "<turn|>" : "<|tool_response>", true, turn);
  }
}

TEST(ReplyRoundTrip, TheFormatIsFoundInEachTemplate) {
  const auto format = [](const char* file) {
    std::ifstream in(std::string(LH_SOURCE_DIR "/tests/golden/template/") + file, std::ios::binary);
    std::ostringstream source;
    source << in.rdbuf();
    const ReplyFormat f = find_reply_format(source.str(), nullptr);
    return f.think_open + f.think_label + " " + f.call_open +
           (f.newlines_are_layout ? " lines" : "");
  };
  EXPECT_EQ(format("laguna_v5.jinja"), "<think> <tool_call> lines");
  EXPECT_EQ(format("laguna_v8.jinja"), "<think> <tool_call>");
  EXPECT_EQ(format("chatml_tools.jinja"), "<think> <tool_call> lines");
  EXPECT_EQ(format("gemma4_large.jinja"), "<|channel>thought <|tool_call> lines");
  EXPECT_EQ(format("gemma3.jinja"), " ");
}

}  // namespace
}  // namespace longhaul
