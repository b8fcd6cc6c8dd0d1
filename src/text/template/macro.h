// A macro as a value, or the body of a call block as `caller`.
#pragma once

#include <memory>

#include "text/template/interpreter.h"

namespace longhaul::jinja {

class Macro : public Object {
 public:
  Macro(Interpreter& interpreter, std::shared_ptr<const MacroDef> def,
        std::shared_ptr<Scope> closure)
      : interpreter_(interpreter), def_(std::move(def)), closure_(std::move(closure)) {}

  std::string describe() const override { return fmt::format("Macro '{}'", def_->name); }
  bool callable() const override { return true; }
  Result<Value> call(Run&, const Args& args) override {
    return interpreter_.run_macro(*def_, closure_, args);
  }
  Result<Value> attribute(Run&, std::string_view name) override {
    return unsupported("'{}' of a macro is not supported in chat templates", name.substr(0, 80));
  }
  void drop_references() override { closure_.reset(); }

 private:
  Interpreter& interpreter_;
  std::shared_ptr<const MacroDef> def_;
  std::shared_ptr<Scope> closure_;
};

}  // namespace longhaul::jinja
