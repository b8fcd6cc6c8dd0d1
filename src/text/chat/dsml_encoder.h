// Conversations as prompts in the DSML format: the rules of the encoder that is released with the
// checkpoints, which have no chat template.
// Source: the encoder's Python file, encoding/encoding_dsv4.py, to the byte; where it raises, this
// is an Error, except: a call's arguments may be an object as well as its JSON text, a user's
// content a list of parts as well as text, and a function may stand without the {"type":
// "function"} around it.
//
// A message is an object with "role": system, user, assistant, tool, developer or latest_reminder;
// "content"; and, where they apply, "tools", "response_format" (system, developer),
// "reasoning_content", "tool_calls", "wo_eos" (assistant), "tool_call_id" (tool), "task": action,
// query, authority, domain, title or read_url.
#pragma once

#include <string>

#include "base/errors.h"
#include "base/json.h"
#include "text/chat/dsml_prose.h"
#include "text/tokenizer/tokenizer.h"

namespace longhaul {

struct DsmlOptions {
  bool thinking = false;
  bool max_effort = false;  // only with thinking
  // the reasoning of earlier turns; kept all the same where a message has tools
  bool drop_thinking = true;
};

class DsmlEncoder {
 public:
  // The prose may be an error: it is passed on by prompts that need it.
  explicit DsmlEncoder(Result<DsmlProse> prose) : prose_(std::move(prose)) {}

  // Whether the tokenizer has the tokens of the format.
  static bool fits(const Tokenizer& tokenizer);

  // Messages: an array. The prompt brings its beginning-of-sequence token.
  Result<std::string> encode(const Json& messages, const DsmlOptions& options) const;

 private:
  Result<DsmlProse> prose_;
};

}  // namespace longhaul
