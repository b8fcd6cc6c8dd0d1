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

Result<Value> attr(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("attr", args, {"name"}, 1));
  LH_TRY(const std::string name, a.string(0, ""));
  // Only what Python calls an attribute: a dict's entries are none.
  if (v.as_dict()) {
    LH_TRY(const Value empty, run.dict({}));
    LH_TRY(const Value found, get_attribute(run, empty, name));
    return found.is_undefined() ? found : get_attribute(run, v, name);
  }
  return get_attribute(run, v, name);
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

Result<Value> batch(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("batch", args, {"linecount", "fill_with"}, 1));
  LH_TRY(const int64_t size, a.integer(0, 1));
  LH_TRY(const auto items, iterate(run, v));
  std::vector<Value> out, row;
  const auto flush = [&]() -> Status {
    LH_TRY(Value made, run.list(std::move(row)));
    out.push_back(std::move(made));
    row.clear();
    return {};
  };
  for (const Value& item : items) {
    LH_RETURN_IF_ERROR(run.work());
    if (static_cast<int64_t>(row.size()) == size) LH_RETURN_IF_ERROR(flush());
    row.push_back(item);
  }
  if (!row.empty()) {
    LH_RETURN_IF_ERROR(
        run.check_size(a.has(1) && size > 0 ? static_cast<uint64_t>(size) * sizeof(Value) : 0));
    while (a.has(1) && static_cast<int64_t>(row.size()) < size) row.push_back(*a[1]);
    LH_RETURN_IF_ERROR(flush());
  }
  return run.generator(std::move(out));
}

Result<Value> slices(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("slice", args, {"slices", "fill_with"}, 1));
  LH_TRY(const int64_t n_slices, a.integer(0, 1));
  if (n_slices == 0) return invalid("slice: division by zero");
  LH_TRY(const auto items, iterate(run, v));
  const auto n = static_cast<int64_t>(items.size());
  std::vector<Value> out;
  int64_t at = 0;
  for (int64_t i = 0; i < n_slices; ++i) {
    LH_RETURN_IF_ERROR(run.work());
    const bool longer = i < n % n_slices;
    const int64_t size = n / n_slices + (longer ? 1 : 0);
    std::vector<Value> row(items.begin() + at, items.begin() + at + size);
    if (a.has(1) && !longer) row.push_back(*a[1]);
    at += size;
    LH_TRY(Value made, run.list(std::move(row)));
    out.push_back(std::move(made));
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
    {"attr", attr},
    {"map", map},
    {"batch", batch},
    {"slice", slices},
    {"select", select<true, false>},
    {"reject", select<false, false>},
    {"selectattr", select<true, true>},
    {"rejectattr", select<false, true>},
};

}  // namespace

FilterFn find_sequence_filter(std::string_view name) { return find_filter_row(kFilters, name); }

}  // namespace longhaul::jinja
