#include "text/template/arithmetic.h"

#include <cmath>
#include <cstdlib>

#include "text/template/code_points.h"
#include "text/template/operators.h"
#include "text/template/rendering.h"

namespace longhaul::jinja {
namespace {

Error overflow() { return invalid("an integer does not fit 64 bits"); }

Result<Value> floor_divide(int64_t x, int64_t y, bool remainder) {
  if (y == 0) return invalid("division by zero");
  if (y == -1) {  // INT64_MIN / -1 traps
    if (remainder) return Value(int64_t{0});
    if (x == INT64_MIN) return overflow();
    return Value(-x);
  }
  int64_t q = x / y, r = x % y;
  if (r != 0 && (r < 0) != (y < 0)) {
    q -= 1;
    r += y;
  }
  return Value(remainder ? r : q);
}

Result<Value> int_binary(BinaryOp op, int64_t x, int64_t y) {
  int64_t out = 0;
  bool overflows = false;
  switch (op) {
    case BinaryOp::kAdd: overflows = __builtin_add_overflow(x, y, &out); break;
    case BinaryOp::kSub: overflows = __builtin_sub_overflow(x, y, &out); break;
    case BinaryOp::kMul: overflows = __builtin_mul_overflow(x, y, &out); break;
    case BinaryOp::kDiv:
      if (y == 0) return invalid("division by zero");
      return Value(static_cast<double>(x) / static_cast<double>(y));
    case BinaryOp::kFloorDiv: return floor_divide(x, y, false);
    case BinaryOp::kMod: return floor_divide(x, y, true);
  }
  if (overflows) return overflow();
  return Value(out);
}

Result<Value> float_binary(BinaryOp op, double x, double y) {
  switch (op) {
    case BinaryOp::kAdd: return Value(x + y);
    case BinaryOp::kSub: return Value(x - y);
    case BinaryOp::kMul: return Value(x * y);
    case BinaryOp::kDiv:
      if (y == 0) return invalid("division by zero");
      return Value(x / y);
    case BinaryOp::kFloorDiv:
    case BinaryOp::kMod: break;
  }
  return unsupported("// and % of a float are not supported in chat templates");
}

bool can_repeat(const Value& v) {
  return v.as_string() || v.is_seq(SeqKind::kList) || v.is_seq(SeqKind::kTuple);
}

Result<Value> repeat(Run& run, const Value& v, int64_t times) {
  const auto n = static_cast<uint64_t>(times > 0 ? times : 0);
  const auto* s = v.as_string();
  const uint64_t size = s ? s->size() : v.as_seq()->items.size() * sizeof(Value);
  if (n != 0 && size > run.limits().max_output_bytes / n)
    return run.check_size(UINT64_MAX).take_error();
  LH_RETURN_IF_ERROR(run.work(n * size / 64));
  if (s) {
    std::string out;
    out.reserve(n * size);
    for (uint64_t i = 0; size > 0 && i < n; ++i) out += *s;
    return run.text(std::move(out));
  }
  std::vector<Value> items;
  for (uint64_t i = 0; size > 0 && i < n; ++i)
    items.insert(items.end(), v.as_seq()->items.begin(), v.as_seq()->items.end());
  return run.seq(v.as_seq()->kind, std::move(items));
}

Result<Value> join_two(Run& run, const Value& a, const Value& b) {
  if (a.as_string() && b.as_string()) {
    LH_RETURN_IF_ERROR(run.check_size(a.as_string()->size() + b.as_string()->size()));
    LH_RETURN_IF_ERROR(run.work((a.as_string()->size() + b.as_string()->size()) / 64));
    return run.text(*a.as_string() + *b.as_string());
  }
  const Seq* x = a.as_seq();
  const Seq* y = b.as_seq();
  if (x && y && x->kind == y->kind && x->kind <= SeqKind::kTuple) {
    LH_RETURN_IF_ERROR(run.check_size((x->items.size() + y->items.size()) * sizeof(Value)));
    std::vector<Value> items = x->items;
    items.insert(items.end(), y->items.begin(), y->items.end());
    return run.seq(x->kind, std::move(items));
  }
  return invalid("cannot add '{}' and '{}'", a.type_name(), b.type_name());
}

}  // namespace

Result<Value> number_binary(BinaryOp op, const Value& a, const Value& b) {
  int64_t x, y;
  if (a.to_integer(x) && b.to_integer(y)) return int_binary(op, x, y);
  if (!a.as_float() && !b.as_float()) return overflow();
  LH_TRY(const double p, float_of(a));
  LH_TRY(const double q, float_of(b));
  return float_binary(op, p, q);
}

Result<Value> binary(Run& run, BinaryOp op, const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return number_binary(op, a, b);
  if (op == BinaryOp::kMod && a.as_string())
    return unsupported("'%' makes no text in chat templates, '~' joins the parts of one");
  if (a.is_undefined()) return undefined_error(a);
  if (b.is_undefined()) return undefined_error(b);
  if (op == BinaryOp::kAdd) return join_two(run, a, b);
  int64_t times = 0;
  if (op == BinaryOp::kMul && can_repeat(a) && b.to_integer(times)) return repeat(run, a, times);
  if (op == BinaryOp::kMul && can_repeat(b) && a.to_integer(times)) return repeat(run, b, times);
  static constexpr const char* kNames[] = {"+", "-", "*", "/", "//", "%"};
  return invalid("unsupported operands for {}: '{}' and '{}'", kNames[static_cast<size_t>(op)],
                 a.type_name(), b.type_name());
}

Result<Value> unary(UnaryOp op, const Value& v) {
  if (op == UnaryOp::kNot) return Value(!v.truthy());
  if (v.is_undefined()) return undefined_error(v);
  int64_t i = 0;
  if (v.to_integer(i)) {
    if (op == UnaryOp::kPositive) return Value(i);
    if (i == INT64_MIN) return Value::integer("9223372036854775808");
    return Value(-i);
  }
  if (const auto* n = v.as_long_integer()) {
    if (op == UnaryOp::kPositive) return v;
    return n->digits[0] == '-' ? Value::integer(n->digits.substr(1))
                               : Value::integer("-" + n->digits);
  }
  if (!v.is_number()) return invalid("a '{}' has no sign", v.type_name());
  return Value(op == UnaryOp::kNegative ? -v.to_double() : v.to_double());
}

bool parse_integer(std::string_view text, Value& out) {
  text = strip_right(strip_left(text));
  std::string_view digits = text;
  if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) digits.remove_prefix(1);
  if (digits.empty() || digits.find_first_not_of("0123456789") != digits.npos) return false;
  out = Value::integer(text);
  return true;
}

bool parse_int(std::string_view text, int64_t& out) {
  Value value;
  return parse_integer(text, value) && value.to_integer(out);
}

bool parse_float(std::string_view text, double& out) {
  const std::string spelled(strip_right(strip_left(text)));
  if (spelled.empty() || spelled.find_first_of("xXpP(") != spelled.npos)
    return false;  // C reads hexadecimal floats and nan(...), Python does not
  char* end = nullptr;
  out = std::strtod(spelled.c_str(), &end);
  return end == spelled.c_str() + spelled.size();
}

Value truncated(double d) { return Value::integer(fmt::format("{:.0f}", std::trunc(d))); }

Result<double> float_of(const Value& v) {
  if (v.as_long_integer() && std::isinf(v.to_double()))
    return invalid("an integer is too large for a float");
  return v.to_double();
}

}  // namespace longhaul::jinja
