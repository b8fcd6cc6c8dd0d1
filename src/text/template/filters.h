// The filters and tests of expressions, by name.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "text/template/value.h"

namespace longhaul::jinja {

using FilterFn = Result<Value> (*)(Run&, const Value& input, const Args&);

struct FilterRow {
  std::string_view name;
  FilterFn fn;
};

Result<Value> apply_filter(Run& run, std::string_view name, const Value& input, const Args& args);
Result<bool> apply_predicate(Run& run, std::string_view name, const Value& input, const Args& args);

// By topic.
std::span<const FilterRow> text_filters();
std::span<const FilterRow> sequence_filters();
std::span<const FilterRow> order_filters();

// "a.b.0" into steps of get_item, along which map(), sort() and their like look. None and undefined
// give no steps.
Result<std::vector<Value>> attribute_path(const Value& path);
// Where a step leads nowhere, `fallback` (if there is one) takes its place and the walk goes on
// from there.
Result<Value> follow_path(Run& run, Value v, const std::vector<Value>& path,
                          const Value* fallback = nullptr);

}  // namespace longhaul::jinja
