#include "text/template/objects.h"

#include <array>

#include "text/template/bound_arguments.h"
#include "text/template/filters.h"
#include "text/template/operators.h"
#include "text/template/printing.h"
#include "text/template/rendering.h"

namespace longhaul::jinja {
namespace {

Result<Value> range(Run& run, const Args& args) {
  LH_TRY(const Bound a, bind("range()", args, {"start", "stop", "step"}, 1));
  for (size_t i = 0; i < args.positional.size(); ++i) {
    int64_t n = 0;
    if (!a[i]->to_integer(n)) return invalid("range() needs integers, not {}", a[i]->type_name());
  }
  LH_TRY(int64_t start, a.integer(0, 0));
  LH_TRY(int64_t stop, a.integer(1, 0));
  LH_TRY(const int64_t step, a.integer(2, 1));
  if (!a[1]) stop = std::exchange(start, 0);
  if (step == 0) return invalid("range() arg 3 must not be zero");
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<int64_t>(items.size()) >= run.limits().max_range) {
      return make_error(ErrorCode::kOverBudget, "range() of more than {} items",
                        run.limits().max_range);
    }
    items.push_back(Value(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  LH_RETURN_IF_ERROR(run.work(items.size() / 8));
  std::string label = step == 1 ? fmt::format("range({}, {})", start, stop)
                                : fmt::format("range({}, {}, {})", start, stop, step);
  return run.seq(SeqKind::kRange, std::move(items), std::move(label));
}

// What dict() and namespace() share: a mapping or pairs, then names.
Result<std::vector<Dict::Item>> mapping_items(Run& run, const Args& args) {
  if (args.positional.size() > 1) return invalid("dict() takes at most one positional argument");
  std::vector<Dict::Item> items;
  if (!args.positional.empty()) {
    const Value& from = args.positional[0];
    if (from.as_dict()) {
      LH_RETURN_IF_ERROR(run.work(from.as_dict()->items().size()));
      items = from.as_dict()->items();
    } else {
      LH_TRY(const auto pairs, iterate(run, from));
      for (const Value& pair : pairs) {
        LH_TRY(auto two, iterate(run, pair));
        if (two.size() != 2) return invalid("dict() needs pairs, an item has {} parts", two.size());
        items.emplace_back(std::move(two[0]), std::move(two[1]));
      }
    }
  }
  for (const auto& [name, value] : args.named) items.emplace_back(run.text(name), value);
  return items;
}

Result<Value> make_dict(Run& run, const Args& args) {
  LH_TRY(auto items, mapping_items(run, args));
  return run.dict(std::move(items));
}

Result<Value> make_namespace(Run& run, const Args& args) {
  LH_TRY(const auto items, mapping_items(run, args));
  auto made = std::make_shared<Namespace>();
  for (const auto& [key, value] : items) {
    if (key.as_string()) made->set(*key.as_string(), value);
  }
  return run.keep(std::move(made));
}

class Joiner : public Object {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) {
    extent_.hold(separator_.extent());
  }
  std::string describe() const override { return "Joiner"; }
  bool callable() const override { return true; }
  Result<Value> call(Run&, const Args&) override {
    return std::exchange(used_, true) ? separator_ : Value::constant("");
  }
  Extent extent() const override { return extent_; }

 private:
  Value separator_;
  Extent extent_;
  bool used_ = false;
};

class Cycler : public Object {
 public:
  explicit Cycler(Value items) : items_(std::move(items)) { extent_.hold(items_.extent()); }
  std::string describe() const override { return "Cycler"; }
  Value attribute(Run&, std::string_view name) override;
  const Value& current() const { return items_.as_seq()->items[at_]; }
  void advance() { at_ = (at_ + 1) % items_.as_seq()->items.size(); }
  void reset() { at_ = 0; }
  Extent extent() const override { return extent_; }

 private:
  Value items_;
  Extent extent_;
  size_t at_ = 0;
};

// next() and reset() of a cycler. Its use ends with the expression that calls it, or with the
// cycler.
class CyclerMethod : public Object {
 public:
  CyclerMethod(Cycler& cycler, bool resets) : cycler_(cycler), resets_(resets) {}
  std::string describe() const override { return "cycler method"; }
  bool callable() const override { return true; }
  Result<Value> call(Run&, const Args&) override {
    if (resets_) {
      cycler_.reset();
      return Value();
    }
    Value item = cycler_.current();
    cycler_.advance();
    return item;
  }

 private:
  Cycler& cycler_;  // kept by the Run
  bool resets_;
};

Value Cycler::attribute(Run&, std::string_view name) {
  if (name == "current") return current();
  if (name == "next" || name == "reset")
    return Value(std::shared_ptr<Object>(std::make_shared<CyclerMethod>(*this, name == "reset")));
  return undefined_attribute("Cycler", name);
}

Result<Value> make_joiner(Run&, const Args& args) {
  LH_TRY(const Bound a, bind("joiner()", args, {"sep"}));
  return Value(
      std::shared_ptr<Object>(std::make_shared<Joiner>(a[0] ? *a[0] : Value::constant(", "))));
}

Result<Value> make_cycler(Run& run, const Args& args) {
  if (args.positional.empty()) return invalid("cycler() needs at least one item");
  LH_TRY(Value items, run.tuple(args.positional));
  return run.keep(std::make_shared<Cycler>(std::move(items)));
}

Result<Value> raise_exception(Run& run, const Args& args) {
  LH_TRY(const Bound a, bind("raise_exception()", args, {"message"}, 1));
  LH_TRY(const std::string message, to_text(run, *a[0]));
  return Error{ErrorCode::kInvalidArgument, std::string(kRaisedMark) + message};
}

// One conversion at a time, so that no format can ask the C library for a padded gigabyte.
Result<Value> strftime_now(Run& run, const Args& args) {
  LH_TRY(const Bound a, bind("strftime_now()", args, {"format"}, 1));
  LH_TRY(const std::string format, a.string(0, ""));
  static constexpr std::string_view kKnown = "aAbBcCdDeFgGhHIjmMnprRStTuUVwWxXyYZz%";
  const std::tm now = run.clock()();
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    LH_RETURN_IF_ERROR(run.work());
    if (format[i] != '%' || i + 1 == format.size() || kKnown.find(format[i + 1]) == kKnown.npos) {
      out += format[i];
      continue;
    }
    const char conversion[] = {'%', format[++i], 0};
    char buffer[128];
    out.append(buffer, std::strftime(buffer, sizeof buffer, conversion, &now));
  }
  LH_RETURN_IF_ERROR(run.check_size(out.size()));
  return run.text(std::move(out));
}

template <FunctionFn kFn>
Value function(const char* name) {
  return Value(std::shared_ptr<Object>(std::make_shared<Function>(name, kFn)));
}

}  // namespace

Value Namespace::attribute(Run&, std::string_view name) {
  const auto it = values_.find(name);
  return it == values_.end() ? undefined_attribute("Namespace", name) : it->second;
}

Value find_global(std::string_view name) {
  if (name == "namespace") return function<make_namespace>("namespace");
  if (name == "raise_exception") return function<raise_exception>("raise_exception");
  if (name == "strftime_now") return function<strftime_now>("strftime_now");
  if (name == "range") return function<range>("range");
  if (name == "dict") return function<make_dict>("dict");
  if (name == "joiner") return function<make_joiner>("joiner");
  if (name == "cycler") return function<make_cycler>("cycler");
  return undefined_name(name);
}

}  // namespace longhaul::jinja
