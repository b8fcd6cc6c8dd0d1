#include "text/tokenizer/json_fields.h"

#include "base/utf8.h"

namespace longhaul {

Result<Fields> Fields::of(const Json& value, std::string path) {
  if (value.as_object() == nullptr)
    return corrupt("{}: expected an object, found {}", path, value.type_name());
  return Fields(value, std::move(path));
}

std::string Fields::at(std::string_view key) const {
  // A path that still ends in the file's name takes its first field after a blank.
  return fmt::format("{}{}{}", path_, path_.ends_with(':') ? " " : ".", key);
}

const Json* Fields::get(std::string_view key) const {
  const Json* member = value_->find(key);
  return member == nullptr || member->is_null() ? nullptr : member;
}

Error Fields::wrong_type(std::string_view key, std::string_view expected) const {
  const Json* member = value_->find(key);
  return corrupt("{}: expected {}, found {}", at(key), expected,
                 member == nullptr ? "nothing" : member->type_name());
}

Result<Fields> Fields::object(std::string_view key) const {
  const Json* member = get(key);
  if (member == nullptr) return wrong_type(key, "an object");
  return Fields::of(*member, at(key));
}

Result<std::string> Fields::string(std::string_view key) const {
  const Json* member = get(key);
  if (member == nullptr || member->as_string() == nullptr) return wrong_type(key, "a string");
  return *member->as_string();
}

Result<bool> Fields::boolean(std::string_view key) const {
  const Json* member = get(key);
  if (member == nullptr || member->as_bool() == nullptr) return wrong_type(key, "a boolean");
  return *member->as_bool();
}

Result<bool> Fields::boolean_or(std::string_view key, bool absent) const {
  return get(key) == nullptr ? Result<bool>(absent) : boolean(key);
}

Result<int64_t> Fields::integer(std::string_view key, int64_t low, int64_t high) const {
  const Json* member = get(key);
  if (member == nullptr || member->as_int() == nullptr) return wrong_type(key, "an integer");
  const int64_t value = *member->as_int();
  if (value < low || value > high)
    return corrupt("{}: {} is not in {}..{}", at(key), value, low, high);
  return value;
}

Result<const Json::Array*> Fields::array(std::string_view key) const {
  const Json* member = get(key);
  if (member == nullptr || member->as_array() == nullptr) return wrong_type(key, "an array");
  return member->as_array();
}

Result<char32_t> Fields::character(std::string_view key) const {
  LH_TRY(const std::string text, string(key));
  if (text.empty() || utf8_char_at(text, 0).size != text.size()) {
    return corrupt("{}: expected one character, found '{}'", at(key), text);
  }
  return utf8_char_at(text, 0).code_point;
}

}  // namespace longhaul
