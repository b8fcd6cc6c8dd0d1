// Numbers as Python counts them, with 64-bit integers: a result that does not fit is an error, never a wrapped value.
#pragma once

#include "text/template/ast.h"
#include "text/template/value.h"

namespace longhaul::jinja {

Result<Value> number_binary(BinaryOp op, const Value& a, const Value& b);  // both are numbers
// round(), to n decimal places of the decimal expansion, ties to even.
double round_decimal(double x, int64_t n_places);
// The text of a number, as int() and float() read it.
bool parse_int(std::string_view text, int base, int64_t& out);
bool parse_float(std::string_view text, double& out);
// A float to an int, toward zero.
Result<int64_t> truncate_float(double d);

}  // namespace longhaul::jinja
