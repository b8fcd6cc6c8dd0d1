#include "text/template/objects.h"

#include "text/template/bound_arguments.h"
#include "text/template/offered.h"
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

// What dict() and namespace() share: a mapping, then names.
Result<std::vector<Dict::Item>> mapping_items(Run& run, const Args& args) {
  std::vector<Dict::Item> items;
  if (!args.positional.empty()) {
    const Dict* from = args.positional[0].as_dict();
    if (from == nullptr || args.positional.size() > 1)
      return unsupported("dict() and namespace() take one mapping and names, nothing else");
    LH_RETURN_IF_ERROR(run.work(from->items().size()));
    items = from->items();
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

struct FunctionRow {
  const char* name;
  FunctionFn fn;
};

constexpr FunctionRow kFunctions[] = {{"dict", make_dict},
                                      {"namespace", make_namespace},
                                      {"raise_exception", raise_exception},
                                      {"range", range},
                                      {"strftime_now", strftime_now}};

}  // namespace

Result<Value> Namespace::attribute(Run&, std::string_view name) {
  const auto it = values_.find(name);
  return it == values_.end() ? undefined_attribute("Namespace", name) : it->second;
}

Value find_global(std::string_view name) {
  for (const FunctionRow& row : kFunctions) {
    if (row.name == name)
      return Value(std::shared_ptr<Object>(std::make_shared<Function>(row.name, row.fn)));
  }
  return undefined_name(name);
}

Error no_function(std::string_view name) { return not_offered("function", name, kFunctions); }

}  // namespace longhaul::jinja
