// Walks the syntax tree.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "text/template/ast.h"
#include "text/template/rendering.h"
#include "text/template/scope.h"

namespace longhaul::jinja {

enum class Flow { kNext, kBreak, kContinue };

class Interpreter {
 public:
  Interpreter(Run& run, std::shared_ptr<Scope> globals) : run_(run), scope_(std::move(globals)) {}

  Result<std::string> render(const Block& block);
  // Line of the innermost node that failed.
  int error_line() const { return error_line_; }

  // For Macro, which runs template code.
  Result<Value> run_macro(const MacroDef& macro, const std::shared_ptr<Scope>& closure,
                          const Args& args);

 private:
  // Statements write to out_.
  Result<Flow> exec_block(const Block& block);
  Result<Flow> exec(const Stmt& stmt);
  Result<Flow> exec(const DataStmt& s);
  Result<Flow> exec(const OutputStmt& s);
  Result<Flow> exec(const IfStmt& s);
  Result<Flow> exec(const ForStmt& s);
  Result<Flow> exec(const SetStmt& s);
  Result<Flow> exec(const SetBlockStmt& s);
  Result<Flow> exec(const MacroStmt& s);
  Result<Flow> exec(const CallStmt& s);
  Result<Flow> exec(const FilterStmt& s);
  Result<Flow> exec(const ScopeStmt& s);
  Result<Flow> exec(const BreakStmt&) { return Flow::kBreak; }
  Result<Flow> exec(const ContinueStmt&) { return Flow::kContinue; }
  Status iterate_loop(const ForStmt& s, const Value& iterable);
  Result<Value> loop_items(const ForStmt& s, const Value& iterable);

  Result<Value> eval(const Expr& e);
  Result<Value> eval(const ConstExpr& e) { return e.value; }
  Result<Value> eval(const NameExpr& e);
  Result<Value> eval(const SequenceExpr& e);
  Result<Value> eval(const DictExpr& e);
  Result<Value> eval(const AttributeExpr& e);
  Result<Value> eval(const SubscriptExpr& e);
  Result<Value> eval(const SliceExpr& e);
  Result<Value> eval(const CallExpr& e);
  Result<Value> eval(const FilterExpr& e);
  Result<Value> eval(const TestExpr& e);
  Result<Value> eval(const UnaryExpr& e);
  Result<Value> eval(const BinaryExpr& e);
  Result<Value> eval(const LogicExpr& e);
  Result<Value> eval(const ConcatExpr& e);
  Result<Value> eval(const CompareExpr& e);
  Result<Value> eval(const ConditionalExpr& e);
  Result<Args> eval_args(const CallArgs& a);
  Result<Value> call(const CallExpr& e, const Value* caller);
  Result<Value> callee_of(const CallExpr& e);

  Status write(std::string_view text);
  Status assign(const Target& target, const Value& value);
  // Runs body in a scope of its own, with output into a string.
  Result<std::string> capture(const Block& body);
  void note_line(int line) {
    if (error_line_ == 0) error_line_ = line;
  }

  // A scope for the length of a C++ block.
  class Enter {
   public:
    Enter(Interpreter& in, std::shared_ptr<Scope> scope)
        : in_(in), saved_(std::exchange(in.scope_, std::move(scope))) {}
    explicit Enter(Interpreter& in) : Enter(in, std::make_shared<Scope>(in.scope_)) {}
    ~Enter() { in_.scope_ = std::move(saved_); }

   private:
    Interpreter& in_;
    std::shared_ptr<Scope> saved_;
  };
  // An output buffer, paid for while it lives.
  struct Buffer {
    explicit Buffer(Account* account) : charge(account, 64) {}
    std::string text;
    Charge charge;
  };

  Run& run_;
  std::shared_ptr<Scope> scope_;
  Buffer* out_ = nullptr;
  const Value* filter_input_ = nullptr;  // what a filter block's filter is applied to
  int error_line_ = 0;
};

}  // namespace longhaul::jinja
