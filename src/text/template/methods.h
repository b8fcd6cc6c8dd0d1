// The methods of strings, lists and dicts that a template may call.
#pragma once

#include <span>
#include <string_view>

#include "text/template/value.h"

namespace longhaul::jinja {

struct MethodRow {
  std::string_view name;
  Result<Value> (*fn)(Run&, const Value& self, const Args&);  // null: it would change its object
};

// Those of an object's type; none for a type without.
std::span<const MethodRow> methods_of(const Value& object);
std::span<const MethodRow> string_methods();
// Null where the type has no method of that name.
const MethodRow* find_method(const Value& object, std::string_view name);
Value bind_method(const Value& object, const MethodRow& method);

}  // namespace longhaul::jinja
