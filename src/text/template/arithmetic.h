// Numbers as Python counts them, except that integers beyond 64 bits are only carried, not computed
// with: where they would be an operand or a result, that is an error, never a wrapped value.
#pragma once

#include "text/template/ast.h"
#include "text/template/value.h"

namespace longhaul::jinja {

Result<Value> number_binary(BinaryOp op, const Value& a, const Value& b);  // both are numbers
// The text of a number in base 10, as int() and float() read it.
bool parse_int(std::string_view text, int64_t& out);
bool parse_float(std::string_view text, double& out);
// The same for an integer of any length.
bool parse_integer(std::string_view text, Value& out);
// A finite float to an int, toward zero.
Value truncated(double d);
// Python's float() of a number: an integer beyond the doubles' range is an error.
Result<double> float_of(const Value& v);

}  // namespace longhaul::jinja
