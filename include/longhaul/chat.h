// Conversations: messages become a prompt; what the model writes becomes reasoning, content and tool calls.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul {

// kDefault: as the checkpoint's template does by itself. kMax: the longest reasoning, where the format has such a mode.
enum class Thinking { kDefault, kOff, kOn, kMax };

struct ChatOptions {
  Thinking thinking = Thinking::kDefault;
  // Reasoning of earlier turns stays in the prompt, where the format leaves the choice.
  bool keep_reasoning = false;
  // The functions the model may call: a JSON array of {"type": "function", "function": {"name", "description", "parameters"}},
  // or of the function objects alone. Empty: none. An error where the template has no place for them.
  std::string tools;
  // A Jinja template to use in place of the checkpoint's format.
  std::string template_source;
};

struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON object
};

// One answer. No marker is part of it.
struct Reply {
  std::string reasoning, content;
  std::vector<ToolCall> tool_calls;
};

// The next piece of an answer, in the order it was written: text of the first two kinds, or one whole call.
struct ReplyPart {
  enum class Kind { kReasoning, kContent, kToolCall };
  Kind kind = Kind::kContent;
  std::string text;
  ToolCall call;
};

// Splits an answer while it comes. However the text is cut into pieces, the parts add up to the same reply. What looks like a
// call and is none is content, markers and all: nothing is lost but markers and the line breaks that belong to them.
class ReplyReader {
 public:
  struct Impl;
  explicit ReplyReader(std::unique_ptr<Impl> impl);
  ReplyReader(ReplyReader&&) noexcept;
  ReplyReader& operator=(ReplyReader&&) noexcept;
  ~ReplyReader();

  std::vector<ReplyPart> push(std::string_view text);
  std::vector<ReplyPart> finish();  // the answer is over: what was held back
  const Reply& reply() const;       // all parts so far

 private:
  std::unique_ptr<Impl> impl_;
};

struct ChatPrompt {
  std::string text;                     // as rendered
  std::vector<int32_t> tokens;          // with the beginning-of-sequence id where the model needs it and the text does not bring it
  std::vector<int32_t> visible_tokens;  // for GenerateOptions: the special tokens that the reader must see
  ReplyReader reader;                   // of the answer to this prompt; knows whether the prompt has opened the reasoning
};

}  // namespace longhaul
