// Expressions, by recursive descent. One function a level of precedence, loosest first.
#pragma once

#include <string>
#include <vector>

#include "text/template/ast.h"
#include "text/template/token_stream.h"

namespace longhaul::jinja {

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenStream& tokens) : t_(tokens) {}

  Result<ExprPtr> expression(bool with_conditional = true);
  // An expression, or a tuple where commas follow.
  Result<ExprPtr> tuple(bool with_conditional, bool in_parentheses = false);
  // The filters of a filter block, standing at the first name.
  Result<ExprPtr> filter(ExprPtr input);
  // A name, names with commas between them, or name.attribute.
  Result<Target> target(bool with_attribute);

 private:
  Result<ExprPtr> conditional();
  Result<ExprPtr> logic_or();
  Result<ExprPtr> logic_and();
  Result<ExprPtr> logic_not();
  Result<ExprPtr> compare();
  Result<ExprPtr> sum();
  Result<ExprPtr> concat();
  Result<ExprPtr> product();
  Result<ExprPtr> unary(bool with_filter = true);
  Result<ExprPtr> primary();
  Result<ExprPtr> name();
  Result<ExprPtr> list();
  Result<ExprPtr> dict();
  Result<ExprPtr> postfix(ExprPtr object);
  Result<ExprPtr> filters_and_tests(ExprPtr input);
  Result<ExprPtr> test(ExprPtr input);
  Result<ExprPtr> subscript(ExprPtr object);
  Result<CallArgs> call_args();
  Result<std::string> assignable_name();
  bool at_tuple_end() const;

  template <class Node>
  Result<ExprPtr> make(int line, Node node);

  TokenStream& t_;
  int nesting_ = 0;
};

}  // namespace longhaul::jinja
