#include "text/template/bound_arguments.h"

#include <algorithm>

#include "text/template/operators.h"

namespace longhaul::jinja {

Result<Bound> bind(std::string_view what, const Args& args,
                   std::initializer_list<const char*> names, size_t n_required) {
  if (args.positional.size() > names.size()) {
    return invalid("{} takes at most {} arguments, {} given", what, names.size(),
                   args.positional.size());
  }
  Bound out;
  out.names_ = names;
  out.values_.resize(names.size(), nullptr);
  for (size_t i = 0; i < args.positional.size(); ++i) out.values_[i] = &args.positional[i];
  for (const auto& [name, value] : args.named) {
    const auto it = std::find(names.begin(), names.end(), name);
    if (it == names.end()) return invalid("{} has no argument '{}'", what, name);
    const Value*& place = out.values_[static_cast<size_t>(it - names.begin())];
    if (place) return invalid("{}: argument '{}' is given twice", what, name);
    place = &value;
  }
  for (size_t i = 0; i < n_required; ++i) {
    if (!out.values_[i]) return invalid("{} needs an argument '{}'", what, names.begin()[i]);
  }
  return out;
}

Result<int64_t> Bound::integer(size_t i, int64_t fallback) const {
  if (!has(i)) return fallback;
  if (!values_[i]->to_integer(fallback))
    return invalid("'{}' must be an integer, not {}", names_[i], values_[i]->type_name());
  return fallback;
}

Result<std::string> Bound::string(size_t i, std::string fallback) const {
  if (!has(i)) return fallback;
  if (!values_[i]->as_string())
    return invalid("'{}' must be a string, not {}", names_[i], values_[i]->type_name());
  return *values_[i]->as_string();
}

}  // namespace longhaul::jinja
