// Reading the arguments of a builtin, as Python would bind them to its parameters.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "text/template/value.h"

namespace longhaul::jinja {

// One pointer a parameter, null where it was not given. The first n_required must be there.
class Bound {
 public:
  const Value* operator[](size_t i) const { return values_[i]; }
  bool has(size_t i) const { return values_[i] != nullptr && !values_[i]->is_none(); }
  bool truthy(size_t i, bool fallback = false) const {
    return values_[i] ? values_[i]->truthy() : fallback;
  }
  // Errors where the argument has another type. None counts as not given.
  Result<int64_t> integer(size_t i, int64_t fallback) const;
  Result<std::string> string(size_t i, std::string fallback) const;

 private:
  friend Result<Bound> bind(std::string_view, const Args&, std::initializer_list<const char*>,
                            size_t);
  std::vector<const Value*> values_;
  std::vector<const char*> names_;
};

Result<Bound> bind(std::string_view what, const Args& args,
                   std::initializer_list<const char*> names, size_t n_required = 0);

}  // namespace longhaul::jinja
