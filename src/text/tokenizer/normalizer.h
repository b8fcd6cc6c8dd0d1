// The normalizer of a tokenizer file: what is done to a text between special tokens before it is
// split.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/tokenizer/pattern.h"
#include "text/tokenizer/unicode.h"

namespace longhaul {

class Normalizer {
 public:
  // Null or absent: nothing is done. `where` names the field.
  static Result<Normalizer> from_json(const Json* json, const std::string& where);

  // The result is `text` itself or lies in `buffer`.
  Result<std::string_view> run(std::string_view text, std::string& buffer,
                               RegexScratch& scratch) const;

 private:
  struct Replace {
    Pattern pattern;
    std::string content;
  };
  struct Prepend {
    std::string content;
  };
  struct Strip {
    bool left, right;
  };
  using Step = std::variant<Replace, Prepend, Strip, UnicodeForm>;

  Status add(const Json& json, const std::string& where);
  Status add_one(const Fields& fields, const std::string& type);

  std::vector<Step> steps_;
};

}  // namespace longhaul
