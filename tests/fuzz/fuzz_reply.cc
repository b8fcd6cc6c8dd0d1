// Any text as a model's answer, in each format: however it is cut, the reply is the same; arguments are JSON objects; and where
// there is no marker, nothing of the text is missing.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "text/chat/reply_parser.h"
#include "text/utf8.h"

namespace {

using namespace longhaul;

std::string shown(const Reply& reply) {
  std::string out = reply.reasoning + '\0' + reply.content + '\0';
  for (const ToolCall& call : reply.tool_calls) out += call.name + '\0' + call.arguments + '\0';
  return out;
}

Reply read(const ReplyFormat& format, const Tools& tools, bool inside, std::string_view text, size_t piece) {
  ReplyParser parser(format, tools, inside);
  size_t given = 0;
  for (size_t at = 0; at < text.size(); at += piece) {
    for (const ReplyPart& part : parser.push(text.substr(at, piece))) given += part.text.size();
  }
  for (const ReplyPart& part : parser.finish()) given += part.text.size();
  LH_CHECK(given == parser.reply().reasoning.size() + parser.reply().content.size());
  return parser.reply();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<ReplyFormat> kFormats = {find_reply_format("", nullptr),
                                                    find_reply_format("<think></think><tool_call>", nullptr),
                                                    find_reply_format("<think>\n</think><tool_call>", nullptr),
                                                    find_reply_format("<|channel><channel|><|tool_call>", nullptr),
                                                    find_reply_format("<think>\n</think><zyphra_tool_call>", nullptr),
                                                    find_reply_format("</think>｜DSML｜", nullptr)};
  static const Tools kTools = *Tools::parse(
      R"([{"name": "f", "parameters": {"properties": {"a": {"type": "string"}, "b": {"type": ["integer", "null"]}}}}])", "tools");
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (find_invalid_utf8(text)) return 0;  // a detokenizer gives none
  const ReplyFormat& format = kFormats[data[0] % kFormats.size()];
  const bool inside = data[0] >= 128;
  const Reply whole = read(format, kTools, inside, text, text.size() + 1);
  LH_CHECK(shown(read(format, kTools, inside, text, 1)) == shown(whole));
  LH_CHECK(shown(read(format, kTools, inside, text, 1 + data[0] % 7)) == shown(whole));
  LH_CHECK(!find_invalid_utf8(whole.reasoning) && !find_invalid_utf8(whole.content));
  for (const ToolCall& call : whole.tool_calls) {
    const auto arguments = parse_json(call.arguments, "arguments");
    LH_CHECK(!call.name.empty() && arguments.ok() && arguments->as_object() != nullptr);
  }
  if (text.find('<') == text.npos && text.find('\n') == text.npos) LH_CHECK(whole.reasoning + whole.content == text);
  return 0;
}
