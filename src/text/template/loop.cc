#include "text/template/loop.h"

#include "text/template/bound_arguments.h"
#include "text/template/interpreter.h"
#include "text/template/operators.h"
#include "text/template/rendering.h"

namespace longhaul::jinja {

// loop.cycle and loop.changed. It shares the loop, so that it may outlive the for.
class LoopMethod : public Object {
 public:
  LoopMethod(std::shared_ptr<Loop> loop, bool cycles) : loop_(std::move(loop)), cycles_(cycles) {}
  std::string describe() const override { return "loop method"; }
  bool callable() const override { return true; }
  Result<Value> call(Run& run, const Args& args) override {
    return cycles_ ? loop_->cycle(args) : loop_->changed(run, args);
  }
  Extent extent() const override { return loop_->extent(); }

 private:
  std::shared_ptr<Loop> loop_;
  bool cycles_;
};

void Loop::make_recursive(Interpreter& interpreter, const ForStmt& stmt,
                          std::shared_ptr<Scope> outer) {
  interpreter_ = &interpreter;
  stmt_ = &stmt;
  outer_ = std::move(outer);
}

Result<Value> Loop::call(Run&, const Args& args) {
  LH_TRY(const Bound a, bind("loop()", args, {"iterable"}, 1));
  if (!interpreter_)
    return invalid("the loop must have the 'recursive' marker to be called recursively");
  return interpreter_->run_loop(*stmt_, outer_, *a[0], depth0_ + 1);
}

Value Loop::attribute(Run&, std::string_view name) {
  const auto& items = items_.as_seq()->items;
  const auto i = static_cast<int64_t>(index_), n = static_cast<int64_t>(items.size());
  if (name == "index") return Value(i + 1);
  if (name == "index0") return Value(i);
  if (name == "revindex") return Value(n - i);
  if (name == "revindex0") return Value(n - i - 1);
  if (name == "first") return Value(i == 0);
  if (name == "last") return Value(i + 1 == n);
  if (name == "length") return Value(n);
  if (name == "depth") return Value(depth0_ + 1);
  if (name == "depth0") return Value(depth0_);
  if (name == "previtem")
    return i == 0 ? undefined_because("there is no previous item") : items[index_ - 1];
  if (name == "nextitem")
    return i + 1 == n ? undefined_because("there is no next item") : items[index_ + 1];
  if (name == "cycle" || name == "changed") {
    return Value(
        std::shared_ptr<Object>(std::make_shared<LoopMethod>(shared_from_this(), name == "cycle")));
  }
  return undefined_attribute("LoopContext", name);
}

Result<Value> Loop::cycle(const Args& args) const {
  if (args.positional.empty()) return invalid("no items for cycling given");
  return args.positional[index_ % args.positional.size()];
}

Result<Value> Loop::changed(Run& run, const Args& args) {
  LH_TRY(Value now, run.tuple(args.positional));
  LH_RETURN_IF_ERROR(run.work(now.extent().weight));
  if (equal(now, changed_)) return Value(false);
  if (changed_.is_none()) run.keep(shared_from_this());  // what is compared may hold this loop
  changed_ = std::move(now);
  return Value(true);
}

}  // namespace longhaul::jinja
