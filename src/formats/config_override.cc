#include "formats/config_override.h"

#include "base/printable.h"

namespace longhaul {
namespace {

Json* find_member(Json& object, std::string_view key) {
  Json::Object* members = object.as_object();
  for (size_t i = 0; members != nullptr && i < members->size(); ++i) {
    if ((*members)[i].first == key) return &(*members)[i].second;
  }
  return nullptr;
}

Status override_field(Json& config, std::string_view assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos) return invalid("--set {}: expected FIELD=VALUE", printable(assignment));
  const std::string_view path = assignment.substr(0, equals), text = assignment.substr(equals + 1);
  auto value = parse_json(text, "the value");
  if (!value.ok()) {
    return invalid("--set {}: {}; expected a number, true, false, null, a text in double quotes, [...] or {{...}}", printable(assignment),
                   value.error().message);
  }
  Json* object = &config;
  for (size_t begin = 0;;) {
    const size_t dot = std::min(path.find('.', begin), path.size());
    const std::string key(path.substr(begin, dot - begin));
    if (key.empty()) return invalid("--set {}: a name in the path is empty", printable(assignment));
    if (object->as_object() == nullptr)
      return invalid("--set {}: the config has no object '{}'", printable(assignment), printable(path.substr(0, begin - 1)));
    if (dot == path.size()) {
      object->set(key, std::move(*value));
      return {};
    }
    Json* inner = find_member(*object, key);
    if (inner == nullptr) return invalid("--set {}: the config has no object '{}'", printable(assignment), printable(path.substr(0, dot)));
    object = inner;
    begin = dot + 1;
  }
}

}  // namespace

Status override_fields(Json& config, std::span<const std::string> assignments) {
  if (config.as_object() == nullptr) return {};  // for its reader to refuse
  for (const std::string& assignment : assignments) LH_RETURN_IF_ERROR(override_field(config, assignment));
  return {};
}

}  // namespace longhaul
