// The chat templates that a checkpoint brings, wherever they stand, and the special tokens that
// they read (docs/chat.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/errors.h"
#include "base/json.h"
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

// Of the folder's files the first that holds a template counts: chat_template.jinja with
// additional_chat_templates/*.jinja, tokenizer_config.json, chat_template.json,
// processor_config.json.
Result<ChatTemplates> load_chat_templates(const std::string& folder, const Json& tokenizer_config);

// bos_token, eos_token and so on, as an object of texts.
Result<Json> load_special_tokens(const std::string& folder, const Json& tokenizer_config);

// A JSON file that may be absent: then null.
Result<Json> optional_json(const std::string& path);

}  // namespace longhaul
