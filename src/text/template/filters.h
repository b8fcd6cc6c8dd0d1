// The filters and tests of expressions, by name.
#pragma once

#include <string_view>

#include "text/template/value.h"

namespace longhaul::jinja {

using FilterFn = Result<Value> (*)(Run&, const Value& input, const Args&);
using PredicateFn = Result<bool> (*)(Run&, const Value& input, const Args&);

struct FilterRow {
  std::string_view name;
  FilterFn fn;
};
struct PredicateRow {
  std::string_view name;
  PredicateFn fn;
};

Result<Value> apply_filter(Run& run, std::string_view name, const Value& input, const Args& args);
Result<bool> apply_predicate(Run& run, std::string_view name, const Value& input, const Args& args);
bool has_filter(std::string_view name);
bool has_predicate(std::string_view name);

// By topic; null where the topic has no filter of that name.
FilterFn find_text_filter(std::string_view name);
FilterFn find_number_filter(std::string_view name);
FilterFn find_sequence_filter(std::string_view name);
FilterFn find_order_filter(std::string_view name);

template <size_t N>
FilterFn find_filter_row(const FilterRow (&rows)[N], std::string_view name) {
  for (const FilterRow& row : rows) {
    if (row.name == name) return row.fn;
  }
  return nullptr;
}

// "a.b.0" into steps of get_item, along which map(), sort() and their like look. None and undefined
// give no steps.
Result<std::vector<Value>> attribute_path(const Value& path);
// Where a step leads nowhere, `fallback` (if there is one) takes its place and the walk goes on
// from there.
Result<Value> follow_path(Run& run, Value v, const std::vector<Value>& path,
                          const Value* fallback = nullptr);

}  // namespace longhaul::jinja
