#include "text/template/operators.h"

#include <algorithm>
#include <cmath>

#include "text/template/arithmetic.h"
#include "text/template/code_points.h"
#include "text/template/methods.h"
#include "text/template/rendering.h"
#include "text/template/search.h"

namespace longhaul::jinja {
namespace {

Value make_undefined(std::string hint) {
  return Value(Undefined{std::make_shared<const std::string>(std::move(hint))});
}

std::string shown_key(const Value& key) {
  if (const auto* s = key.as_string()) return fmt::format("'{}'", s->substr(0, 80));
  if (const auto* i = key.as_int()) return fmt::format("{}", *i);
  return key.type_name();
}

// Index of a Python subscript in 0..n-1, or -1.
int64_t wrap_index(int64_t i, int64_t n) {
  if (i < 0) i += n;
  return i >= 0 && i < n ? i : -1;
}

Result<Value> character_at(Run& run, const std::string& s, int64_t index) {
  LH_RETURN_IF_ERROR(run.work(s.size() / 64));
  const bool from_start = index >= 0;
  int64_t at = from_start ? index : index + count_code_points(s);
  if (at < 0) return make_undefined("string index out of range");
  for (size_t byte = 0; byte < s.size(); --at) {
    const Utf8Char c = utf8_char_at(s, byte);
    if (at == 0) return run.text(s.substr(byte, c.size));
    byte += c.size;
  }
  return make_undefined("string index out of range");
}

// Python's slice bounds for a sequence of n items: the first index and how many steps follow.
struct SliceBounds {
  int64_t start;
  int64_t count;
  int64_t step;
};

Result<int64_t> slice_part(const Value& v, int64_t fallback) {
  int64_t i = fallback;
  if (!v.is_none() && !v.to_integer(i))
    return invalid("slice indices must be integers, not {}", v.type_name());
  return i;
}

Result<SliceBounds> slice_bounds(int64_t n, const Value& start_in, const Value& stop_in,
                                 const Value& step_in) {
  LH_TRY(int64_t step, slice_part(step_in, 1));
  if (step == 0) return invalid("slice step cannot be zero");
  step = std::clamp(step, -n - 1, n + 1);  // a longer step takes one item all the same
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
  LH_TRY(int64_t start, slice_part(start_in, step > 0 ? 0 : n - 1));
  LH_TRY(int64_t stop, slice_part(stop_in, step > 0 ? n : -n - 1));
  if (start < 0) start = start < -n ? -1 : start + n;
  if (stop < 0) stop = stop < -n ? -1 : stop + n;
  start = std::clamp(start, low, high);
  stop = std::clamp(stop, low, high);
  const int64_t span = step > 0 ? stop - start : start - stop;
  const int64_t stride = step > 0 ? step : -step;
  return SliceBounds{start, span > 0 ? (span + stride - 1) / stride : 0, step};
}

Result<std::vector<Value>> characters(Run& run, const std::string& s) {
  std::vector<Value> out;
  for (size_t at = 0; at < s.size();) {
    LH_RETURN_IF_ERROR(run.work());
    const Utf8Char c = utf8_char_at(s, at);
    out.push_back(run.text(s.substr(at, c.size)));
    at += c.size;
  }
  return out;
}

}  // namespace

Value undefined_name(std::string_view name) {
  return make_undefined(fmt::format("'{}' is undefined", name));
}
Value undefined_attribute(std::string_view object, std::string_view name) {
  return make_undefined(fmt::format("'{}' has no attribute '{}'", object, name));
}
Value undefined_because(std::string reason) { return make_undefined(std::move(reason)); }
Error undefined_error(const Value& v) {
  const auto& hint = v.as_undefined()->hint;
  return Error{ErrorCode::kInvalidArgument, hint ? *hint : "the value is undefined"};
}

Result<bool> compare(Run& run, CompareOp op, const Value& a, const Value& b) {
  if (op == CompareOp::kIn || op == CompareOp::kNotIn) {
    LH_TRY(const bool found, contains(run, b, a));
    return found == (op == CompareOp::kIn);
  }
  LH_RETURN_IF_ERROR(run.work(std::min(a.extent().weight, b.extent().weight)));
  switch (op) {
    case CompareOp::kEqual: return equal(a, b);
    case CompareOp::kNotEqual: return !equal(a, b);
    case CompareOp::kLess: return less(a, b);
    case CompareOp::kGreater: return less(b, a);
    default: break;
  }
  // a <= b is not "not b < a" for NaN.
  const bool ordered =
      a.is_number() || a.as_string() || a.is_seq(SeqKind::kList) || a.is_seq(SeqKind::kTuple);
  if (ordered && equal(a, b)) return true;
  return op == CompareOp::kLessEqual ? less(a, b) : less(b, a);
}

Result<bool> contains(Run& run, const Value& container, const Value& item) {
  if (const auto* s = container.as_string()) {
    const auto* part = item.as_string();
    if (!part) return invalid("'in <string>' requires a string, not {}", item.type_name());
    LH_RETURN_IF_ERROR(run.work((s->size() + part->size()) / 64));
    return find_text(*s, *part) != std::string::npos;
  }
  if (const auto* d = container.as_dict()) {
    LH_RETURN_IF_ERROR(run.work(item.extent().weight));
    if (!hashable(item)) return invalid("unhashable type: '{}'", item.type_name());
    return d->find(item) != nullptr;
  }
  if (container.is_undefined()) return false;
  const Seq* seq = container.as_seq();
  if (!seq) return invalid("'{}' is no container", container.type_name());
  const bool once = seq->kind == SeqKind::kGenerator;
  for (size_t i = once ? seq->next : 0; i < seq->items.size(); ++i) {
    if (once) seq->next = i + 1;
    LH_RETURN_IF_ERROR(run.work(std::min(seq->items[i].extent().weight, item.extent().weight)));
    if (equal(seq->items[i], item)) return true;
  }
  return false;
}

Result<Value> get_attribute(Run& run, const Value& object, std::string_view name) {
  if (object.is_undefined()) return undefined_error(object);
  if (auto* o = object.as_object()) return o->attribute(run, name);
  if (const MethodRow* found = find_method(object, name)) {
    if (found->fn != nullptr) return bind_method(object, *found);
    return make_undefined(fmt::format("'{}' may not change a {}", name, object.type_name()));
  }
  if (const auto* d = object.as_dict()) {
    if (const Value* v = d->find(name)) return *v;
  }
  return undefined_attribute(object.type_name(), name);
}

Result<Value> get_item(Run& run, const Value& object, const Value& key) {
  if (object.is_undefined()) return undefined_error(object);
  if (const auto* d = object.as_dict()) {
    LH_RETURN_IF_ERROR(run.work(key.extent().weight));
    if (hashable(key)) {
      if (const Value* v = d->find(key)) return *v;
    }
  }
  int64_t i = 0;
  const bool is_index = key.to_integer(i);
  if (const auto* s = object.as_string(); s && is_index) return character_at(run, *s, i);
  if (const auto* seq = object.as_seq(); seq && is_index && seq->kind <= SeqKind::kRange) {
    const int64_t at = wrap_index(i, static_cast<int64_t>(seq->items.size()));
    if (at >= 0) return seq->items[static_cast<size_t>(at)];
  }
  const auto* name = key.as_string();
  if (!name)
    return make_undefined(
        fmt::format("'{}' has no element {}", object.type_name(), shown_key(key)));
  if (object.as_dict()) {
    const MethodRow* found = find_method(object, *name);
    return found != nullptr && found->fn != nullptr ? bind_method(object, *found)
                                                    : undefined_attribute("dict", *name);
  }
  return get_attribute(run, object, *name);
}

Result<Value> slice(Run& run, const Value& object, const Value& start, const Value& stop,
                    const Value& step) {
  if (object.is_undefined()) return undefined_error(object);
  if (const auto* s = object.as_string()) {
    LH_RETURN_IF_ERROR(run.work(s->size() / 16));
    const std::vector<size_t> offsets = code_point_offsets(*s);
    LH_TRY(const SliceBounds b,
           slice_bounds(static_cast<int64_t>(offsets.size()) - 1, start, stop, step));
    std::string out;
    for (int64_t n = 0, i = b.start; n < b.count; ++n, i += b.step) {
      const auto at = static_cast<size_t>(i);
      out.append(*s, offsets[at], offsets[at + 1] - offsets[at]);
    }
    return run.text(std::move(out));
  }
  const Seq* seq = object.as_seq();
  if (!seq || seq->kind > SeqKind::kRange)
    return invalid("'{}' cannot be sliced", object.type_name());
  LH_TRY(const SliceBounds b,
         slice_bounds(static_cast<int64_t>(seq->items.size()), start, stop, step));
  std::vector<Value> out;
  for (int64_t n = 0, i = b.start; n < b.count; ++n, i += b.step)
    out.push_back(seq->items[static_cast<size_t>(i)]);
  return run.seq(seq->kind, std::move(out), seq->label);
}

bool iterable(const Value& v) {
  return v.is_undefined() || v.as_string() || v.as_seq() || v.as_dict();
}

Result<std::vector<Value>> iterate(Run& run, const Value& v) {
  if (v.is_undefined()) return std::vector<Value>();
  if (const auto* s = v.as_string()) return characters(run, *s);
  if (const auto* d = v.as_dict()) {
    LH_RETURN_IF_ERROR(run.work(d->items().size() / 8));
    std::vector<Value> keys;
    for (const auto& [key, value] : d->items()) keys.push_back(key);
    return keys;
  }
  const Seq* seq = v.as_seq();
  if (!seq) return invalid("'{}' is not iterable", v.type_name());
  LH_RETURN_IF_ERROR(run.work(seq->items.size() / 8));
  if (seq->kind != SeqKind::kGenerator) return seq->items;
  std::vector<Value> rest(seq->items.begin() + static_cast<std::ptrdiff_t>(seq->next),
                          seq->items.end());
  seq->next = seq->items.size();
  return rest;
}

Result<int64_t> length(Run& run, const Value& v) {
  if (v.is_undefined()) return int64_t{0};
  if (const auto* s = v.as_string()) {
    LH_RETURN_IF_ERROR(run.work(s->size() / 64));
    return count_code_points(*s);
  }
  if (const auto* d = v.as_dict()) return static_cast<int64_t>(d->items().size());
  const Seq* seq = v.as_seq();
  if (!seq || seq->kind == SeqKind::kGenerator) return invalid("'{}' has no length", v.type_name());
  return static_cast<int64_t>(seq->items.size());
}

}  // namespace longhaul::jinja
