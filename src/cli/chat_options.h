// What run --chat and chat share: the options of a conversation, and how an answer is shown.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "longhaul/chat.h"
#include "longhaul/generate.h"

namespace longhaul::cli {

// --chat-template, --thinking, --think, --tools.
class ChatFlags {
 public:
  void add_to(CLI::App& command);
  bool given() const;
  // Reads the files that were named.
  Result<ChatOptions> options() const;

 private:
  std::string template_file_, thinking_ = "auto", tools_file_;
  bool think_ = false;
  CLI::Option *template_set_ = nullptr, *thinking_set_ = nullptr, *think_set_ = nullptr,
              *tools_set_ = nullptr;
};

// Writes an answer to standard output while it comes: content as it is; reasoning dimmed on a
// terminal and not at all elsewhere; calls on lines of their own.
class ReplyPrinter {
 public:
  ReplyPrinter();
  void print(const std::vector<ReplyPart>& parts);
  void end();  // the answer is over

 private:
  void begin(ReplyPart::Kind kind);
  void dim(bool on);

  bool terminal_, dimmed_ = false, line_open_ = false, started_ = false;
  ReplyPart::Kind last_ = ReplyPart::Kind::kContent;
};

// A line on standard error where the context filled up during the answer, or the tokens were used
// up before the answer itself began. reply: null for a completion.
void tell_if_cut(StopReason reason, int64_t context, const Reply* reply, bool is_conversation);
// A line on standard error for each call that was cut off or cannot be read.
void tell_lost_calls(const Reply& reply);
std::string tool_calls_json(
    const std::vector<ToolCall>& calls);  // [{"name": ..., "arguments": {...}}, ...]
// [{"kind": ..., "call": ..., "detail": ..., "count": ...}, ...]
std::string reply_notes_json(const std::vector<ReplyNote>& notes);

}  // namespace longhaul::cli
