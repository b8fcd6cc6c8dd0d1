// The fixed texts of the DSML prompt format. They are the model's, not ours: they are read from the
// Python file that comes with its checkpoint, as data; nothing of it is run.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/errors.h"

namespace longhaul {

// A text with named places, as Python's str.format has it: {name}, and {{ }} for braces.
class FormatText {
 public:
  using Values = std::vector<std::pair<std::string_view, std::string_view>>;

  // Exactly the places of `required` must occur, each at least once, besides those of `allowed`.
  static Result<FormatText> parse(std::string_view text, std::vector<std::string_view> required,
                                  std::vector<std::string_view> allowed, std::string_view where);
  std::string filled(const Values& values) const;

 private:
  struct Part {
    std::string literal, place;  // the text, then what is named; an empty name at the end
  };
  std::vector<Part> parts_;
};

struct DsmlProse {
  std::string max_effort;      // opens a prompt that asks for the longest reasoning
  FormatText tools;            // {tool_schemas}: one a line
  FormatText response_format;  // {schema}

  static Result<DsmlProse> parse(std::string_view python, std::string_view where);
};

}  // namespace longhaul
