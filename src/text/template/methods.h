// The methods of strings, lists and dicts that a template may call.
#pragma once

#include <string_view>

#include "text/template/value.h"

namespace longhaul::jinja {

using MethodFn = Result<Value> (*)(Run&, const Value& self, const Args&);

struct Method {
  const char* name = nullptr;
  MethodFn fn = nullptr;
  bool exists = false;
  bool safe = false;  // false: it would change its object, which the sandbox hides
};

Method find_method(const Value& object, std::string_view name);
Value bind_method(const Value& object, const Method& method);
// The two named fields of a tuple that groupby() made, else null.
const Value* group_field(const Value& object, std::string_view name);

// By kind of object; an entry without a function is a method that changes the object.
Method find_string_method(std::string_view name);
Method find_container_method(const Value& object, std::string_view name);

}  // namespace longhaul::jinja
