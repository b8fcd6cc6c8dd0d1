#include "text/chat/tools.h"

#include <set>

#include "base/printable.h"

namespace longhaul {

Result<Tools> Tools::parse(std::string_view json, std::string_view where) {
  LH_TRY(const Json list, parse_json(json, where));
  return from_json(list, where);
}

Result<Tools> Tools::from_json(const Json& list, std::string_view where) {
  if (list.as_array() == nullptr) return invalid("{}: must be an array of functions, not {}", where, list.type_name());
  Tools tools;
  std::set<std::string> names;
  for (size_t i = 0; i < list.as_array()->size(); ++i) {
    const Json& item = (*list.as_array())[i];
    const Json* inner = item.find("function");
    const Json& function = inner == nullptr ? item : *inner;
    const Json* name = function.find("name");
    if (name == nullptr || name->as_string() == nullptr || name->as_string()->empty()) {
      return invalid("{}[{}]: must be a function object with a name, as in {{\"type\": \"function\", \"function\": {{\"name\": ...}}}}",
                     where, i);
    }
    if (!names.insert(*name->as_string()).second) {
      return invalid("{}[{}]: a function named '{}' stands there already", where, i, printable(*name->as_string()));
    }
    tools.wrapped_.push_back(inner == nullptr ? Json::object({{"type", "function"}, {"function", item}}) : item);
  }
  return tools;
}

const Json* Tools::parameter(std::string_view function, std::string_view name) const {
  for (const Json& tool : wrapped_) {
    const Json* f = tool.find("function");
    if (*f->find("name")->as_string() != function) continue;
    const Json* parameters = f->find("parameters");
    const Json* properties = parameters == nullptr ? nullptr : parameters->find("properties");
    return properties == nullptr ? nullptr : properties->find(name);
  }
  return nullptr;
}

}  // namespace longhaul
