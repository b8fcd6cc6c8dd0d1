#include "text/template/methods.h"

#include "text/template/bound_arguments.h"
#include "text/template/operators.h"
#include "text/template/rendering.h"

namespace longhaul::jinja {
namespace {

class BoundMethod : public Object {
 public:
  BoundMethod(Value self, const MethodRow& method) : self_(std::move(self)), method_(method) {
    extent_.hold(self_.extent());
  }
  std::string describe() const override { return fmt::format("built-in method {}", method_.name); }
  bool callable() const override { return true; }
  Result<Value> call(Run& run, const Args& args) override {
    LH_RETURN_IF_ERROR(run.work(1 + (self_.as_string() ? self_.as_string()->size() / 16 : 0)));
    return method_.fn(run, self_, args);
  }
  Extent extent() const override { return extent_; }

 private:
  Value self_;
  MethodRow method_;
  Extent extent_;
};

template <class Pick>
Result<Value> dict_view(Run& run, const Value& self, const Args& args, SeqKind kind, Pick pick) {
  LH_TRY(const Bound a, bind("a dict's view", args, {}));
  std::vector<Value> items;
  for (const auto& item : self.as_dict()->items()) {
    LH_TRY(Value picked, pick(item));
    items.push_back(std::move(picked));
    LH_RETURN_IF_ERROR(run.work());
  }
  return run.seq(kind, std::move(items));
}

Result<Value> dict_keys(Run& run, const Value& self, const Args& args) {
  return dict_view(run, self, args, SeqKind::kDictKeys,
                   [](const auto& i) { return Result<Value>(i.first); });
}
Result<Value> dict_values(Run& run, const Value& self, const Args& args) {
  return dict_view(run, self, args, SeqKind::kDictValues,
                   [](const auto& i) { return Result<Value>(i.second); });
}
Result<Value> dict_items(Run& run, const Value& self, const Args& args) {
  return dict_view(run, self, args, SeqKind::kDictItems,
                   [&](const auto& i) { return run.tuple({i.first, i.second}); });
}

Result<Value> dict_get(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("get()", args, {"key", "default"}, 1));
  LH_RETURN_IF_ERROR(run.work(a[0]->extent().weight));
  if (!hashable(*a[0])) return invalid("unhashable type: '{}'", a[0]->type_name());
  if (const Value* found = self.as_dict()->find(*a[0])) return *found;
  return a[1] ? *a[1] : Value();
}

// A dict's own entries come behind these names, offered or not, as in Python.
constexpr MethodRow kList[] = {{"append", nullptr},  {"clear", nullptr}, {"extend", nullptr},
                               {"insert", nullptr},  {"pop", nullptr},   {"remove", nullptr},
                               {"reverse", nullptr}, {"sort", nullptr}};
constexpr MethodRow kDict[] = {
    {"get", dict_get},       {"items", dict_items},   {"keys", dict_keys},
    {"values", dict_values}, {"clear", nullptr},      {"pop", nullptr},
    {"popitem", nullptr},    {"setdefault", nullptr}, {"update", nullptr}};

}  // namespace

std::span<const MethodRow> methods_of(const Value& object) {
  if (object.as_string()) return string_methods();
  if (object.as_dict()) return kDict;
  if (object.is_seq(SeqKind::kList)) return kList;
  return {};
}

const MethodRow* find_method(const Value& object, std::string_view name) {
  for (const MethodRow& row : methods_of(object)) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

Value bind_method(const Value& object, const MethodRow& method) {
  return Value(std::shared_ptr<Object>(std::make_shared<BoundMethod>(object, method)));
}

}  // namespace longhaul::jinja
