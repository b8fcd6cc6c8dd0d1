// Conversations: messages become a prompt; what the model writes becomes reasoning, content and
// tool calls.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul {

// kDefault: as the checkpoint's template does by itself. kMax: the longest reasoning, where the
// format has such a mode.
enum class Thinking { kDefault, kOff, kOn, kMax };

struct ChatOptions {
  Thinking thinking = Thinking::kDefault;
  // Reasoning of earlier turns stays in the prompt, where the format leaves the choice.
  bool keep_reasoning = false;
  // The functions the model may call: a JSON array of {"type": "function", "function": {"name",
  // "description", "parameters"}}, or of the function objects alone. Empty: none. An error where
  // the template has no place for them.
  std::string tools;
  // A Jinja template to use in place of the checkpoint's format.
  std::string template_source;
};

struct ToolCall {
  std::string name;
  std::string arguments;  // a JSON object; its numbers are spelled as the model wrote them
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
class ReplyReader {
 public:
  struct Impl;
  explicit ReplyReader(std::unique_ptr<Impl> impl);
  ReplyReader(ReplyReader&&) noexcept;
  ReplyReader& operator=(ReplyReader&&) noexcept;
  ~ReplyReader();

  std::vector<ReplyPart> push(std::string_view text);
  std::vector<ReplyPart> finish();  // the answer is over: what was held back
  const Reply& reply() const;       // all parts so far, and the notes

 private:
  std::unique_ptr<Impl> impl_;
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
