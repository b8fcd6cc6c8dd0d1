#include "checkpoint/template_files.h"

#include <map>

#include "base/printable.h"

namespace longhaul {
namespace {

constexpr const char* kDefault = "default";
constexpr const char* kToolUse = "tool_use";

using Sources = std::map<std::string, std::string>;  // templates by name

Result<Sources> read_templates(const ModelFiles& files) {
  LH_TRY(Sources sources, files.named_templates());
  LH_TRY(std::optional<std::string> text, files.read(TextKind::kChatTemplate));
  if (text) sources.emplace(kDefault, std::move(*text));
  return sources;
}

// {"name": ..., "template": ...}
Status add_named(const Json& entry, const std::string& where, Sources& sources) {
  const Json *name = entry.find("name"), *text = entry.find("template");
  if (name == nullptr || name->as_string() == nullptr || text == nullptr ||
      text->as_string() == nullptr)
    return corrupt(
        "{}: expected an object with the texts 'name' and 'template'; give another template with "
        "--chat-template FILE",
        where);
  sources[*name->as_string()] = *text->as_string();
  return {};
}

// A text, a list of named ones, or an object of them by name.
Result<Sources> templates_in(const Json* value, const std::string& where) {
  Sources sources;
  if (value == nullptr || value->is_null()) return sources;
  if (const std::string* text = value->as_string()) {
    if (!text->empty()) sources[kDefault] = *text;
  } else if (const Json::Array* list = value->as_array()) {
    for (size_t i = 0; i < list->size(); ++i)
      LH_RETURN_IF_ERROR(add_named((*list)[i], fmt::format("{}[{}]", where, i), sources));
  } else if (const Json::Object* named = value->as_object()) {
    for (const auto& [name, text] : *named)
      LH_RETURN_IF_ERROR(add_named(Json::object({{"name", name}, {"template", text}}),
                                   where + "." + printable(name), sources));
  } else {
    return corrupt(
        "{}: is {}, expected a text or a list of named ones; give another template with "
        "--chat-template FILE",
        where, value->type_name());
  }
  return sources;
}

struct Found {
  Sources sources;
  std::string where;
};

Result<Found> find_templates_in_json(const ModelFiles& files, const Json& tokenizer_config) {
  const auto find = [&](TextKind kind, const Json& json) -> Result<Found> {
    std::string where = files.where(kind) + ": chat_template";
    LH_TRY(Sources sources, templates_in(json.find("chat_template"), where));
    return Found{std::move(sources), std::move(where)};
  };
  LH_TRY(Found found, find(TextKind::kTokenizerConfig, tokenizer_config));
  if (!found.sources.empty()) return found;
  // What processors of images brought their templates in.
  for (const TextKind kind : {TextKind::kChatTemplateJson, TextKind::kProcessorConfig}) {
    LH_TRY(const Json json, files.read_json(kind));
    LH_TRY(found, find(kind, json));
    if (!found.sources.empty()) return found;
  }
  return Found{};
}

// Template files count before what JSON files hold; they may add to a default that stands there.
Result<Found> find_templates(const ModelFiles& files, const Json& tokenizer_config) {
  Found found{.where = files.where(TextKind::kChatTemplate)};
  LH_TRY(found.sources, read_templates(files));
  if (found.sources.contains(kDefault)) return found;
  LH_TRY(Found other, find_templates_in_json(files, tokenizer_config));
  if (found.sources.empty()) return other;
  found.where = files.where_named_templates();
  if (const auto it = other.sources.find(kDefault); it != other.sources.end())
    found.sources.insert(*it);
  return found;
}

}  // namespace

Result<const ChatTemplate*> ChatTemplates::choose(bool has_tools) const {
  if (has_tools && with_tools) return &*with_tools;
  if (plain) return &*plain;
  if (empty()) return static_cast<const ChatTemplate*>(nullptr);
  return unsupported(
      "{}: none of the templates is named '{}'; give one with --chat-template FILE (there are {})",
      where, kDefault, printable(fmt::format("{}", fmt::join(names, ", "))));
}

Result<ChatTemplates> load_chat_templates(const ModelFiles& files, const Json& tokenizer_config) {
  LH_TRY(Found found, find_templates(files, tokenizer_config));
  ChatTemplates templates{.where = std::move(found.where)};
  for (const auto& [name, source] : found.sources) templates.names.push_back(name);
  const auto parse = [&](const char* name, std::optional<ChatTemplate>& out) -> Status {
    const auto it = found.sources.find(name);
    if (it == found.sources.end()) return {};
    LH_TRY(out,
           ChatTemplate::parse(it->second, found.sources.size() == 1
                                               ? templates.where
                                               : fmt::format("{}: {}", templates.where, name)));
    return {};
  };
  LH_RETURN_IF_ERROR(parse(kDefault, templates.plain));
  LH_RETURN_IF_ERROR(parse(kToolUse, templates.with_tools));
  return templates;
}

Result<Json> load_special_tokens(const ModelFiles& files, const Json& tokenizer_config) {
  Json map;
  // Written by versions of the reference that did not note added tokens in the config.
  if (tokenizer_config.find("added_tokens_decoder") == nullptr) {
    LH_TRY(map, files.read_json(TextKind::kSpecialTokens));
  }
  Json tokens = Json::object({});
  for (const char* key : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                          "cls_token", "mask_token"}) {
    const Json* token = map.find(key) != nullptr ? map.find(key) : tokenizer_config.find(key);
    if (token != nullptr && token->as_object() != nullptr) token = token->find("content");
    if (token != nullptr && token->as_string() != nullptr) tokens.set(key, *token);
  }
  return tokens;
}

}  // namespace longhaul
