// Conversations: messages become a prompt; what the model writes becomes reasoning, content and
// tool calls.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "longhaul/result.h"

namespace longhaul {

class ReplyParser;  // of the library's own

enum class Thinking {
  kDefault,  // as the checkpoint's format does by itself
  kOff,
  kOn,
  kMax,  // the longest reasoning, where the format has such a mode
};
// The words of the command line: auto, off, on, max. kInvalidArgument names them.
Result<Thinking> parse_thinking(std::string_view word);
const char* to_string(Thinking thinking);

struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON object; its numbers are spelled as the model wrote them
  std::string id = {};    // that the result refers to; a model writes none
};

enum class Role { kSystem, kDeveloper, kUser, kAssistant, kTool };
const char* to_string(Role role);  // "system", ...

struct Message {
  Role role = Role::kUser;
  std::string content;
  std::string reasoning = {};             // of the model, apart from the content
  std::vector<ToolCall> tool_calls = {};  // of the model
  std::string tool_call_id = {};          // of a tool's result: the call that it answers
  std::string name = {};                  // of a tool's result: the function
};

// A function that the model may call.
struct Tool {
  std::string name;
  // As in OpenAI's API, a JSON object: {"type": "function", "function": {"name", "description",
  // "parameters"}}, or the function object alone. Parameters are a JSON schema, and templates show
  // the model all of it.
  std::string definition;
};
// A JSON array of such objects. kCorruptFile for what is none, with `where` in front.
Result<std::vector<Tool>> parse_tools(std::string_view json, std::string_view where = "tools");

// Conversations in OpenAI's format, for files and requests: "role", "content", "reasoning_content",
// "tool_calls", "tool_call_id", "name". What one writes the other reads back. Contents may be lists
// of text parts. kCorruptFile for what is no such array, with `where` in front.
std::string to_json(std::span<const Message> messages);
Result<std::vector<Message>> parse_messages(std::string_view json,
                                            std::string_view where = "messages");

struct ChatOptions {
  Thinking thinking = Thinking::kDefault;
  // Reasoning of earlier turns stays in the prompt, where the format leaves the choice.
  bool keep_reasoning = false;
  // The functions that the model may call. An error where the template has no place for them.
  std::vector<Tool> tools;
  // A Jinja template to use in place of the checkpoint's format.
  std::string template_source;
};

// What was not as the model's format has it, and what became of it.
struct ReplyNote {
  enum class Kind {
    kRepairedCall,  // a call was given although it had a slip in it; `detail` says which
    // what stood between a call's markers is no call: it is content, without its markup
    kUnreadableCall,
    kCutOffCall,  // the answer ended inside of a call, which was not given
    // a call inside of reasoning that went on: it was tried out, not made, and was not given
    kUnmadeCall,
    kMoreReasoning,  // a further closing marker: what had been given as content was reasoning
    kStrayMarker,    // a marker where it means nothing was left out; `detail` is the marker
  };
  Kind kind = Kind::kStrayMarker;
  std::string call;    // the name of the function, where one could be read
  std::string detail;  // the slips in words, or the text as it was written
  int64_t count = 1;   // of equal notes
};
const char* to_string(ReplyNote::Kind kind);  // "repaired_call", ...

// One answer. No marker is part of it, except where the text quotes one as code.
struct Reply {
  std::string reasoning, content;
  std::vector<ToolCall> tool_calls;
  std::vector<ReplyNote> notes;  // empty where everything was as the format has it
};

// The next piece of an answer, in the order it was written: text of the first two kinds, one whole
// call, or the news that all content before was reasoning (a second "</think>"): reasoning += text
// + content, and the content begins anew.
struct ReplyPart {
  enum class Kind { kReasoning, kContent, kToolCall, kContentWasReasoning };
  Kind kind = Kind::kContent;
  std::string text;
  ToolCall call;
};

// Splits an answer while it comes. However the text is cut into pieces, the parts add up to the
// same reply. A call with a slip in it is mended where that can be done; what is no call is content
// without its markup. Notes say what happened.
//
// Model::chat_prompt() makes one. One thread at a time; it needs no model to live. A moved-from
// reader may only be assigned to or destroyed.
class ReplyReader {
 public:
  ReplyReader(ReplyReader&&) noexcept;
  ReplyReader& operator=(ReplyReader&&) noexcept;
  ~ReplyReader();

  std::vector<ReplyPart> push(std::string_view text);
  std::vector<ReplyPart> finish();  // the answer is over: what was held back
  const Reply& reply() const;       // all parts so far, and the notes

 private:
  friend struct Access;
  explicit ReplyReader(std::unique_ptr<ReplyParser> parser);
  std::unique_ptr<ReplyParser> parser_;
};

struct ChatPrompt {
  std::string text;  // as rendered
  // with the beginning-of-sequence id where the model needs it and the text does not bring it
  std::vector<int32_t> tokens;
  // for GenerateOptions: the special tokens that the reader must see
  std::vector<int32_t> visible_tokens;
  // of the answer to this prompt; knows whether the prompt has opened the reasoning
  ReplyReader reader;
};

}  // namespace longhaul
