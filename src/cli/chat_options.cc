#include "cli/chat_options.h"

#include <fmt/format.h>

#include <cstdio>

#include "cli/command.h"
#include "longhaul/terminal.h"

namespace longhaul::cli {

void ChatFlags::add_to(CLI::App& c) {
  template_set_ = c.add_option("--chat-template", template_file_, "a Jinja template to use instead of the checkpoint's");
  thinking_set_ = c.add_option("--thinking", thinking_,
                               "off, on, max (the longest reasoning, where the format has it), or auto: as the template does by itself")
                      ->check(CLI::IsMember({"auto", "off", "on", "max"}))
                      ->capture_default_str();
  think_set_ = c.add_flag("--think", think_, "the same as --thinking on")->excludes(thinking_set_);
  tools_set_ = c.add_option("--tools", tools_file_, "a JSON array of the functions that the model may call, as in OpenAI's API");
}

bool ChatFlags::given() const { return *template_set_ || *thinking_set_ || *think_set_ || *tools_set_; }

Result<ChatOptions> ChatFlags::options() const {
  ChatOptions options;
  if (think_ || thinking_ == "on") options.thinking = Thinking::kOn;
  if (thinking_ == "off") options.thinking = Thinking::kOff;
  if (thinking_ == "max") options.thinking = Thinking::kMax;
  const auto read = [](const std::string& file, std::string& text) -> Status {
    if (file.empty()) return {};
    Result<std::string> content = read_text(file);
    if (!content.ok()) return content.take_error();
    text = std::move(*content);
    return {};
  };
  if (Status s = read(template_file_, options.template_source); !s.ok()) return s.take_error();
  if (Status s = read(tools_file_, options.tools); !s.ok()) return s.take_error();
  return options;
}

ReplyPrinter::ReplyPrinter() : terminal_(stdout_is_terminal()) {}

void ReplyPrinter::dim(bool on) {
  if (on != dimmed_) fmt::print("{}", on ? "\x1b[2m" : "\x1b[0m");
  dimmed_ = on;
}

// Reasoning, content and calls begin on lines of their own, reasoning with an empty line behind it.
void ReplyPrinter::begin(ReplyPart::Kind kind) {
  const bool changes = started_ && (kind != last_ || kind == ReplyPart::Kind::kToolCall);
  if (changes && line_open_) fmt::print("\n");
  if (changes && last_ == ReplyPart::Kind::kReasoning) fmt::print("\n");
  dim(kind == ReplyPart::Kind::kReasoning);
  started_ = true;
  last_ = kind;
}

void ReplyPrinter::print(const std::vector<ReplyPart>& parts) {
  for (const ReplyPart& part : parts) {
    if (part.kind == ReplyPart::Kind::kContentWasReasoning) {
      // What is printed stays; the answer begins on a line of its own.
      if (line_open_) fmt::print("\n");
      line_open_ = false;
      continue;
    }
    if (part.kind == ReplyPart::Kind::kReasoning && !terminal_) continue;
    begin(part.kind);
    const std::string text =
        part.kind == ReplyPart::Kind::kToolCall ? fmt::format("{}({})", part.call.name, part.call.arguments) : part.text;
    std::fwrite(text.data(), 1, text.size(), stdout);
    line_open_ = !text.ends_with('\n');
  }
  std::fflush(stdout);
}

void ReplyPrinter::end() {
  dim(false);
  fmt::print("\n");
  std::fflush(stdout);
}

void tell_what_happened(const Reply& reply, StopReason reason) {
  const bool cut = reason == StopReason::kLength || reason == StopReason::kContextFull;
  if (cut && !reply.reasoning.empty() && reply.content.empty() && reply.tool_calls.empty()) {
    fmt::print(stderr, "longhaul: the reasoning was cut off before the answer began; allow more tokens with -n or --context\n");
  }
  for (const ReplyNote& note : reply.notes) {
    const std::string call = note.call.empty() ? "a call" : "the call of " + note.call;
    if (note.kind == ReplyNote::Kind::kCutOffCall) {
      fmt::print(stderr, "longhaul: {} was cut off and left out; {}\n", call,
                 cut ? "allow more tokens with -n or --context" : "--json shows it in reply_notes");
    } else if (note.kind == ReplyNote::Kind::kUnreadableCall) {
      fmt::print(stderr, "longhaul: {} cannot be read and is shown as text; --json shows it in reply_notes\n", call);
    }
  }
}

std::string tool_calls_json(const std::vector<ToolCall>& calls) {
  std::string out;
  for (const ToolCall& call : calls) {
    out += fmt::format("{}{{\"name\": {}, \"arguments\": {}}}", out.empty() ? "" : ", ", json_escape(call.name), call.arguments);
  }
  return "[" + out + "]";
}

std::string reply_notes_json(const std::vector<ReplyNote>& notes) {
  std::string out;
  for (const ReplyNote& note : notes) {
    out += fmt::format("{}{{\"kind\": \"{}\", \"call\": {}, \"detail\": {}, \"count\": {}}}", out.empty() ? "" : ", ", to_string(note.kind),
                       json_escape(note.call), json_escape(note.detail), note.count);
  }
  return "[" + out + "]";
}

}  // namespace longhaul::cli
