#include "text/template/filters.h"

#include <algorithm>

#include "text/template/arithmetic.h"
#include "text/template/offered.h"
#include "text/template/operators.h"
#include "text/template/rendering.h"

namespace longhaul::jinja {
namespace {

// All rows, in order of name.
std::vector<FilterRow> all_filters() {
  std::vector<FilterRow> all;
  for (const auto rows : {text_filters(), sequence_filters(), order_filters()})
    all.insert(all.end(), rows.begin(), rows.end());
  std::sort(all.begin(), all.end(),
            [](const FilterRow& a, const FilterRow& b) { return a.name < b.name; });
  return all;
}

}  // namespace

Result<Value> apply_filter(Run& run, std::string_view name, const Value& input, const Args& args) {
  static const std::vector<FilterRow> kAll = all_filters();
  for (const FilterRow& row : kAll) {
    if (row.name == name) return row.fn(run, input, args);
  }
  return not_offered("filter", name, kAll);
}

Result<std::vector<Value>> attribute_path(const Value& path) {
  std::vector<Value> steps;
  if (path.is_none() || path.is_undefined()) return steps;
  if (path.as_int()) return std::vector<Value>{path};
  const auto* s = path.as_string();
  if (!s) return invalid("an attribute must be a name or a number, not {}", path.type_name());
  for (size_t begin = 0; begin <= s->size();) {
    const size_t end = std::min(s->find('.', begin), s->size());
    const std::string part = s->substr(begin, end - begin);
    int64_t index = 0;
    const bool is_index =
        part.find_first_not_of("0123456789") == part.npos && parse_int(part, index);
    steps.push_back(is_index ? Value(index) : Value::constant(part));
    begin = end + 1;
  }
  return steps;
}

Result<Value> follow_path(Run& run, Value v, const std::vector<Value>& path,
                          const Value* fallback) {
  for (const Value& step : path) {
    LH_RETURN_IF_ERROR(run.work());
    LH_TRY(v, get_item(run, v, step));
    if (v.is_undefined() && fallback && !fallback->is_none()) v = *fallback;
  }
  return v;
}

}  // namespace longhaul::jinja
