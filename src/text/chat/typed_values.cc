#include "text/chat/typed_values.h"

#include <algorithm>

#include "text/chat/loose_values.h"

namespace longhaul {
namespace {

bool schema_allows(const Json& type, std::string_view name) {
  if (const std::string* one = type.as_string()) return *one == name;
  const Json::Array* several = type.as_array();
  return several != nullptr && std::any_of(several->begin(), several->end(),
                                           [&](const Json& t) { return schema_allows(t, name); });
}

std::string_view type_in_schemas(const Json& value) {
  if (value.is_null()) return "null";
  if (value.as_bool() != nullptr) return "boolean";
  if (value.as_array() != nullptr) return "array";
  if (value.as_object() != nullptr) return "object";
  return "number";
}

}  // namespace

Json typed_value(std::string_view raw, WrittenAs written_as, const Json* schema, Repairs& repairs) {
  if (written_as == WrittenAs::kText) return Json(raw);
  const Json* type = schema == nullptr ? nullptr : schema->find("type");
  const bool is_json = written_as == WrittenAs::kJson;
  const bool may_be_text = type == nullptr ? !is_json : schema_allows(*type, "string");
  Repairs mended;
  auto value = read_whole_value(raw, mended);
  if (!value || mended.has(Repair::kNoQuotes)) return Json(raw);
  if (!mended.empty()) {
    if (may_be_text) return Json(raw);
    repairs.add(mended);
    return std::move(*value);
  }
  // Strings are written raw, so quotes that stand there are part of one.
  if (value->as_string() != nullptr) return is_json ? std::move(*value) : Json(raw);
  if (type == nullptr || !may_be_text || schema_allows(*type, type_in_schemas(*value)))
    return std::move(*value);
  return Json(raw);
}

}  // namespace longhaul
