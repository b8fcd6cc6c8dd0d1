// The variable `loop` inside a for.
#pragma once

#include <memory>

#include "text/template/ast.h"
#include "text/template/scope.h"
#include "text/template/value.h"

namespace longhaul::jinja {

class Interpreter;

class Loop : public Object, public std::enable_shared_from_this<Loop> {
 public:
  Loop(Value items, int64_t depth0) : items_(std::move(items)), depth0_(depth0) {
    extent_.hold(items_.extent());
  }

  void go_to(size_t index) { index_ = index; }
  // Lets the body call loop(children). The Run must keep a loop that holds a scope.
  void make_recursive(Interpreter& interpreter, const ForStmt& stmt, std::shared_ptr<Scope> outer);

  std::string describe() const override {
    return fmt::format("LoopContext {}/{}", index_ + 1, items_.as_seq()->items.size());
  }
  bool callable() const override { return true; }
  Result<Value> call(Run& run, const Args& args) override;
  Value attribute(Run& run, std::string_view name) override;
  Extent extent() const override { return extent_; }
  void drop_references() override {
    outer_.reset();
    changed_ = Value();
  }

 private:
  friend class LoopMethod;
  Result<Value> cycle(const Args& args) const;
  Result<Value> changed(Run& run, const Args& args);

  Value items_;
  Extent extent_;
  int64_t depth0_;
  size_t index_ = 0;
  Value changed_;  // the last arguments of changed(), none before
  Interpreter* interpreter_ = nullptr;
  const ForStmt* stmt_ = nullptr;
  std::shared_ptr<Scope> outer_;
};

}  // namespace longhaul::jinja
