// How values turn into text: str(), repr() and JSON, to the letter as Python does it.
#pragma once

#include <string>

#include "text/template/value.h"

namespace longhaul::jinja {

std::string float_text(double d);
Result<std::string> to_text(Run& run, const Value& v);  // str()
Result<std::string> to_repr(Run& run, const Value& v);

struct JsonStyle {
  bool ascii = false;
  bool sort_keys = false;
  std::string indent;  // one level's; used where multiline
  bool multiline = false;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
Result<std::string> to_json_text(Run& run, const Value& v, const JsonStyle& style);

}  // namespace longhaul::jinja
