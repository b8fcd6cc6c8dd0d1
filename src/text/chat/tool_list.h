// The functions a model may call, as OpenAI's API describes them.
#pragma once

#include <string_view>

#include "base/errors.h"
#include "base/json.h"

namespace longhaul {

class Tools {
 public:
  Tools() = default;
  // A JSON array of {"type": "function", "function": {...}} or of function objects alone; each has
  // a name, no two the same. `where` names the text in messages.
  static Result<Tools> parse(std::string_view json, std::string_view where);
  static Result<Tools> from_json(const Json& list, std::string_view where);

  bool empty() const { return wrapped_.empty(); }
  // Each as {"type": "function", "function": {...}}: what templates are given.
  const Json::Array& wrapped() const { return wrapped_; }
  // Whether there is such a function; and the schemas of its parameters by name, null where nothing
  // is known of them.
  bool has(std::string_view function) const;
  const Json* properties(std::string_view function) const;
  // The longest name of a function that `text` begins with; empty where it begins with none.
  std::string_view longest_name(std::string_view text) const;
  // The JSON schema of a parameter; null where nothing is known of it.
  const Json* parameter(std::string_view function, std::string_view name) const;

 private:
  const Json* function(std::string_view name) const;

  Json::Array wrapped_;
};

}  // namespace longhaul
