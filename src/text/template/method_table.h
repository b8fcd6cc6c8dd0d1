// Lookup in a constant table of methods.
#pragma once

#include <string_view>

#include "text/template/methods.h"

namespace longhaul::jinja {

struct MethodRow {
  std::string_view name;
  MethodFn fn;  // null: it would change its object
};

template <size_t N>
Method find_row(const MethodRow (&rows)[N], std::string_view name) {
  for (const MethodRow& row : rows) {
    if (row.name == name) return {row.name.data(), row.fn, true, row.fn != nullptr};
  }
  return {};
}

}  // namespace longhaul::jinja
