// Filters that pick from sequences and reshape them. What is lazy in the reference gives a
// generator here: it counts as true, has no length, and can be walked once.
#include <algorithm>

#include "text/template/bound_arguments.h"
#include "text/template/filters.h"
#include "text/template/operators.h"
#include "text/template/rendering.h"

namespace longhaul::jinja {
namespace {

Result<Value> get_default(Run&, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("default", args, {"default_value", "boolean"}));
  if (!v.is_undefined() && !(a.truthy(1) && !v.truthy())) return v;
  return a[0] ? *a[0] : Value::constant("");
}

Result<Value> count(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("length", args, {}));
  LH_TRY(const int64_t n, length(run, v));
  return Value(n);
}

Result<Value> list(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("list", args, {}));
  LH_TRY(auto items, iterate(run, v));
  return run.list(std::move(items));
}

Result<Value> first(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("first", args, {}));
  const Seq* s = v.as_seq();
  if (s && s->kind == SeqKind::kGenerator) {
    if (s->next == s->items.size()) return undefined_because("No first item, sequence was empty.");
    return s->items[s->next++];
  }
  LH_TRY(const auto items, iterate(run, v));
  return items.empty() ? undefined_because("No first item, sequence was empty.") : items.front();
}

Result<Value> last(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("last", args, {}));
  if (v.is_seq(SeqKind::kGenerator)) return invalid("a generator has no last item");
  LH_TRY(const auto items, iterate(run, v));
  return items.empty() ? undefined_because("No last item, sequence was empty.") : items.back();
}

Result<Value> reverse(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("reverse", args, {}));
  LH_TRY(auto items, iterate(run, v));
  std::reverse(items.begin(), items.end());
  if (!v.as_string()) return run.generator(std::move(items));
  std::string out;
  for (const Value& c : items) out += *c.as_string();
  return run.text(std::move(out));
}

Result<Value> items(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("items", args, {}));
  std::vector<Value> out;
  if (!v.is_undefined() && !v.as_dict())
    return invalid("items needs a mapping, not {}", v.type_name());
  if (v.as_dict()) {
    for (const auto& [key, value] : v.as_dict()->items()) {
      LH_TRY(Value pair, run.tuple({key, value}));
      LH_RETURN_IF_ERROR(run.work());
      out.push_back(std::move(pair));
    }
  }
  return run.generator(std::move(out));
}

// The arguments behind the first n, for a filter or test that is called by name.
Args rest_of(const Args& args, size_t n) {
  Args rest = args;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(n));
  return rest;
}

Result<Value> map(Run& run, const Value& v, const Args& args) {
  if (!v.truthy()) return run.generator({});  // none and 0 included
  std::vector<Value> out;
  if (args.positional.empty()) {
    LH_TRY(const Bound a, bind("map", args, {"attribute", "default"}, 1));
    LH_TRY(const auto path, attribute_path(*a[0]));
    LH_TRY(const auto items, iterate(run, v));
    for (const Value& item : items) {
      LH_TRY(Value got, follow_path(run, item, path, a[1]));
      out.push_back(std::move(got));
    }
    return run.generator(std::move(out));
  }
  const auto* name = args.positional[0].as_string();
  if (!name) return invalid("map: the filter's name must be a string");
  const Args rest = rest_of(args, 1);
  LH_TRY(const auto items, iterate(run, v));
  for (const Value& item : items) {
    LH_RETURN_IF_ERROR(run.work());
    LH_TRY(Value got, apply_filter(run, *name, item, rest));
    out.push_back(std::move(got));
  }
  return run.generator(std::move(out));
}

// select, reject, selectattr, rejectattr: keep the items whose test, or plain truth, is kWanted.
template <bool kWanted, bool kAttribute>
Result<Value> select(Run& run, const Value& v, const Args& args) {
  if (!v.truthy()) return run.generator({});
  std::vector<Value> path;
  size_t n_used = 0;
  if (kAttribute) {
    if (args.positional.empty())
      return invalid("selectattr and rejectattr need an attribute's name");
    LH_TRY(path, attribute_path(args.positional[0]));
    n_used = 1;
  }
  const bool has_test = args.positional.size() > n_used;
  const std::string* test = has_test ? args.positional[n_used].as_string() : nullptr;
  if (has_test && !test) return invalid("the test's name must be a string");
  const Args rest = rest_of(args, n_used + (has_test ? 1 : 0));
  LH_TRY(const auto items, iterate(run, v));
  std::vector<Value> out;
  for (const Value& item : items) {
    LH_RETURN_IF_ERROR(run.work());
    LH_TRY(const Value subject, follow_path(run, item, path));
    bool holds = subject.truthy();
    if (test) {
      LH_TRY(holds, apply_predicate(run, *test, subject, rest));
    }
    if (holds == kWanted) out.push_back(item);
  }
  return run.generator(std::move(out));
}

constexpr FilterRow kFilters[] = {
    {"default", get_default},
    {"d", get_default},
    {"length", count},
    {"count", count},
    {"list", list},
    {"first", first},
    {"last", last},
    {"reverse", reverse},
    {"items", items},
    {"map", map},
    {"select", select<true, false>},
    {"reject", select<false, false>},
    {"selectattr", select<true, true>},
    {"rejectattr", select<false, true>},
};

}  // namespace

std::span<const FilterRow> sequence_filters() { return kFilters; }

}  // namespace longhaul::jinja
