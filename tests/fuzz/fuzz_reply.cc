// Any text as a model's answer, in each format: however it is cut, the parts are the same;
// arguments are JSON objects; no marker is left, except in code; and where there is no marker,
// nothing of the text is missing.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/utf8.h"
#include "text/chat/loose_values.h"
#include "text/chat/reply_parser.h"

namespace {

using namespace longhaul;
using Kind = ReplyPart::Kind;

std::string shown(const Reply& reply) {
  std::string out = reply.reasoning + '\0' + reply.content + '\0';
  for (const ToolCall& call : reply.tool_calls) out += call.name + '\0' + call.arguments + '\0';
  for (const ReplyNote& note : reply.notes) {
    out += std::string(to_string(note.kind)) + '\0' + note.call + '\0' + note.detail + '\0' +
           std::to_string(note.count) + '\0';
  }
  return out;
}

// The parts in their order, those of one kind side by side made one.
struct Parts {
  std::string text;
  Reply total;

  void add(const std::vector<ReplyPart>& parts) {
    for (const ReplyPart& part : parts) {
      if (part.kind != last || (part.kind != Kind::kReasoning && part.kind != Kind::kContent))
        text += static_cast<char>('0' + static_cast<int>(part.kind));
      last = part.kind;
      text += part.text + part.call.name + part.call.arguments;
      if (part.kind == Kind::kToolCall) total.tool_calls.push_back(part.call);
      if (part.kind == Kind::kReasoning) total.reasoning += part.text;
      if (part.kind == Kind::kContent) total.content += part.text;
      if (part.kind == Kind::kContentWasReasoning) {
        total.reasoning += part.text + total.content;
        total.content.clear();
      }
    }
  }

 private:
  Kind last = Kind::kToolCall;
};

std::string read(const ReplyFormat& format, const Tools& tools, bool inside, std::string_view text,
                 size_t piece, Reply* reply = nullptr) {
  ReplyParser parser(format, tools, inside);
  Parts parts;
  for (size_t at = 0; at < text.size(); at += piece) parts.add(parser.push(text.substr(at, piece)));
  parts.add(parser.finish());
  parts.total.notes = parser.reply().notes;
  LH_CHECK(shown(parts.total) == shown(parser.reply()));
  if (reply != nullptr) *reply = parser.reply();
  return parts.text + '\0' + shown(parser.reply());
}

bool has_marker(const ReplyFormat& format, std::string_view text) {
  for (size_t at = text.find('<'); at != text.npos; at = text.find('<', at + 1)) {
    const Marker::Kind kind = marker_at(format, text.substr(at)).kind;
    if (kind != Marker::Kind::kNone && kind != Marker::Kind::kPartial) return true;
  }
  return false;
}

// The value in the braces notation; false where that cannot say it.
bool write_braces(const Json& value, std::string& out) {
  static constexpr std::string_view kMark = "<|\"|>";
  const auto write_all = [&](const auto& items, char open, char close, const auto& write) {
    out += open;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out += ',';
      if (!write(items[i])) return false;
    }
    out += close;
    return true;
  };
  if (const std::string* text = value.as_string()) {
    out.append(kMark).append(*text).append(kMark);
    return text->find(kMark) == text->npos && !text->ends_with("<|\"|") && !text->ends_with('<');
  }
  if (const auto* items = value.as_array()) {
    return write_all(*items, '[', ']', [&](const Json& item) { return write_braces(item, out); });
  }
  if (const auto* members = value.as_object()) {
    return write_all(*members, '{', '}', [&](const Json::Member& member) {
      out += member.first + ':';
      const bool simple = !member.first.empty() &&
                          member.first.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789") ==
                              std::string::npos;
      return simple && write_braces(member.second, out);
    });
  }
  out += value.dump();
  return true;
}

size_t depth(const Json& value) {
  size_t deepest = 0;
  if (const auto* items = value.as_array()) {
    for (const Json& item : *items) deepest = std::max(deepest, depth(item));
    return deepest + 1;
  }
  if (const auto* members = value.as_object()) {
    for (const auto& member : *members) deepest = std::max(deepest, depth(member.second));
    return deepest + 1;
  }
  return 0;
}

// A call as a model writes it without a slip is read as it stands.
void check_exact(const ReplyFormat& format, const ToolCall& call, const std::string& body) {
  ReplyParser parser(format, {}, false);
  parser.push(format.call_open + body + format.call_close);
  parser.finish();
  const Reply& reply = parser.reply();
  LH_CHECK(reply.notes.empty() && reply.content.empty() && reply.reasoning.empty() &&
           reply.tool_calls.size() == 1);
  LH_CHECK(reply.tool_calls[0].name == call.name &&
           reply.tool_calls[0].arguments == call.arguments);
}

void check_read_back(const ReplyFormat& format, const ToolCall& call) {
  const std::string object =
      "{\"name\": " + Json(call.name).dump() + ", \"arguments\": " + call.arguments + "}";
  if (depth(*parse_json(call.arguments, "arguments")) < kMaxCallDepth)
    check_exact(format, call, object);
  std::string braces = "call:" + call.name;
  if (call.name.find_first_of(" \t\r()[]\"'`,;") == std::string::npos &&
      write_braces(*parse_json(call.arguments, "arguments"), braces)) {
    check_exact(format, call, braces);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<ReplyFormat> kFormats = {
      find_reply_format("", nullptr),
      find_reply_format("<think></think><tool_call>", nullptr),
      find_reply_format("<think>\n</think><tool_call>", nullptr),
      find_reply_format("<|channel><channel|><|tool_call>", nullptr),
      find_reply_format("<think>\n</think><zyphra_tool_call>", nullptr),
      find_reply_format("</think>｜DSML｜", nullptr)};
  static const Tools kTools = *Tools::parse(
      R"([{"name": "f", "parameters": {"properties": {"a": {"type": "string"}, "b": {"type": ["integer", "null"]}, "c": {"type": "array"}}}}])",
      "tools");
  static const Tools kNoTools;
  if (size < 1) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (find_invalid_utf8(text)) return 0;  // a detokenizer gives none
  const ReplyFormat& format = kFormats[data[0] % kFormats.size()];
  const bool inside = data[0] >= 128;
  const Tools& tools = data[0] % 64 >= 32 ? kNoTools : kTools;
  Reply reply;
  const std::string whole = read(format, tools, inside, text, text.size() + 1, &reply);
  LH_CHECK(read(format, tools, inside, text, 1) == whole);
  LH_CHECK(read(format, tools, inside, text, 1 + data[0] % 7) == whole);
  LH_CHECK(!find_invalid_utf8(reply.reasoning) && !find_invalid_utf8(reply.content));
  for (const ToolCall& call : reply.tool_calls) {
    const auto arguments = parse_json(call.arguments, "arguments");
    LH_CHECK(!call.name.empty() && arguments.ok() && arguments->as_object() != nullptr &&
             arguments->dump_spaced() == call.arguments);
    LH_CHECK(call.name.find_first_of("<>\n") == call.name.npos);
    if (!format.call_open.empty()) check_read_back(format, call);
  }
  if (text.find('`') == text.npos)
    LH_CHECK(!has_marker(format, reply.reasoning) && !has_marker(format, reply.content));
  const bool plain = text.find('<') == text.npos && text.find('\n') == text.npos &&
                     text.find("call:") == text.npos && !text.starts_with('f');
  if (plain) LH_CHECK(reply.reasoning + reply.content == text && reply.notes.empty());
  return 0;
}
