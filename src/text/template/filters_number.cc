// Filters that make numbers.
#include <cmath>

#include "text/template/arithmetic.h"
#include "text/template/bound_arguments.h"
#include "text/template/filters.h"
#include "text/template/operators.h"
#include "text/template/rendering.h"

namespace longhaul::jinja {
namespace {

Result<Value> to_int(Run&, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("int", args, {"default", "base"}));
  LH_TRY(const int64_t base, a.integer(1, 10));
  if (base != 0 && (base < 2 || base > 36)) return invalid("int: the base must be 0 or 2 to 36");
  const Value fallback = a[0] ? *a[0] : Value(int64_t{0});
  if (v.is_undefined()) return undefined_error(v);
  int64_t i = 0;
  double d = 0;
  Value parsed;
  if (v.to_integer(i)) return Value(i);
  if (v.as_long_integer()) return v;
  if (const auto* s = v.as_string()) {
    if (parse_integer(*s, static_cast<int>(base), parsed)) return parsed;
    if (!parse_float(*s, d)) return fallback;
  } else if (v.as_float()) {
    d = *v.as_float();
  } else {
    return fallback;
  }
  if (!std::isfinite(d)) return fallback;
  return truncated(d);
}

Result<Value> to_float(Run&, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("float", args, {"default"}));
  const Value fallback = a[0] ? *a[0] : Value(0.0);
  if (v.is_undefined()) return undefined_error(v);
  double d = 0;
  if (v.is_number()) {
    LH_TRY(d, float_of(v));
    return Value(d);
  }
  if (v.as_string() && parse_float(*v.as_string(), d)) return Value(d);
  return fallback;
}

Result<Value> absolute(Run&, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("abs", args, {}));
  int64_t i = 0;
  if (v.to_integer(i)) return i < 0 ? unary(UnaryOp::kNegative, v) : Value(i);
  if (v.as_float()) return Value(std::fabs(*v.as_float()));
  if (const auto* n = v.as_long_integer())
    return n->digits[0] == '-' ? unary(UnaryOp::kNegative, v) : v;
  if (v.is_undefined()) return undefined_error(v);
  return invalid("abs needs a number, not {}", v.type_name());
}

// An integer rounded to a negative number of places, ties to even.
Result<Value> round_integer(int64_t i, int64_t n_places) {
  if (n_places >= 0) return Value(i);
  if (n_places < -18) return Value(int64_t{0});
  int64_t unit = 1;
  for (int64_t n = 0; n > n_places; --n) unit *= 10;
  LH_TRY(const Value rest_value, number_binary(BinaryOp::kMod, Value(i), Value(unit)));
  const int64_t rest = *rest_value.as_int(), half = unit / 2;
  const bool odd = ((i - rest) / unit) % 2 != 0;
  const bool up = rest > half || (rest == half && odd);
  return number_binary(BinaryOp::kAdd, Value(i - rest), Value(up ? unit : int64_t{0}));
}

Result<Value> round(Run&, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("round", args, {"precision", "method"}));
  LH_TRY(const int64_t n_places, a.integer(0, 0));
  LH_TRY(const std::string method, a.string(1, "common"));
  if (method != "common" && method != "ceil" && method != "floor")
    return invalid("round: method must be common, ceil or floor");
  if (v.is_undefined()) return undefined_error(v);
  if (!v.is_number()) return invalid("round needs a number, not {}", v.type_name());
  int64_t i = 0;
  if (method == "common") {
    if (v.to_integer(i)) return round_integer(i, n_places);
    if (v.as_long_integer())
      return n_places >= 0 ? Result<Value>(v) : invalid("round: an integer does not fit 64 bits");
    return Value(round_decimal(*v.as_float(), n_places));
  }
  // As the reference does it, float error included; its ceil and floor give an integer, which has
  // no negative zero.
  const double unit = std::pow(10.0, static_cast<double>(n_places));
  LH_TRY(const double x, float_of(v));
  const double scaled = x * unit;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / unit + 0.0);
}

Result<Value> sum(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("sum", args, {"attribute", "start"}));
  LH_TRY(const auto path, attribute_path(a[0] ? *a[0] : Value()));
  LH_TRY(const auto items, iterate(run, v));
  Value total = a[1] ? *a[1] : Value(int64_t{0});
  if (total.as_string()) return invalid("sum cannot add strings");
  for (const Value& item : items) {
    LH_TRY(const Value part, follow_path(run, item, path));
    LH_TRY(total, binary(run, BinaryOp::kAdd, total, part));
  }
  return total;
}

constexpr FilterRow kFilters[] = {
    {"int", to_int}, {"float", to_float}, {"abs", absolute}, {"round", round}, {"sum", sum}};

}  // namespace

FilterFn find_number_filter(std::string_view name) { return find_filter_row(kFilters, name); }

}  // namespace longhaul::jinja
