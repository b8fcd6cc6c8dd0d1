// The objects that builtins make, and the builtins themselves.
#pragma once

#include <map>
#include <string>

#include "text/template/value.h"

namespace longhaul::jinja {

using FunctionFn = Result<Value> (*)(Run&, const Args&);

class Function : public Object {
 public:
  Function(const char* name, FunctionFn fn) : name_(name), fn_(fn) {}
  std::string describe() const override { return fmt::format("function {}", name_); }
  bool callable() const override { return true; }
  Result<Value> call(Run& run, const Args& args) override { return fn_(run, args); }

 private:
  const char* name_;
  FunctionFn fn_;
};

// namespace(): the one thing that a template may change.
class Namespace : public Object {
 public:
  std::string describe() const override { return "Namespace"; }
  Result<Value> attribute(Run& run, std::string_view name) override;
  void set(std::string_view name, Value value) {
    values_.insert_or_assign(std::string(name), std::move(value));
  }
  void drop_references() override { values_.clear(); }

 private:
  std::map<std::string, Value, std::less<>> values_;
};

// dict, namespace, raise_exception, range, strftime_now; undefined for another name.
Value find_global(std::string_view name);
// Where an undefined name is called.
Error no_function(std::string_view name);

// Set on the error that raise_exception() makes, so that its message reaches the caller as it is.
inline constexpr std::string_view kRaisedMark = "\x01";

}  // namespace longhaul::jinja
