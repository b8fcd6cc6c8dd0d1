// The tests of "x is ...".
#include <cmath>

#include "text/template/arithmetic.h"
#include "text/template/bound_arguments.h"
#include "text/template/code_points.h"
#include "text/template/filters.h"
#include "text/template/operators.h"
#include "text/template/printing.h"
#include "text/template/rendering.h"

namespace longhaul::jinja {
namespace {

using Kind = Value::Kind;

bool is_defined(const Value& v) { return !v.is_undefined(); }
bool is_undefined(const Value& v) { return v.is_undefined(); }
bool is_none(const Value& v) { return v.is_none(); }
bool is_boolean(const Value& v) { return v.kind() == Kind::kBool; }
bool is_true(const Value& v) { return v.as_bool() && *v.as_bool(); }
bool is_false(const Value& v) { return v.as_bool() && !*v.as_bool(); }
bool is_integer(const Value& v) { return v.kind() == Kind::kInt || v.kind() == Kind::kLongInt; }
bool is_float(const Value& v) { return v.kind() == Kind::kFloat; }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.kind() == Kind::kString; }
bool is_mapping(const Value& v) { return v.kind() == Kind::kDict; }
// Undefined has a call, which fails.
bool is_callable(const Value& v) {
  return v.is_undefined() || (v.as_object() && v.as_object()->callable());
}
bool is_escaped(const Value&) { return false; }
// What has a length and subscripts: undefined answers to both, dict views only to the first.
bool is_sequence(const Value& v) {
  const Seq* s = v.as_seq();
  return s ? s->kind <= SeqKind::kRange : v.is_undefined() || v.as_string() || v.as_dict();
}

template <bool (*kIs)(const Value&)>
Result<bool> of_kind(Run&, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("a test", args, {}));
  return kIs(v);
}

Result<bool> has_remainder(const Value& v, const Value& divisor, int64_t wanted) {
  if (v.is_undefined()) return undefined_error(v);
  if (divisor.is_undefined()) return undefined_error(divisor);
  if (!v.is_number() || !divisor.is_number())
    return invalid("'{}' has no remainder", v.type_name());
  LH_TRY(const Value rest, number_binary(BinaryOp::kMod, v, divisor));
  return equal(rest, Value(wanted));
}

template <int64_t kRest>
Result<bool> parity(Run&, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("odd or even", args, {}));
  return has_remainder(v, Value(int64_t{2}), kRest);
}

Result<bool> divisible_by(Run&, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("divisibleby", args, {"num"}, 1));
  return has_remainder(v, *a[0], 0);
}

template <CompareOp kOp>
Result<bool> compares(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("a comparing test", args, {"other"}, 1));
  return compare(run, kOp, v, *a[0]);
}

template <bool kUpper>
Result<bool> in_case(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("a test", args, {}));
  LH_TRY(const std::string s, to_text(run, v));
  return kUpper ? is_upper_text(s) : is_lower_text(s);
}

Result<bool> same_as(Run&, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("sameas", args, {"other"}, 1));
  if (v.kind() != a[0]->kind()) return false;
  const void* identity = v.identity();
  return identity && !v.as_string() ? identity == a[0]->identity() : equal(v, *a[0]);
}

template <bool (*kHas)(std::string_view)>
Result<bool> named(Run&, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("a test", args, {}));
  return v.as_string() && kHas(*v.as_string());
}

Result<bool> is_iterable(Run&, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("iterable", args, {}));
  return iterable(v);
}

constexpr PredicateRow kPredicates[] = {
    {"defined", of_kind<is_defined>},
    {"undefined", of_kind<is_undefined>},
    {"none", of_kind<is_none>},
    {"boolean", of_kind<is_boolean>},
    {"true", of_kind<is_true>},
    {"false", of_kind<is_false>},
    {"integer", of_kind<is_integer>},
    {"float", of_kind<is_float>},
    {"number", of_kind<is_number>},
    {"string", of_kind<is_string>},
    {"mapping", of_kind<is_mapping>},
    {"callable", of_kind<is_callable>},
    {"sequence", of_kind<is_sequence>},
    {"iterable", is_iterable},
    {"escaped", of_kind<is_escaped>},
    {"odd", parity<1>},
    {"even", parity<0>},
    {"divisibleby", divisible_by},
    {"sameas", same_as},
    {"upper", in_case<true>},
    {"lower", in_case<false>},
    {"filter", named<has_filter>},
    {"test", named<has_predicate>},
    {"eq", compares<CompareOp::kEqual>},
    {"equalto", compares<CompareOp::kEqual>},
    {"==", compares<CompareOp::kEqual>},
    {"ne", compares<CompareOp::kNotEqual>},
    {"!=", compares<CompareOp::kNotEqual>},
    {"lt", compares<CompareOp::kLess>},
    {"lessthan", compares<CompareOp::kLess>},
    {"<", compares<CompareOp::kLess>},
    {"le", compares<CompareOp::kLessEqual>},
    {"<=", compares<CompareOp::kLessEqual>},
    {"gt", compares<CompareOp::kGreater>},
    {"greaterthan", compares<CompareOp::kGreater>},
    {">", compares<CompareOp::kGreater>},
    {"ge", compares<CompareOp::kGreaterEqual>},
    {">=", compares<CompareOp::kGreaterEqual>},
    {"in", compares<CompareOp::kIn>},
};

PredicateFn find_predicate(std::string_view name) {
  for (const PredicateRow& row : kPredicates) {
    if (row.name == name) return row.fn;
  }
  return nullptr;
}

}  // namespace

bool has_predicate(std::string_view name) { return find_predicate(name) != nullptr; }

Result<bool> apply_predicate(Run& run, std::string_view name, const Value& input,
                             const Args& args) {
  const PredicateFn fn = find_predicate(name);
  if (!fn) return unsupported("no test named '{}'", name);
  return fn(run, input, args);
}

}  // namespace longhaul::jinja
