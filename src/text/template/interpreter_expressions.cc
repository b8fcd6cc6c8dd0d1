// The interpreter's expressions.
#include "text/template/filters.h"
#include "text/template/interpreter.h"
#include "text/template/methods.h"
#include "text/template/objects.h"
#include "text/template/offered.h"
#include "text/template/operators.h"
#include "text/template/printing.h"

namespace longhaul::jinja {

Result<Value> Interpreter::eval(const Expr& e) {
  const Run::Depth depth(run_);
  auto result = [&]() -> Result<Value> {
    LH_RETURN_IF_ERROR(depth.check());
    LH_RETURN_IF_ERROR(run_.work());
    return std::visit([this](const auto& node) { return eval(node); }, e.node);
  }();
  if (!result.ok()) note_line(e.line);
  return result;
}

Result<Value> Interpreter::eval(const NameExpr& e) {
  if (const Value* v = scope_->find(e.name)) return *v;
  return find_global(e.name);
}

Result<Value> Interpreter::eval(const SequenceExpr& e) {
  std::vector<Value> items;
  items.reserve(e.items.size());
  for (const auto& item : e.items) {
    LH_TRY(Value v, eval(*item));
    items.push_back(std::move(v));
  }
  return run_.seq(e.is_tuple ? SeqKind::kTuple : SeqKind::kList, std::move(items));
}

Result<Value> Interpreter::eval(const DictExpr& e) {
  std::vector<Dict::Item> items;
  for (const auto& [key_expr, value_expr] : e.items) {
    LH_TRY(Value key, eval(*key_expr));
    LH_TRY(Value value, eval(*value_expr));
    items.emplace_back(std::move(key), std::move(value));
  }
  return run_.dict(std::move(items));
}

Result<Value> Interpreter::eval(const AttributeExpr& e) {
  LH_TRY(const Value object, eval(*e.object));
  return get_attribute(run_, object, e.name);
}

Result<Value> Interpreter::eval(const SubscriptExpr& e) {
  LH_TRY(const Value object, eval(*e.object));
  LH_TRY(const Value key, eval(*e.key));
  return get_item(run_, object, key);
}

Result<Value> Interpreter::eval(const SliceExpr& e) {
  LH_TRY(const Value object, eval(*e.object));
  Value parts[3];
  const Expr* exprs[] = {e.start.get(), e.stop.get(), e.step.get()};
  for (int i = 0; i < 3; ++i) {
    if (!exprs[i]) continue;
    LH_TRY(parts[i], eval(*exprs[i]));
  }
  return slice(run_, object, parts[0], parts[1], parts[2]);
}

Result<Args> Interpreter::eval_args(const CallArgs& a) {
  Args args;
  for (const auto& e : a.positional) {
    LH_TRY(Value v, eval(*e));
    args.positional.push_back(std::move(v));
  }
  for (const auto& [name, e] : a.named) {
    LH_TRY(Value v, eval(*e));
    args.named.emplace_back(name, std::move(v));
  }
  if (a.star) {
    LH_TRY(const Value v, eval(*a.star));
    LH_TRY(const auto items, iterate(run_, v));
    args.positional.insert(args.positional.end(), items.begin(), items.end());
  }
  if (a.double_star) {
    LH_TRY(const Value v, eval(*a.double_star));
    if (!v.as_dict())
      return invalid("an argument after ** must be a mapping, not {}", v.type_name());
    for (const auto& [key, value] : v.as_dict()->items()) {
      if (!key.as_string()) return invalid("keywords must be strings");
      for (const auto& [other, unused] : args.named) {
        if (other == *key.as_string()) return invalid("argument '{}' is given twice", other);
      }
      LH_RETURN_IF_ERROR(run_.work(1 + args.named.size() / 8));
      args.named.emplace_back(*key.as_string(), value);
    }
  }
  return args;
}

Result<Value> Interpreter::eval(const CallExpr& e) { return call(e, nullptr); }

// Tells of a function or method that Python has and this language has not.
Result<Value> Interpreter::callee_of(const CallExpr& e) {
  if (const auto* name = std::get_if<NameExpr>(&e.callee->node)) {
    LH_TRY(Value found, eval(*e.callee));
    if (found.is_undefined()) return no_function(name->name);
    return found;
  }
  const auto* method = std::get_if<AttributeExpr>(&e.callee->node);
  if (method == nullptr) return eval(*e.callee);
  LH_TRY(const Value object, eval(*method->object));
  LH_TRY(Value found, get_attribute(run_, object, method->name));
  if (!found.is_undefined() || find_method(object, method->name)) return found;
  std::vector<MethodRow> offered;
  for (const MethodRow& row : methods_of(object)) {
    if (row.fn != nullptr) offered.push_back(row);
  }
  if (offered.empty()) return found;
  return not_offered("method of " + object.type_name(), method->name, offered);
}

Result<Value> Interpreter::call(const CallExpr& e, const Value* caller) {
  LH_TRY(const Value callee, callee_of(e));
  LH_TRY(Args args, eval_args(e.args));
  if (caller) args.named.emplace_back("caller", *caller);
  if (callee.is_undefined()) return undefined_error(callee);
  if (!callee.as_object() || !callee.as_object()->callable())
    return invalid("'{}' is not callable", callee.type_name());
  return callee.as_object()->call(run_, args);
}

Result<Value> Interpreter::eval(const FilterExpr& e) {
  Value input;
  if (e.input) {
    LH_TRY(input, eval(*e.input));
  } else {
    input = *filter_input_;
  }
  LH_TRY(const Args args, eval_args(e.args));
  return apply_filter(run_, e.name, input, args);
}

Result<Value> Interpreter::eval(const TestExpr& e) {
  LH_TRY(const Value input, eval(*e.input));
  LH_TRY(const Args args, eval_args(e.args));
  LH_TRY(const bool holds, apply_predicate(run_, e.name, input, args));
  return Value(holds);
}

Result<Value> Interpreter::eval(const UnaryExpr& e) {
  LH_TRY(const Value v, eval(*e.operand));
  return unary(e.op, v);
}

Result<Value> Interpreter::eval(const BinaryExpr& e) {
  LH_TRY(const Value a, eval(*e.left));
  LH_TRY(const Value b, eval(*e.right));
  return binary(run_, e.op, a, b);
}

Result<Value> Interpreter::eval(const LogicExpr& e) {
  LH_TRY(Value left, eval(*e.left));
  if (left.truthy() != e.is_and) return left;
  return eval(*e.right);
}

Result<Value> Interpreter::eval(const ConcatExpr& e) {
  std::string out;
  for (const auto& part : e.parts) {
    LH_TRY(const Value v, eval(*part));
    LH_TRY(const std::string s, to_text(run_, v));
    LH_RETURN_IF_ERROR(run_.check_size(out.size() + s.size()));
    out += s;
  }
  return run_.text(std::move(out));
}

Result<Value> Interpreter::eval(const CompareExpr& e) {
  LH_TRY(Value left, eval(*e.first));
  for (const auto& [op, expr] : e.rest) {  // a < b < c compares each neighbour once
    LH_TRY(Value right, eval(*expr));
    LH_TRY(const bool holds, compare(run_, op, left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Result<Value> Interpreter::eval(const ConditionalExpr& e) {
  LH_TRY(const Value condition, eval(*e.condition));
  if (condition.truthy()) return eval(*e.then);
  if (e.otherwise) return eval(*e.otherwise);
  return undefined_because(
      "the inline if-expression evaluated to false and no else section was defined.");
}

}  // namespace longhaul::jinja
