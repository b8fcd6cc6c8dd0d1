// The variable `loop` inside a for.
#pragma once

#include "text/template/value.h"

namespace longhaul::jinja {

class Loop : public Object {
 public:
  explicit Loop(Value items) : items_(std::move(items)) { extent_.hold(items_.extent()); }

  void go_to(size_t index) { index_ = index; }

  std::string describe() const override {
    return fmt::format("LoopContext {}/{}", index_ + 1, items_.as_seq()->items.size());
  }
  Result<Value> attribute(Run& run, std::string_view name) override;
  Extent extent() const override { return extent_; }

 private:
  Value items_;
  Extent extent_;
  size_t index_ = 0;
};

}  // namespace longhaul::jinja
