// The syntax tree of a template, as the parser leaves it. Plain data; lines count from 1.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "text/template/value.h"

namespace longhaul::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArgs {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;         // *sequence
  ExprPtr double_star;  // **mapping
};

enum class BinaryOp { kAdd, kSub, kMul, kDiv, kFloorDiv, kMod };
enum class UnaryOp { kNot, kNegative, kPositive };
enum class CompareOp { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };

struct ConstExpr {
  Value value;
};
struct NameExpr {
  std::string name;
};
struct SequenceExpr {
  bool is_tuple;
  std::vector<ExprPtr> items;
};
struct DictExpr {
  std::vector<std::pair<ExprPtr, ExprPtr>> items;
};
struct AttributeExpr {
  ExprPtr object;
  std::string name;
};
struct SubscriptExpr {
  ExprPtr object;
  ExprPtr key;
};
struct SliceExpr {
  ExprPtr object;
  ExprPtr start, stop, step;
};  // each may be null
struct CallExpr {
  ExprPtr callee;
  CallArgs args;
};
struct FilterExpr {
  ExprPtr input;
  std::string name;
  CallArgs args;
};  // input null: a filter block's body
struct TestExpr {
  ExprPtr input;
  std::string name;
  CallArgs args;
};
struct UnaryExpr {
  UnaryOp op;
  ExprPtr operand;
};
struct BinaryExpr {
  BinaryOp op;
  ExprPtr left, right;
};
struct LogicExpr {
  bool is_and;
  ExprPtr left, right;
};
struct ConcatExpr {
  std::vector<ExprPtr> parts;
};
struct CompareExpr {
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};
struct ConditionalExpr {
  ExprPtr condition, then, otherwise;
};  // otherwise may be null

struct Expr {
  int line;
  int depth;  // of the tree below, bounded by the parser
  std::variant<ConstExpr, NameExpr, SequenceExpr, DictExpr, AttributeExpr, SubscriptExpr, SliceExpr,
               CallExpr, FilterExpr, TestExpr, UnaryExpr, BinaryExpr, LogicExpr, ConcatExpr,
               CompareExpr, ConditionalExpr>
      node;
};

// Where a value goes: a name, a namespace's attribute, or a tuple of names.
struct Target {
  std::string name;
  std::string attribute;           // not empty: name.attribute
  std::vector<std::string> names;  // not empty: the tuple
};

struct Stmt;
using Block = std::vector<Stmt>;

struct Parameter {
  std::string name;
  ExprPtr fallback;  // null: none
};
// A macro, or the body of a call block.
struct MacroDef {
  std::string name;
  std::vector<Parameter> parameters;
  Block body;
};

struct DataStmt {
  std::string text;
};
struct OutputStmt {
  ExprPtr value;
};
struct IfStmt {
  std::vector<std::pair<ExprPtr, Block>> branches;
  Block otherwise;
};
struct ForStmt {
  Target target;
  ExprPtr iterable;
  ExprPtr condition;
  Block body;
  Block otherwise;
};
struct SetStmt {
  Target target;
  ExprPtr value;
};
struct SetBlockStmt {
  Target target;
  Block body;
};
struct MacroStmt {
  std::shared_ptr<MacroDef> macro;
};
struct CallStmt {
  std::shared_ptr<MacroDef> caller;
  ExprPtr call;
};
struct FilterStmt {
  ExprPtr filter;
  Block body;
};
struct ScopeStmt {
  Block body;
};  // generation: a scope and nothing more
struct BreakStmt {};
struct ContinueStmt {};

struct Stmt {
  int line;
  std::variant<DataStmt, OutputStmt, IfStmt, ForStmt, SetStmt, SetBlockStmt, MacroStmt, CallStmt,
               FilterStmt, ScopeStmt, BreakStmt, ContinueStmt>
      node;
};

}  // namespace longhaul::jinja
