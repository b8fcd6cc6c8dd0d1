// Filters that compare: sorting and duplicates. Strings compare without case unless told otherwise.
#include <algorithm>
#include <unordered_set>

#include "text/template/bound_arguments.h"
#include "text/template/code_points.h"
#include "text/template/filters.h"
#include "text/template/operators.h"
#include "text/template/rendering.h"

namespace longhaul::jinja {
namespace {

struct Keyed {
  Value key;
  Value item;
};

Value fold_case(Run& run, Value v, bool case_sensitive) {
  if (case_sensitive || !v.as_string()) return v;
  return run.text(to_lower(*v.as_string()));
}

// Items with the key that `attribute` leads to. "a,b" sorts by two keys, which make a list.
Result<std::vector<Keyed>> keyed(Run& run, const std::vector<Value>& items, const Value& attribute,
                                 bool case_sensitive, bool several) {
  std::vector<std::vector<Value>> paths;
  const auto* names = attribute.as_string();
  if (several && names) {
    for (size_t begin = 0; begin <= names->size();) {
      const size_t end = std::min(names->find(',', begin), names->size());
      LH_TRY(paths.emplace_back(), attribute_path(run.text(names->substr(begin, end - begin))));
      begin = end + 1;
    }
  } else {
    LH_TRY(paths.emplace_back(), attribute_path(attribute));
  }
  std::vector<Keyed> out;
  for (const Value& item : items) {
    std::vector<Value> keys;
    for (const auto& path : paths) {
      LH_RETURN_IF_ERROR(run.work());
      LH_TRY(Value key, follow_path(run, item, path));
      keys.push_back(fold_case(run, std::move(key), case_sensitive));
    }
    Value key = std::move(keys[0]);
    if (paths.size() > 1) {
      keys[0] = std::move(key);
      LH_TRY(key, run.list(std::move(keys)));
    }
    out.push_back({std::move(key), item});
  }
  return out;
}

Status sort_keyed(Run& run, std::vector<Keyed>& items, bool reverse) {
  Status failed;
  const auto before = [&](const Keyed& a, const Keyed& b) {
    if (!failed.ok()) return false;
    failed = run.work(1 + std::min(a.key.extent().weight, b.key.extent().weight));
    if (!failed.ok()) return false;
    auto answer = less(a.key, b.key);
    if (!answer.ok()) failed = answer.take_error();
    return answer.ok() && *answer;
  };
  // Python keeps the order of equals when reversing, too.
  if (reverse) std::reverse(items.begin(), items.end());
  std::stable_sort(items.begin(), items.end(), before);
  if (reverse) std::reverse(items.begin(), items.end());
  return failed;
}

Result<Value> list_of(Run& run, std::vector<Keyed> keyed_items) {
  std::vector<Value> out;
  for (Keyed& k : keyed_items) out.push_back(std::move(k.item));
  return run.list(std::move(out));
}

Result<Value> sort(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("sort", args, {"reverse", "case_sensitive", "attribute"}));
  LH_TRY(const auto items, iterate(run, v));
  LH_TRY(auto pairs, keyed(run, items, a[2] ? *a[2] : Value(), a.truthy(1), true));
  LH_RETURN_IF_ERROR(sort_keyed(run, pairs, a.truthy(0)));
  return list_of(run, std::move(pairs));
}

Result<Value> dictsort(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("dictsort", args, {"case_sensitive", "by", "reverse"}));
  LH_TRY(const std::string by, a.string(1, "key"));
  if (by != "key" && by != "value")
    return invalid("dictsort sorts by 'key' or 'value', not '{}'", by);
  if (v.is_undefined()) return undefined_error(v);
  if (!v.as_dict()) return invalid("dictsort needs a mapping, not {}", v.type_name());
  std::vector<Keyed> pairs;
  for (const auto& [key, value] : v.as_dict()->items()) {
    LH_RETURN_IF_ERROR(run.work());
    LH_TRY(Value pair, run.tuple({key, value}));
    pairs.push_back({fold_case(run, by == "key" ? key : value, a.truthy(0)), std::move(pair)});
  }
  LH_RETURN_IF_ERROR(sort_keyed(run, pairs, a.truthy(2)));
  return list_of(run, std::move(pairs));
}

Result<Value> unique(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("unique", args, {"case_sensitive", "attribute"}));
  LH_TRY(const auto items, iterate(run, v));
  LH_TRY(auto pairs, keyed(run, items, a[1] ? *a[1] : Value(), a.truthy(0), false));
  std::unordered_set<Value, HashValue, EqualValue> seen;
  std::vector<Value> out;
  for (Keyed& k : pairs) {
    LH_RETURN_IF_ERROR(run.work(k.key.extent().weight));
    if (!hashable(k.key)) return invalid("unhashable type: '{}'", k.key.type_name());
    if (seen.insert(k.key).second) out.push_back(std::move(k.item));
  }
  return run.generator(std::move(out));
}

constexpr FilterRow kFilters[] = {{"sort", sort}, {"dictsort", dictsort}, {"unique", unique}};

}  // namespace

std::span<const FilterRow> order_filters() { return kFilters; }

}  // namespace longhaul::jinja
