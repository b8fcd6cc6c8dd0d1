#include "text/template/methods.h"

#include <algorithm>

#include "text/template/bound_arguments.h"
#include "text/template/method_table.h"
#include "text/template/operators.h"
#include "text/template/rendering.h"

namespace longhaul::jinja {
namespace {

class BoundMethod : public Object {
 public:
  BoundMethod(Value self, const Method& method) : self_(std::move(self)), method_(method) {
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
  Method method_;
  Extent extent_;
};

Result<Value> seq_count(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("count()", args, {"value"}, 1));
  LH_RETURN_IF_ERROR(run.work(self.extent().weight));
  int64_t n = 0;
  for (const Value& item : self.as_seq()->items) n += equal(item, *a[0]);
  return Value(n);
}

Result<Value> seq_index(Run& run, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("index()", args, {"value", "start", "stop"}, 1));
  LH_RETURN_IF_ERROR(run.work(self.extent().weight));
  const auto& items = self.as_seq()->items;
  const auto n = static_cast<int64_t>(items.size());
  LH_TRY(int64_t start, a.integer(1, 0));
  LH_TRY(int64_t stop, a.integer(2, n));
  if (start < 0) start = std::max<int64_t>(0, start + n);
  if (stop < 0) stop += n;
  for (int64_t i = start; i < std::min(stop, n); ++i) {
    if (equal(items[static_cast<size_t>(i)], *a[0])) return Value(i);
  }
  return invalid("index(): the value is not in the {}", self.type_name());
}

Result<Value> shallow_copy(Run&, const Value& self, const Args& args) {
  LH_TRY(const Bound a, bind("copy()", args, {}));
  return self;
}

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

constexpr MethodRow kList[] = {{"count", seq_count}, {"index", seq_index}, {"copy", shallow_copy},
                               {"append", nullptr},  {"clear", nullptr},   {"pop", nullptr},
                               {"reverse", nullptr}, {"insert", nullptr},  {"sort", nullptr},
                               {"extend", nullptr},  {"remove", nullptr}};
constexpr MethodRow kTuple[] = {{"count", seq_count}, {"index", seq_index}};
constexpr MethodRow kDict[] = {
    {"keys", dict_keys},     {"values", dict_values}, {"items", dict_items}, {"get", dict_get},
    {"copy", shallow_copy},  {"clear", nullptr},      {"pop", nullptr},      {"popitem", nullptr},
    {"setdefault", nullptr}, {"update", nullptr}};

}  // namespace

Method find_container_method(const Value& object, std::string_view name) {
  if (object.as_dict()) return find_row(kDict, name);
  const SeqKind kind = object.as_seq()->kind;
  if (kind == SeqKind::kList) return find_row(kList, name);
  if (kind == SeqKind::kTuple || kind == SeqKind::kRange) return find_row(kTuple, name);
  return {};
}

Method find_method(const Value& object, std::string_view name) {
  if (object.as_string()) return find_string_method(name);
  if (object.as_dict() || object.as_seq()) return find_container_method(object, name);
  return {};
}

Value bind_method(const Value& object, const Method& method) {
  return Value(std::shared_ptr<Object>(std::make_shared<BoundMethod>(object, method)));
}

const Value* group_field(const Value& object, std::string_view name) {
  const Seq* s = object.as_seq();
  if (!s || s->label != "group") return nullptr;
  return name == "grouper" ? &s->items[0] : name == "list" ? &s->items[1] : nullptr;
}

}  // namespace longhaul::jinja
