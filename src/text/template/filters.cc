#include "text/template/filters.h"

#include "text/template/arithmetic.h"
#include "text/template/operators.h"
#include "text/template/rendering.h"

namespace longhaul::jinja {
namespace {

FilterFn find_filter(std::string_view name) {
  for (const auto find :
       {find_text_filter, find_sequence_filter, find_order_filter, find_number_filter}) {
    if (const FilterFn fn = find(name)) return fn;
  }
  return nullptr;
}

}  // namespace

bool has_filter(std::string_view name) { return find_filter(name) != nullptr; }

Result<Value> apply_filter(Run& run, std::string_view name, const Value& input, const Args& args) {
  const FilterFn fn = find_filter(name);
  if (!fn) return unsupported("no filter named '{}'", name);
  return fn(run, input, args);
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
        part.find_first_not_of("0123456789") == part.npos && parse_int(part, 10, index);
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
