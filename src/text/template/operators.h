// What the operators of an expression do, as Python and Jinja define them.
#pragma once

#include <string_view>
#include <vector>

#include "text/template/ast.h"
#include "text/template/value.h"

namespace longhaul::jinja {

Value undefined_name(std::string_view name);
Value undefined_attribute(std::string_view object, std::string_view name);
Value undefined_because(std::string reason);
Error undefined_error(const Value& undefined);

Result<Value> binary(Run& run, BinaryOp op, const Value& a, const Value& b);
Result<Value> unary(UnaryOp op, const Value& v);
Result<bool> compare(Run& run, CompareOp op, const Value& a, const Value& b);
Result<bool> contains(Run& run, const Value& container, const Value& item);

// a.name: methods first, then items. a[key]: items first, then methods. Undefined where neither has
// it.
Result<Value> get_attribute(Run& run, const Value& object, std::string_view name);
Result<Value> get_item(Run& run, const Value& object, const Value& key);
// A slice of a range prints as the whole range does; Python's names its own bounds.
Result<Value> slice(Run& run, const Value& object, const Value& start, const Value& stop,
                    const Value& step);

// The items of anything Python can walk. Walking a generator uses it up.
Result<std::vector<Value>> iterate(Run& run, const Value& v);
bool iterable(const Value& v);
Result<int64_t> length(Run& run, const Value& v);

}  // namespace longhaul::jinja
