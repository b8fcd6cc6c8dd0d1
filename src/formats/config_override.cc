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

// A null takes the field away: a reader may tell null from missing, and the user means the latter.
void set_or_erase(Json& object, std::string_view key, Json value) {
  if (!value.is_null()) {
    object.set(std::string(key), std::move(value));
    return;
  }
  std::erase_if(*object.as_object(),
                [&](const Json::Member& member) { return member.first == key; });
}

// path without its first `done` bytes lies in `object`; a name with dots in it goes before a path
// through objects.
Status place(Json& object, std::string_view path, size_t done, Json value,
             const std::string& option) {
  const std::string_view rest = path.substr(done);
  if (object.as_object() == nullptr)
    return invalid("{}: the config has no object '{}'; name a field of an object", option,
                   printable(path.substr(0, done - 1)));
  const size_t dot = rest.find('.');
  if (dot == rest.npos || find_member(object, rest) != nullptr) {
    set_or_erase(object, rest, std::move(value));
    return {};
  }
  if (Json* inner = find_member(object, rest.substr(0, dot)))
    return place(*inner, path, done + dot + 1, std::move(value), option);
  if (value.is_null()) return {};  // what lies in no object is away
  const std::string_view missing = path.substr(0, done + dot);
  return invalid("{}: the config has no object '{}'; make it with --set '{}={{...}}' first", option,
                 printable(missing), printable(missing));
}

Status override_field(Json& config, std::string_view assignment) {
  const std::string option = "--set " + printable(assignment);
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos)
    return invalid("{}: expected FIELD=VALUE; add the value", option);
  const std::string_view path = assignment.substr(0, equals), text = assignment.substr(equals + 1);
  auto value = parse_json(text, "the value");
  if (!value.ok()) {
    return invalid(
        "{}: {}; expected a number, true, false, null, a text in double quotes, [...] or {{...}}",
        option, value.error().message);
  }
  if (path.empty() || path.front() == '.' || path.back() == '.' || path.find("..") != path.npos)
    return invalid("{}: a name in the path is empty; expected names with one dot between them",
                   option);
  return place(config, path, 0, std::move(*value), option);
}

}  // namespace

Status override_fields(Json& config, std::span<const std::string> assignments) {
  if (config.as_object() == nullptr) return {};  // for its reader to refuse
  for (const std::string& assignment : assignments)
    LH_RETURN_IF_ERROR(override_field(config, assignment));
  return {};
}

}  // namespace longhaul
