#include "text/chat/tool_list.h"

#include <set>

#include "base/printable.h"

namespace longhaul {

Result<Tools> Tools::parse(std::string_view json, std::string_view where) {
  LH_TRY(const Json list, parse_json(json, where));
  return from_json(list, where);
}

Result<Tools> Tools::from_json(const Json& list, std::string_view where) {
  if (list.as_array() == nullptr)
    return invalid("{}: must be an array of functions, not {}; put it into [...]", where,
                   list.type_name());
  Tools tools;
  std::set<std::string> names;
  for (size_t i = 0; i < list.as_array()->size(); ++i) {
    const Json& item = (*list.as_array())[i];
    const Json* inner = item.find("function");
    const Json& function = inner == nullptr ? item : *inner;
    const Json* name = function.find("name");
    if (name == nullptr || name->as_string() == nullptr || name->as_string()->empty()) {
      return invalid(
          "{}[{}]: is no function with a name; write {{\"type\": \"function\", \"function\": "
          "{{\"name\": ...}}}}",
          where, i);
    }
    if (!names.insert(*name->as_string()).second) {
      return invalid("{}[{}]: a function named '{}' stands there already; leave one out", where, i,
                     printable(*name->as_string()));
    }
    tools.wrapped_.push_back(
        inner == nullptr ? Json::object({{"type", "function"}, {"function", item}}) : item);
  }
  return tools;
}

const Json* Tools::function(std::string_view name) const {
  for (const Json& tool : wrapped_) {
    const Json* function = tool.find("function");
    if (*function->find("name")->as_string() == name) return function;
  }
  return nullptr;
}

bool Tools::has(std::string_view name) const { return function(name) != nullptr; }

std::string_view Tools::longest_name(std::string_view text) const {
  std::string_view longest;
  for (const Json& tool : wrapped_) {
    const std::string& name = *tool.find("function")->find("name")->as_string();
    if (text.starts_with(name) && name.size() > longest.size()) longest = name;
  }
  return longest;
}

const Json* Tools::properties(std::string_view name) const {
  const Json* found = function(name);
  const Json* parameters = found == nullptr ? nullptr : found->find("parameters");
  return parameters == nullptr ? nullptr : parameters->find("properties");
}

const Json* Tools::parameter(std::string_view function, std::string_view name) const {
  const Json* all = properties(function);
  return all == nullptr ? nullptr : all->find(name);
}

}  // namespace longhaul
