// The chat templates that a checkpoint brings, wherever they stand, and the special tokens that
// they read (docs/chat.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/errors.h"
#include "base/json.h"
#include "checkpoint/model_files.h"
#include "text/chat/chat_template.h"

namespace longhaul {

struct ChatTemplates {
  std::optional<ChatTemplate> plain;       // the only one, or that named "default"
  std::optional<ChatTemplate> with_tools;  // that named "tool_use"
  std::vector<std::string> names;          // of all there are
  std::string where;                       // what holds them, for messages

  bool empty() const { return names.empty(); }
  // Null without a template; an error where there are some and none is for this.
  Result<const ChatTemplate*> choose(bool has_tools) const;
};

// Of the model's texts the first that holds a template counts: the template itself with named ones
// beside it, the tokenizer's config, templates in JSON, the processor's config.
Result<ChatTemplates> load_chat_templates(const ModelFiles& files, const Json& tokenizer_config);

// bos_token, eos_token and so on, as an object of texts.
Result<Json> load_special_tokens(const ModelFiles& files, const Json& tokenizer_config);

}  // namespace longhaul
