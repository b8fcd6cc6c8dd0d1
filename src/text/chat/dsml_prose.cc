#include "text/chat/dsml_prose.h"

#include <algorithm>

#include "base/printable.h"
#include "text/chat/python_strings.h"

namespace longhaul {
namespace {

constexpr size_t kMaxConstantBytes = size_t{64} << 10;

Result<std::string> constant(std::string_view python, std::string_view name,
                             std::string_view where) {
  LH_TRY(std::string text, python_string_constant(python, name, where));
  if (text.empty() || text.size() > kMaxConstantBytes) {
    return corrupt("{}: '{}' has {} bytes, expected 1 to {}", where, name, text.size(),
                   kMaxConstantBytes);
  }
  return text;
}

bool contains(const std::vector<std::string_view>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Result<FormatText> FormatText::parse(std::string_view text, std::vector<std::string_view> required,
                                     std::vector<std::string_view> allowed,
                                     std::string_view where) {
  FormatText out;
  std::vector<std::string_view> seen;
  std::string literal;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c != '{' && c != '}') {
      literal += c;
    } else if (text.substr(at + 1).starts_with(c)) {
      literal += c;
      ++at;
    } else {
      const size_t end = text.find_first_of("{}", at + 1);
      if (c == '}' || end == text.npos || text[end] == '{')
        return corrupt("{}: a brace at byte {} that names no place", where, at);
      const std::string_view place = text.substr(at + 1, end - at - 1);
      if (!contains(required, place) && !contains(allowed, place)) {
        return corrupt("{}: an unknown place '{{{}}}' at byte {}", where, printable(place, 40), at);
      }
      seen.push_back(place);
      out.parts_.push_back({std::exchange(literal, {}), std::string(place)});
      at = end;
    }
  }
  out.parts_.push_back({std::move(literal), {}});
  for (const std::string_view name : required) {
    if (!contains(seen, name)) return corrupt("{}: no place '{{{}}}'", where, name);
  }
  return out;
}

std::string FormatText::filled(const Values& values) const {
  std::string out;
  for (const Part& part : parts_) {
    out += part.literal;
    for (const auto& [name, value] : values) {
      if (name == part.place) out += value;
    }
  }
  return out;
}

static Result<DsmlProse> read_prose(std::string_view python, std::string_view where) {
  DsmlProse prose;
  LH_TRY(prose.max_effort, constant(python, "REASONING_EFFORT_MAX", where));
  LH_TRY(const std::string tools, constant(python, "TOOLS_TEMPLATE", where));
  LH_TRY(prose.tools, FormatText::parse(tools, {"tool_schemas", "dsml_token"},
                                        {"thinking_start_token", "thinking_end_token"},
                                        fmt::format("{}: TOOLS_TEMPLATE", where)));
  LH_TRY(const std::string response_format, constant(python, "response_format_template", where));
  LH_TRY(prose.response_format,
         FormatText::parse(response_format, {"schema"}, {},
                           fmt::format("{}: response_format_template", where)));
  return prose;
}

Result<DsmlProse> DsmlProse::parse(std::string_view python, std::string_view where) {
  return or_remedy(read_prose(python, where), "get the file that was published with the model");
}

}  // namespace longhaul
