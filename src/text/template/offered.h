// The error about what the template language leaves out: it names the construct and what there is.
#pragma once

#include <string_view>
#include <vector>

#include "base/errors.h"

namespace longhaul::jinja {

// kind: "filter", "tag", "attribute of loop". rows: names, or rows that have one.
template <class Rows>
Error not_offered(std::string_view kind, std::string_view name, const Rows& rows) {
  std::vector<std::string_view> names;
  for (const auto& row : rows) {
    if constexpr (requires { row.name; }) {
      names.push_back(row.name);
    } else {
      names.push_back(row);
    }
  }
  return unsupported("'{}' is no {} of chat templates, which have: {}", name.substr(0, 80), kind,
                     fmt::join(names, ", "));
}

}  // namespace longhaul::jinja
