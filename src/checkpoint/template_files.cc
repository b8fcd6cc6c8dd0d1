#include "checkpoint/template_files.h"

#include <filesystem>
#include <map>

#include "base/mapped_file.h"
#include "base/printable.h"
#include "formats/config_reader.h"

namespace longhaul {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxTextBytes = size_t{16} << 20;
constexpr const char* kDefault = "default";
constexpr const char* kToolUse = "tool_use";

using Sources = std::map<std::string, std::string>;  // templates by name

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

Result<Sources> read_template_files(const std::string& folder) {
  Sources sources;
  if (const std::string path = folder + "/chat_template.jinja"; exists(path)) {
    LH_TRY(sources[kDefault], read_file(path, kMaxTextBytes));
  }
  std::error_code failed;
  for (fs::directory_iterator it(folder + "/additional_chat_templates", failed), end;
       !failed && it != end; it.increment(failed)) {
    if (it->path().extension() != ".jinja") continue;
    LH_TRY(sources[it->path().stem().string()], read_file(it->path().string(), kMaxTextBytes));
  }
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

Result<Found> find_templates_in_json(const std::string& folder, const Json& tokenizer_config) {
  const auto where = [&](const char* file) {
    return fmt::format("{}/{}: chat_template", folder, file);
  };
  LH_TRY(Sources sources,
         templates_in(tokenizer_config.find("chat_template"), where("tokenizer_config.json")));
  if (!sources.empty()) return Found{std::move(sources), where("tokenizer_config.json")};
  // What processors of images brought their templates in.
  for (const char* file : {"chat_template.json", "processor_config.json"}) {
    LH_TRY(const Json json, optional_json(fmt::format("{}/{}", folder, file)));
    LH_TRY(sources, templates_in(json.find("chat_template"), where(file)));
    if (!sources.empty()) return Found{std::move(sources), where(file)};
  }
  return Found{};
}

// Template files count before what JSON files hold; they may add to a default that stands there.
Result<Found> find_templates(const std::string& folder, const Json& tokenizer_config) {
  Found found{.where = folder + "/chat_template.jinja"};
  LH_TRY(found.sources, read_template_files(folder));
  if (found.sources.contains(kDefault)) return found;
  LH_TRY(Found other, find_templates_in_json(folder, tokenizer_config));
  if (found.sources.empty()) return other;
  found.where = folder + "/additional_chat_templates";
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

Result<ChatTemplates> load_chat_templates(const std::string& folder, const Json& tokenizer_config) {
  LH_TRY(Found found, find_templates(folder, tokenizer_config));
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

Result<Json> load_special_tokens(const std::string& folder, const Json& tokenizer_config) {
  Json map;
  // Written by versions of the reference that did not note added tokens in the config.
  if (tokenizer_config.find("added_tokens_decoder") == nullptr) {
    LH_TRY(map, optional_json(folder + "/special_tokens_map.json"));
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

Result<Json> optional_json(const std::string& path) {
  if (!exists(path)) return Json();
  return read_json_file(path, kMaxTextBytes);
}

}  // namespace longhaul
