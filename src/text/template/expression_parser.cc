#include "text/template/expression_parser.h"

#include <algorithm>

#include "text/template/limits.h"

namespace longhaul::jinja {
namespace {

// The depth of a node is one more than its deepest child's. Children are visited by these
// overloads.
int depth_of(const ExprPtr& e) { return e ? e->depth : 0; }
int depth_of(const std::vector<ExprPtr>& list) {
  int d = 0;
  for (const auto& e : list) d = std::max(d, depth_of(e));
  return d;
}
int depth_of(const CallArgs& a) {
  int d = std::max({depth_of(a.positional), depth_of(a.star), depth_of(a.double_star)});
  for (const auto& [name, e] : a.named) d = std::max(d, depth_of(e));
  return d;
}
int children_depth(const ConstExpr&) { return 0; }
int children_depth(const NameExpr&) { return 0; }
int children_depth(const SequenceExpr& n) { return depth_of(n.items); }
int children_depth(const DictExpr& n) {
  int d = 0;
  for (const auto& [key, value] : n.items) d = std::max({d, depth_of(key), depth_of(value)});
  return d;
}
int children_depth(const AttributeExpr& n) { return depth_of(n.object); }
int children_depth(const SubscriptExpr& n) { return std::max(depth_of(n.object), depth_of(n.key)); }
int children_depth(const SliceExpr& n) {
  return std::max({depth_of(n.object), depth_of(n.start), depth_of(n.stop), depth_of(n.step)});
}
int children_depth(const CallExpr& n) { return std::max(depth_of(n.callee), depth_of(n.args)); }
int children_depth(const FilterExpr& n) { return std::max(depth_of(n.input), depth_of(n.args)); }
int children_depth(const TestExpr& n) { return std::max(depth_of(n.input), depth_of(n.args)); }
int children_depth(const UnaryExpr& n) { return depth_of(n.operand); }
int children_depth(const BinaryExpr& n) { return std::max(depth_of(n.left), depth_of(n.right)); }
int children_depth(const LogicExpr& n) { return std::max(depth_of(n.left), depth_of(n.right)); }
int children_depth(const ConcatExpr& n) { return depth_of(n.parts); }
int children_depth(const CompareExpr& n) {
  int d = depth_of(n.first);
  for (const auto& [op, e] : n.rest) d = std::max(d, depth_of(e));
  return d;
}
int children_depth(const ConditionalExpr& n) {
  return std::max({depth_of(n.condition), depth_of(n.then), depth_of(n.otherwise)});
}

}  // namespace

template <class Node>
Result<ExprPtr> ExpressionParser::make(int line, Node node) {
  const int depth = 1 + children_depth(node);
  auto e = std::make_unique<Expr>(Expr{line, depth, std::move(node)});
  if (depth > 2 * kMaxSyntaxDepth) return t_.fail("an expression is nested too deep", line);
  return e;
}

Result<ExprPtr> ExpressionParser::expression(bool with_conditional) {
  if (nesting_ >= kMaxSyntaxDepth) return t_.fail("an expression is nested too deep");
  ++nesting_;
  auto e = with_conditional ? conditional() : logic_or();
  --nesting_;
  return e;
}

Result<ExprPtr> ExpressionParser::conditional() {
  const int line = t_.line();
  LH_TRY(ExprPtr e, logic_or());
  while (t_.skip_name("if")) {
    LH_TRY(ExprPtr condition, logic_or());
    ExprPtr otherwise;
    if (t_.skip_name("else")) {
      LH_TRY(otherwise, expression());
    }
    LH_TRY(e,
           make(line, ConditionalExpr{std::move(condition), std::move(e), std::move(otherwise)}));
  }
  return e;
}

Result<ExprPtr> ExpressionParser::logic_or() {
  LH_TRY(ExprPtr left, logic_and());
  while (t_.is_name("or")) {
    const int line = t_.take().line;
    LH_TRY(ExprPtr right, logic_and());
    LH_TRY(left, make(line, LogicExpr{false, std::move(left), std::move(right)}));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::logic_and() {
  LH_TRY(ExprPtr left, logic_not());
  while (t_.is_name("and")) {
    const int line = t_.take().line;
    LH_TRY(ExprPtr right, logic_not());
    LH_TRY(left, make(line, LogicExpr{true, std::move(left), std::move(right)}));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::logic_not() {
  if (!t_.is_name("not")) return compare();
  int n = 0;  // counted, not recursed into: "not not not ..." may be long
  const int line = t_.line();
  while (t_.skip_name("not")) ++n;
  LH_TRY(ExprPtr operand, compare());
  for (int i = 0; i < n; ++i) {
    LH_TRY(operand, make(line, UnaryExpr{UnaryOp::kNot, std::move(operand)}));
  }
  return operand;
}

Result<ExprPtr> ExpressionParser::compare() {
  static constexpr std::pair<std::string_view, CompareOp> kOps[] = {
      {"==", CompareOp::kEqual},  {"!=", CompareOp::kNotEqual},
      {"<", CompareOp::kLess},    {"<=", CompareOp::kLessEqual},
      {">", CompareOp::kGreater}, {">=", CompareOp::kGreaterEqual}};
  const int line = t_.line();
  LH_TRY(ExprPtr first, sum());
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
  while (true) {
    const auto* op = std::find_if(std::begin(kOps), std::end(kOps),
                                  [&](const auto& o) { return t_.is_op(o.first); });
    CompareOp kind;
    if (op != std::end(kOps)) {
      kind = op->second;
    } else if (t_.is_name("in")) {
      kind = CompareOp::kIn;
    } else if (t_.is_name("not") && t_.next().kind == TokenKind::kName && t_.next().text == "in") {
      kind = CompareOp::kNotIn;
      t_.take();
    } else {
      break;
    }
    t_.take();
    LH_TRY(ExprPtr right, sum());
    rest.emplace_back(kind, std::move(right));
  }
  if (rest.empty()) return first;
  return make(line, CompareExpr{std::move(first), std::move(rest)});
}

Result<ExprPtr> ExpressionParser::sum() {
  LH_TRY(ExprPtr left, concat());
  while (t_.is_op("+") || t_.is_op("-")) {
    const Token& op = t_.take();
    const int line = op.line;
    const BinaryOp kind = op.text == "+" ? BinaryOp::kAdd : BinaryOp::kSub;
    LH_TRY(ExprPtr right, concat());
    LH_TRY(left, make(line, BinaryExpr{kind, std::move(left), std::move(right)}));
  }
  return left;
}

Result<ExprPtr> ExpressionParser::concat() {
  const int line = t_.line();
  LH_TRY(ExprPtr first, product());
  if (!t_.is_op("~")) return first;
  std::vector<ExprPtr> parts;
  parts.push_back(std::move(first));
  while (t_.skip_op("~")) {
    LH_TRY(ExprPtr part, product());
    parts.push_back(std::move(part));
  }
  return make(line, ConcatExpr{std::move(parts)});
}

Result<ExprPtr> ExpressionParser::product() {
  static constexpr std::pair<std::string_view, BinaryOp> kOps[] = {{"*", BinaryOp::kMul},
                                                                   {"/", BinaryOp::kDiv},
                                                                   {"//", BinaryOp::kFloorDiv},
                                                                   {"%", BinaryOp::kMod}};
  LH_TRY(ExprPtr left, unary());
  while (true) {
    const auto* op = std::find_if(std::begin(kOps), std::end(kOps),
                                  [&](const auto& o) { return t_.is_op(o.first); });
    if (t_.is_op("**")) return t_.not_supported("'**'");
    if (op == std::end(kOps)) return left;
    const int line = t_.take().line;
    LH_TRY(ExprPtr right, unary());
    LH_TRY(left, make(line, BinaryExpr{op->second, std::move(left), std::move(right)}));
  }
}

Result<ExprPtr> ExpressionParser::unary(bool with_filter) {
  ExprPtr e;
  if (t_.is_op("-") || t_.is_op("+")) {
    if (nesting_ >= kMaxSyntaxDepth) return t_.fail("an expression is nested too deep");
    const Token& op = t_.take();
    const int line = op.line;
    const UnaryOp kind = op.text == "-" ? UnaryOp::kNegative : UnaryOp::kPositive;
    ++nesting_;
    auto operand = unary(false);
    --nesting_;
    if (!operand.ok()) return operand;
    LH_TRY(e, make(line, UnaryExpr{kind, std::move(*operand)}));
  } else {
    LH_TRY(e, primary());
  }
  LH_TRY(e, postfix(std::move(e)));
  return with_filter ? filters_and_tests(std::move(e)) : std::move(e);
}

Result<ExprPtr> ExpressionParser::primary() {
  const int line = t_.line();
  switch (t_.current().kind) {
    case TokenKind::kName: return name();
    case TokenKind::kString: {
      std::string value;
      while (t_.is(TokenKind::kString)) value += t_.take().text;
      return make(line, ConstExpr{Value::constant(std::move(value))});
    }
    case TokenKind::kInteger: return make(line, ConstExpr{Value(t_.take().integer)});
    case TokenKind::kFloat: return make(line, ConstExpr{Value(t_.take().real)});
    default: break;
  }
  if (t_.is_op("[")) return list();
  if (t_.is_op("{")) return dict();
  if (!t_.skip_op("("))
    return t_.fail(fmt::format("expected an expression, found {}", t_.describe()));
  LH_TRY(ExprPtr inner, tuple(true, true));
  LH_RETURN_IF_ERROR(t_.expect_op(")"));
  return inner;
}

Result<ExprPtr> ExpressionParser::name() {
  const int line = t_.line();
  std::string name = std::move(t_.take().text);
  if (name == "true" || name == "True") return make(line, ConstExpr{Value(true)});
  if (name == "false" || name == "False") return make(line, ConstExpr{Value(false)});
  if (name == "none" || name == "None") return make(line, ConstExpr{Value()});
  if (name == "varargs" || name == "kwargs")
    return t_.fail(unsupported("'{}' of a macro is not supported, only its named parameters", name),
                   line);
  return make(line, NameExpr{std::move(name)});
}

bool ExpressionParser::at_tuple_end() const {
  return t_.is(TokenKind::kOutputEnd) || t_.is(TokenKind::kBlockEnd) || t_.is_op(")");
}

Result<ExprPtr> ExpressionParser::tuple(bool with_conditional, bool in_parentheses) {
  const int line = t_.line();
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (!at_tuple_end()) {
    LH_TRY(ExprPtr item, expression(with_conditional));
    items.push_back(std::move(item));
    if (!t_.skip_op(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return std::move(items[0]);
  if (!is_tuple && !in_parentheses)
    return t_.fail(fmt::format("expected an expression, found {}", t_.describe()));
  return make(line, SequenceExpr{true, std::move(items)});
}

Result<ExprPtr> ExpressionParser::list() {
  const int line = t_.take().line;
  std::vector<ExprPtr> items;
  while (!t_.is_op("]")) {
    LH_TRY(ExprPtr item, expression());
    items.push_back(std::move(item));
    if (!t_.is_op("]")) LH_RETURN_IF_ERROR(t_.expect_op(","));
  }
  t_.take();
  return make(line, SequenceExpr{false, std::move(items)});
}

Result<ExprPtr> ExpressionParser::dict() {
  const int line = t_.take().line;
  std::vector<std::pair<ExprPtr, ExprPtr>> items;
  while (!t_.is_op("}")) {
    LH_TRY(ExprPtr key, expression());
    LH_RETURN_IF_ERROR(t_.expect_op(":"));
    LH_TRY(ExprPtr value, expression());
    items.emplace_back(std::move(key), std::move(value));
    if (!t_.is_op("}")) LH_RETURN_IF_ERROR(t_.expect_op(","));
  }
  t_.take();
  return make(line, DictExpr{std::move(items)});
}

Result<ExprPtr> ExpressionParser::postfix(ExprPtr e) {
  while (true) {
    const int line = t_.line();
    if (t_.skip_op(".")) {
      if (t_.is(TokenKind::kInteger)) {
        LH_TRY(ExprPtr key, make(line, ConstExpr{Value(t_.take().integer)}));
        LH_TRY(e, make(line, SubscriptExpr{std::move(e), std::move(key)}));
      } else {
        LH_TRY(std::string name, t_.expect_any_name());
        LH_TRY(e, make(line, AttributeExpr{std::move(e), std::move(name)}));
      }
    } else if (t_.is_op("[")) {
      LH_TRY(e, subscript(std::move(e)));
    } else if (t_.is_op("(")) {
      LH_TRY(CallArgs args, call_args());
      LH_TRY(e, make(line, CallExpr{std::move(e), std::move(args)}));
    } else {
      return e;
    }
  }
}

Result<ExprPtr> ExpressionParser::subscript(ExprPtr object) {
  const int line = t_.take().line;
  ExprPtr parts[3];
  size_t n_colons = 0;
  while (!t_.is_op("]")) {
    if (t_.is_op(":") && n_colons < 2) {
      t_.take();
      ++n_colons;
    } else if (parts[n_colons]) {
      break;
    } else {
      LH_TRY(parts[n_colons], expression());
    }
  }
  if (t_.is_op(",")) return t_.fail("a subscript of several parts is not supported");
  LH_RETURN_IF_ERROR(t_.expect_op("]"));
  if (n_colons > 0) {
    return make(line, SliceExpr{std::move(object), std::move(parts[0]), std::move(parts[1]),
                                std::move(parts[2])});
  }
  if (parts[0]) return make(line, SubscriptExpr{std::move(object), std::move(parts[0])});
  LH_TRY(ExprPtr empty, make(line, SequenceExpr{true, {}}));
  return make(line, SubscriptExpr{std::move(object), std::move(empty)});
}

Result<ExprPtr> ExpressionParser::filters_and_tests(ExprPtr e) {
  while (true) {
    const int line = t_.line();
    if (t_.skip_op("|")) {
      LH_TRY(e, filter(std::move(e)));
    } else if (t_.skip_name("is")) {
      LH_TRY(e, test(std::move(e)));
    } else if (t_.is_op("(")) {
      LH_TRY(CallArgs args, call_args());
      LH_TRY(e, make(line, CallExpr{std::move(e), std::move(args)}));
    } else {
      return e;
    }
  }
}

Result<ExprPtr> ExpressionParser::filter(ExprPtr input) {
  do {
    const int line = t_.line();
    LH_TRY(std::string name, t_.expect_any_name());
    CallArgs args;
    if (t_.is_op("(")) {
      LH_TRY(args, call_args());
    }
    LH_TRY(input, make(line, FilterExpr{std::move(input), std::move(name), std::move(args)}));
  } while (t_.skip_op("|"));
  return input;
}

Result<ExprPtr> ExpressionParser::test(ExprPtr input) {
  const int line = t_.line();
  const bool negated = t_.skip_name("not");
  LH_TRY(std::string name, t_.expect_any_name());
  CallArgs args;
  const TokenKind kind = t_.current().kind;
  const bool keyword = t_.is_name("else") || t_.is_name("or") || t_.is_name("and");
  const bool literal =
      kind == TokenKind::kString || kind == TokenKind::kInteger || kind == TokenKind::kFloat;
  if (t_.is_op("(")) {
    LH_TRY(args, call_args());
  } else if (literal || (kind == TokenKind::kName && !keyword) || t_.is_op("[") || t_.is_op("{")) {
    if (t_.is_name("is")) return t_.fail("tests cannot be chained with 'is'");
    LH_TRY(ExprPtr argument, primary());
    LH_TRY(argument, postfix(std::move(argument)));
    args.positional.push_back(std::move(argument));
  }
  LH_TRY(ExprPtr e, make(line, TestExpr{std::move(input), std::move(name), std::move(args)}));
  if (!negated) return e;
  return make(line, UnaryExpr{UnaryOp::kNot, std::move(e)});
}

Result<CallArgs> ExpressionParser::call_args() {
  const int line = t_.take().line;
  CallArgs args;
  const auto misplaced = [&] { return t_.fail("arguments stand in a wrong order", line); };
  while (!t_.is_op(")")) {
    if (t_.skip_op("*")) {
      if (args.star || args.double_star) return misplaced();
      LH_TRY(args.star, expression());
    } else if (t_.skip_op("**")) {
      if (args.double_star) return misplaced();
      LH_TRY(args.double_star, expression());
    } else if (t_.is(TokenKind::kName) && t_.next_is_op("=")) {
      if (args.double_star) return misplaced();
      std::string name = std::move(t_.take().text);
      t_.take();
      for (const auto& [other, e] : args.named) {
        if (other == name) return t_.fail(fmt::format("argument '{}' is given twice", name));
      }
      LH_TRY(ExprPtr value, expression());
      args.named.emplace_back(std::move(name), std::move(value));
    } else {
      if (args.star || args.double_star || !args.named.empty()) return misplaced();
      LH_TRY(ExprPtr value, expression());
      args.positional.push_back(std::move(value));
    }
    if (!t_.is_op(")")) LH_RETURN_IF_ERROR(t_.expect_op(","));
  }
  t_.take();
  return args;
}

Result<std::string> ExpressionParser::assignable_name() {
  static constexpr std::string_view kConstants[] = {"true",  "True", "false",
                                                    "False", "none", "None"};
  if (t_.is_op("(")) return t_.not_supported("a tuple of names in parentheses");
  const int line = t_.line();
  LH_TRY(std::string name, t_.expect_any_name());
  if (std::find(std::begin(kConstants), std::end(kConstants), name) != std::end(kConstants))
    return t_.fail(fmt::format("cannot assign to '{}'", name), line);
  return name;
}

Result<Target> ExpressionParser::target(bool with_attribute) {
  Target target;
  LH_TRY(target.name, assignable_name());
  if (with_attribute && t_.skip_op(".")) {
    LH_TRY(target.attribute, t_.expect_any_name());
  } else if (t_.is_op(",")) {
    target.names.push_back(std::move(target.name));
    while (t_.skip_op(",")) {
      LH_TRY(target.names.emplace_back(), assignable_name());
    }
  }
  return target;
}

}  // namespace longhaul::jinja
