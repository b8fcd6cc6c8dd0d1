#include "cli/chat_options.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/input.h"
#include "cli/option_values.h"
#include "cli/output.h"
#include "cli/standard_streams.h"

namespace longhaul::cli {

void ChatFlags::add_to(CLI::App& c) {
  template_set_ = c.add_option("--chat-template", template_file_,
                               "a Jinja template to use instead of the checkpoint's");
  thinking_set_ = add_choice(c, "--thinking", thinking_,
                             "off, on, max (the longest reasoning, where the format has it), or "
                             "auto: as the template does by itself",
                             {"auto", "off", "on", "max"});
  think_set_ = c.add_flag("--think", think_, "the same as --thinking on");
  tools_set_ =
      c.add_option("--tools", tools_file_,
                   "a JSON array of the functions that the model may call, as in OpenAI's API");
}

bool ChatFlags::given() const {
  return *template_set_ || *thinking_set_ || *think_set_ || *tools_set_;
}

Result<ChatOptions> ChatFlags::options() const {
  if (*think_set_ && *thinking_set_)
    return Error{ErrorCode::kInvalidArgument, "--think means --thinking on; give one of the two"};
  ChatOptions options;
  const Result<Thinking> thinking = parse_thinking(thinking_);
  if (!thinking.ok()) return thinking.error();
  options.thinking = think_ ? Thinking::kOn : *thinking;
  const auto read = [](const std::string& file, std::string& text) -> Status {
    if (file.empty()) return {};
    Result<std::string> content = read_text(file);
    if (!content.ok()) return content.take_error();
    text = std::move(*content);
    return {};
  };
  if (Status s = read(template_file_, options.template_source); !s.ok()) return s.take_error();
  std::string tools;
  if (Status s = read(tools_file_, tools); !s.ok()) return s.take_error();
  if (tools.empty()) return options;
  Result<std::vector<Tool>> parsed = parse_tools(tools);
  if (!parsed.ok()) return parsed.take_error();
  options.tools = std::move(*parsed);
  return options;
}

ReplyPrinter::ReplyPrinter() : terminal_(stdout_is_terminal()) {}

void ReplyPrinter::dim(bool on) {
  if (on != dimmed_) write_out(on ? "\x1b[2m" : "\x1b[0m");
  dimmed_ = on;
}

// Reasoning, content and calls begin on lines of their own, reasoning with an empty line behind it.
void ReplyPrinter::begin(ReplyPart::Kind kind) {
  const bool changes = started_ && (kind != last_ || kind == ReplyPart::Kind::kToolCall);
  if (changes && line_open_) write_out("\n");
  if (changes && last_ == ReplyPart::Kind::kReasoning) write_out("\n");
  dim(kind == ReplyPart::Kind::kReasoning);
  started_ = true;
  last_ = kind;
}

void ReplyPrinter::print(const std::vector<ReplyPart>& parts) {
  for (const ReplyPart& part : parts) {
    if (part.kind == ReplyPart::Kind::kContentWasReasoning) {
      // What is printed stays; the answer begins on a line of its own.
      if (line_open_) write_out("\n");
      line_open_ = false;
      continue;
    }
    if (part.kind == ReplyPart::Kind::kReasoning && !terminal_) continue;
    begin(part.kind);
    const std::string text = part.kind == ReplyPart::Kind::kToolCall
                                 ? fmt::format("{}({})", part.call.name, part.call.arguments)
                                 : part.text;
    write_out(text);
    line_open_ = !text.ends_with('\n');
  }
}

void ReplyPrinter::end() {
  dim(false);
  write_out("\n");
}

void tell_if_cut(StopReason reason, int64_t context, const Reply* reply, bool is_conversation) {
  const bool is_full = reason == StopReason::kContextFull;
  if (!is_full && reason != StopReason::kLength) return;
  const bool only_reasoning = reply != nullptr && !reply->reasoning.empty() &&
                              reply->content.empty() && reply->tool_calls.empty();
  const char* begins_anew = is_conversation ? ", or begin anew with /reset" : "";
  if (is_full) {
    tell(fmt::format("the context of {} tokens is full: {}; give a larger --context{}", context,
                     only_reasoning ? "the reasoning was cut off before the answer began"
                                    : "the answer was cut off",
                     begins_anew));
  } else if (only_reasoning) {
    tell("the reasoning was cut off before the answer began; allow more tokens with -n");
  }
}

void tell_lost_calls(const Reply& reply) {
  for (const ReplyNote& note : reply.notes) {
    const std::string call = note.call.empty() ? "a call" : "the call of " + note.call;
    if (note.kind == ReplyNote::Kind::kCutOffCall) {
      tell(call + " was cut off and left out; allow more tokens with -n or --context");
    } else if (note.kind == ReplyNote::Kind::kUnreadableCall) {
      tell(call + " cannot be read and is shown as text; --json shows it in reply_notes");
    }
  }
}

std::string tool_calls_json(const std::vector<ToolCall>& calls) {
  std::string out;
  for (const ToolCall& call : calls) {
    out += fmt::format("{}{{\"name\": {}, \"arguments\": {}}}", out.empty() ? "" : ", ",
                       json_escape(call.name), call.arguments);
  }
  return "[" + out + "]";
}

std::string reply_notes_json(const std::vector<ReplyNote>& notes) {
  std::string out;
  for (const ReplyNote& note : notes) {
    out += fmt::format("{}{{\"kind\": \"{}\", \"call\": {}, \"detail\": {}, \"count\": {}}}",
                       out.empty() ? "" : ", ", to_string(note.kind), json_escape(note.call),
                       json_escape(note.detail), note.count);
  }
  return "[" + out + "]";
}

}  // namespace longhaul::cli
