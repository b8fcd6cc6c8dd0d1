// The names a template can see, innermost scope first.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "text/template/value.h"

namespace longhaul::jinja {

class Scope {
 public:
  explicit Scope(std::shared_ptr<Scope> parent) : parent_(std::move(parent)) {}

  void set(std::string_view name, Value value) {
    values_.insert_or_assign(std::string(name), std::move(value));
  }
  const Value* find(std::string_view name) const {
    for (const Scope* s = this; s; s = s->parent_.get()) {
      if (const auto it = s->values_.find(name); it != s->values_.end()) return &it->second;
    }
    return nullptr;
  }

 private:
  std::map<std::string, Value, std::less<>> values_;
  std::shared_ptr<Scope> parent_;
};

}  // namespace longhaul::jinja
