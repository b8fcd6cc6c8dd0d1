// The tests of "x is ...".
#include <cmath>

#include "text/template/bound_arguments.h"
#include "text/template/filters.h"
#include "text/template/offered.h"
#include "text/template/operators.h"

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

template <CompareOp kOp>
Result<bool> compares(Run& run, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("a comparing test", args, {"other"}, 1));
  return compare(run, kOp, v, *a[0]);
}

template <bool kOdd>
Result<bool> parity(Run&, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("odd and even", args, {}));
  int64_t i = 0;
  if (v.to_integer(i)) return (i % 2 != 0) == kOdd;
  if (!v.as_float()) return invalid("odd and even need a number of 64 bits, not {}", v.type_name());
  return std::fabs(std::fmod(*v.as_float(), 2.0)) == (kOdd ? 1.0 : 0.0);
}

Result<bool> is_iterable(Run&, const Value& v, const Args& args) {
  LH_TRY(const Bound a, bind("iterable", args, {}));
  return iterable(v);
}

struct PredicateRow {
  std::string_view name;
  Result<bool> (*fn)(Run&, const Value& input, const Args&);
};

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
    {"sequence", of_kind<is_sequence>},
    {"iterable", is_iterable},
    {"eq", compares<CompareOp::kEqual>},
    {"equalto", compares<CompareOp::kEqual>},
    {"==", compares<CompareOp::kEqual>},
    {"ne", compares<CompareOp::kNotEqual>},
    {"!=", compares<CompareOp::kNotEqual>},
    {"lt", compares<CompareOp::kLess>},
    {"le", compares<CompareOp::kLessEqual>},
    {"gt", compares<CompareOp::kGreater>},
    {"ge", compares<CompareOp::kGreaterEqual>},
    {"in", compares<CompareOp::kIn>},
    {"odd", parity<true>},
    {"even", parity<false>},
};

}  // namespace

Result<bool> apply_predicate(Run& run, std::string_view name, const Value& input,
                             const Args& args) {
  for (const PredicateRow& row : kPredicates) {
    if (row.name == name) return row.fn(run, input, args);
  }
  return not_offered("test", name, kPredicates);
}

}  // namespace longhaul::jinja
