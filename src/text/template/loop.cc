#include "text/template/loop.h"

#include "text/template/offered.h"
#include "text/template/operators.h"

namespace longhaul::jinja {

Result<Value> Loop::attribute(Run&, std::string_view name) {
  static constexpr std::string_view kNames[] = {"index", "index0", "revindex", "revindex0", "first",
                                                "last",  "length", "previtem", "nextitem"};
  const auto& items = items_.as_seq()->items;
  const auto i = static_cast<int64_t>(index_), n = static_cast<int64_t>(items.size());
  if (name == "index") return Value(i + 1);
  if (name == "index0") return Value(i);
  if (name == "revindex") return Value(n - i);
  if (name == "revindex0") return Value(n - i - 1);
  if (name == "first") return Value(i == 0);
  if (name == "last") return Value(i + 1 == n);
  if (name == "length") return Value(n);
  if (name == "previtem")
    return i == 0 ? undefined_because("there is no previous item") : items[index_ - 1];
  if (name == "nextitem")
    return i + 1 == n ? undefined_because("there is no next item") : items[index_ + 1];
  return not_offered("attribute of loop", name, kNames);
}

}  // namespace longhaul::jinja
