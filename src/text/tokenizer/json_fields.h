// Members of a JSON object, checked for type, with messages that name the file and the path of the
// field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/errors.h"
#include "base/json.h"

namespace longhaul {

class Fields {
 public:
  // `path` names the object: "tokenizer.json: normalizer". The JSON must outlive this.
  static Result<Fields> of(const Json& value, std::string path);

  std::string at(std::string_view key) const;
  const std::string& path() const { return path_; }

  // The member, or null where it is absent or JSON null.
  const Json* get(std::string_view key) const;
  Result<Fields> object(std::string_view key) const;
  Result<std::string> string(std::string_view key) const;
  Result<bool> boolean(std::string_view key) const;
  Result<bool> boolean_or(std::string_view key, bool absent) const;
  Result<int64_t> integer(std::string_view key, int64_t low, int64_t high) const;
  Result<const Json::Array*> array(std::string_view key) const;
  // A string of exactly one code point.
  Result<char32_t> character(std::string_view key) const;

 private:
  Fields(const Json& value, std::string path) : value_(&value), path_(std::move(path)) {}
  Error wrong_type(std::string_view key, std::string_view expected) const;

  const Json* value_;
  std::string path_;
};

}  // namespace longhaul
