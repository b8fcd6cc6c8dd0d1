#include "text/template/value.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <functional>

#include "base/utf8.h"
#include "text/template/limits.h"
#include "text/template/operators.h"

namespace longhaul::jinja {
namespace {

// An integral double in int64's range, so that 1 and 1.0 and True are one key.
bool exact_integer(double d, int64_t& out) {
  if (!(d >= -0x1p63 && d < 0x1p63) || d != std::floor(d)) return false;
  out = static_cast<int64_t>(d);
  return true;
}

// Spreads integers, whose plain hash would let a template fill one bucket.
size_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return static_cast<size_t>(x ^ (x >> 31));
}

// Python compares int with float exactly, without rounding the int.
int compare_int_float(int64_t i, double d) {
  if (d >= 0x1p63) return -1;
  if (d < -0x1p63) return 1;
  const double whole = std::floor(d);
  const auto w = static_cast<int64_t>(whole);
  if (i != w) return i < w ? -1 : 1;
  return d > whole ? -1 : 0;
}

// The exact value of a whole double, which may have 309 digits.
std::string whole_digits(double d) { return fmt::format("{:.0f}", d); }

// -1, 0 or 1 for a before, equal to or behind b. Both are digits as LongInteger has them.
int compare_digits(std::string_view a, std::string_view b) {
  const bool negative = a.starts_with('-');
  if (negative != b.starts_with('-')) return negative ? -1 : 1;
  const int order = a.size() != b.size() ? (a.size() < b.size() ? -1 : 1) : (a > b) - (a < b);
  return negative ? -order : order;
}

// The same for two numbers of which one or both are long integers. Neither is NaN.
int compare_long(const Value& a, const Value& b) {
  const LongInteger* x = a.as_long_integer();
  if (x == nullptr) return -compare_long(b, a);
  if (const LongInteger* y = b.as_long_integer()) return compare_digits(x->digits, y->digits);
  const double d = b.to_double();
  if (std::isinf(d)) return d > 0 ? -1 : 1;
  // A double with a fraction is smaller than any long integer, so only its side of zero counts.
  return compare_digits(x->digits, whole_digits(std::trunc(d)));
}

bool is_nan(const Value& v) { return v.as_float() != nullptr && std::isnan(*v.as_float()); }

bool number_equal(const Value& a, const Value& b) {
  if (a.as_long_integer() || b.as_long_integer())
    return !is_nan(a) && !is_nan(b) && compare_long(a, b) == 0;
  int64_t x, y;
  const bool a_int = a.to_integer(x), b_int = b.to_integer(y);
  if (a_int && b_int) return x == y;
  if (!a_int && !b_int) return *a.as_float() == *b.as_float();
  const double d = a_int ? *b.as_float() : *a.as_float();
  return !std::isnan(d) && compare_int_float(a_int ? x : y, d) == 0;
}

bool number_less(const Value& a, const Value& b) {
  if (a.as_long_integer() || b.as_long_integer())
    return !is_nan(a) && !is_nan(b) && compare_long(a, b) < 0;
  int64_t x, y;
  const bool a_int = a.to_integer(x), b_int = b.to_integer(y);
  if (a_int && b_int) return x < y;
  if (!a_int && !b_int) return *a.as_float() < *b.as_float();
  const double d = a_int ? *b.as_float() : *a.as_float();
  if (std::isnan(d)) return false;
  return a_int ? compare_int_float(x, d) < 0 : compare_int_float(y, d) > 0;
}

bool seq_equal(const Seq& a, const Seq& b) {
  if (&a == &b) return true;
  if (a.kind != b.kind || a.kind == SeqKind::kGenerator || a.kind == SeqKind::kDictValues)
    return false;
  if (a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!equal(a.items[i], b.items[i])) return false;
  }
  return true;
}

bool dict_equal(const Dict& a, const Dict& b) {
  if (a.items().size() != b.items().size()) return false;
  for (const auto& [key, value] : a.items()) {
    const Value* other = b.find(key);
    if (other == nullptr || !equal(value, *other)) return false;
  }
  return true;
}

}  // namespace

Result<Value> Object::call(Run&, const Args&) { return invalid("{} is not callable", describe()); }
Result<Value> Object::attribute(Run&, std::string_view name) {
  return undefined_attribute(describe(), name);
}

Seq::Seq(Account* account, SeqKind kind_in, std::vector<Value> items_in)
    : kind(kind_in),
      items(std::move(items_in)),
      charge(account, 160 + items.size() * sizeof(Value)) {
  extent.depth = 1;
  for (const Value& item : items) extent.hold(item.extent());
}

const std::string* Value::as_string() const {
  const auto* p = std::get_if<std::shared_ptr<const Text>>(&v_);
  return p ? &(*p)->value : nullptr;
}
const Seq* Value::as_seq() const {
  const auto* p = std::get_if<std::shared_ptr<const Seq>>(&v_);
  return p ? p->get() : nullptr;
}
const Dict* Value::as_dict() const {
  const auto* p = std::get_if<std::shared_ptr<const Dict>>(&v_);
  return p ? p->get() : nullptr;
}
Object* Value::as_object() const {
  const auto* p = std::get_if<std::shared_ptr<Object>>(&v_);
  return p ? p->get() : nullptr;
}

const LongInteger* Value::as_long_integer() const {
  const auto* p = std::get_if<std::shared_ptr<const LongInteger>>(&v_);
  return p ? p->get() : nullptr;
}

Value Value::integer(std::string_view digits) {
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
  std::string text = (negative ? "-" : "") + std::string(digits.empty() ? "0" : digits);
  int64_t small = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), small).ec == std::errc())
    return Value(small);
  double value = negative ? -HUGE_VAL : HUGE_VAL;  // stays where the digits are beyond its range
  std::from_chars(text.data(), text.data() + text.size(), value);
  return Value(std::make_shared<const LongInteger>(LongInteger{std::move(text), value}));
}

const void* Value::identity() const {
  if (const auto* s = std::get_if<std::shared_ptr<const Text>>(&v_)) return s->get();
  if (const auto* s = as_seq()) return s;
  if (const auto* d = as_dict()) return d;
  return as_object();
}

bool Value::to_integer(int64_t& out) const {
  if (const auto* i = as_int()) {
    out = *i;
  } else if (const auto* b = as_bool()) {
    out = *b ? 1 : 0;
  } else {
    return false;
  }
  return true;
}

double Value::to_double() const {
  int64_t i = 0;
  if (const auto* d = as_float()) return *d;
  if (const auto* n = as_long_integer()) return n->value;
  return to_integer(i) ? static_cast<double>(i) : 0.0;
}

Extent Value::extent() const {
  if (const auto* s = as_string()) return {0, 1 + s->size() / 64};
  if (const auto* n = as_long_integer()) return {0, 1 + n->digits.size() / 64};
  if (const auto* s = as_seq()) return s->extent;
  if (const auto* d = as_dict()) return d->extent();
  if (const auto* o = as_object()) return o->extent();
  return {};
}

bool Value::truthy() const {
  switch (kind()) {
    case Kind::kUndefined:
    case Kind::kNone: return false;
    case Kind::kBool: return *as_bool();
    case Kind::kInt: return *as_int() != 0;
    case Kind::kFloat: return *as_float() != 0;
    case Kind::kString: return !as_string()->empty();
    case Kind::kSeq:  // a generator does not know its length, nor do dict views hide theirs
      return as_seq()->kind == SeqKind::kGenerator || !as_seq()->items.empty();
    case Kind::kDict: return !as_dict()->items().empty();
    case Kind::kObject:
    case Kind::kLongInt: return true;
  }
  return false;
}

std::string Value::type_name() const {
  static constexpr const char* kKinds[] = {"Undefined", "NoneType", "bool", "int", "float",
                                           "str",       "",         "dict", "",    "int"};
  static constexpr const char* kSeqs[] = {"list",        "tuple",      "range",    "dict_keys",
                                          "dict_values", "dict_items", "generator"};
  if (const auto* s = as_seq()) return kSeqs[static_cast<size_t>(s->kind)];
  if (const auto* o = as_object()) return o->describe();
  return kKinds[v_.index()];
}

bool equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return number_equal(a, b);
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Value::Kind::kString: return *a.as_string() == *b.as_string();
    case Value::Kind::kSeq: return seq_equal(*a.as_seq(), *b.as_seq());
    case Value::Kind::kDict: return dict_equal(*a.as_dict(), *b.as_dict());
    case Value::Kind::kObject: return a.as_object() == b.as_object();
    default: return true;  // none and undefined
  }
}

bool hashable(const Value& v) {
  if (v.as_dict() != nullptr) return false;
  const Seq* s = v.as_seq();
  if (s == nullptr) return true;
  if (s->kind == SeqKind::kList || s->kind == SeqKind::kDictKeys || s->kind == SeqKind::kDictItems)
    return false;
  if (s->kind != SeqKind::kTuple) return true;
  for (const Value& item : s->items) {
    if (!hashable(item)) return false;
  }
  return true;
}

size_t hash(const Value& v) {
  int64_t i = 0;
  if (v.to_integer(i)) return mix(static_cast<uint64_t>(i));
  if (const auto* d = v.as_float())
    return mix(exact_integer(*d, i) ? static_cast<uint64_t>(i) : std::bit_cast<uint64_t>(*d));
  if (const auto* n = v.as_long_integer()) {
    // Equal to a float where that has the very value, and then of its hash.
    const bool is_float = std::isfinite(n->value) && whole_digits(n->value) == n->digits;
    return is_float ? hash(Value(n->value)) : std::hash<std::string>{}(n->digits);
  }
  if (const auto* s = v.as_string()) return std::hash<std::string>{}(*s);
  if (const auto* s = v.as_seq()) {
    size_t h = static_cast<size_t>(s->kind);
    for (const Value& item : s->items) h = h * 1000003 ^ hash(item);
    return h;
  }
  return std::hash<const void*>{}(v.identity()) + static_cast<size_t>(v.kind());
}

Result<bool> less(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return number_less(a, b);
  if (a.as_string() && b.as_string())
    return *a.as_string() < *b.as_string();  // UTF-8 sorts as its code points do
  const Seq* x = a.as_seq();
  const Seq* y = b.as_seq();
  if (x && y && x->kind == y->kind && (x->kind == SeqKind::kList || x->kind == SeqKind::kTuple)) {
    for (size_t i = 0; i < x->items.size() && i < y->items.size(); ++i) {
      if (!equal(x->items[i], y->items[i])) return less(x->items[i], y->items[i]);
    }
    return x->items.size() < y->items.size();
  }
  if (a.is_undefined()) return undefined_error(a);
  if (b.is_undefined()) return undefined_error(b);
  return invalid("'{}' and '{}' have no order", a.type_name(), b.type_name());
}

Dict::Dict(Account* account, std::vector<Item> items)
    : charge_(account, 200 + items.size() * (2 * sizeof(Value) + 64)) {
  for (Item& item : items) {
    const auto [place, is_new] = index_.emplace(item.first, items_.size());
    if (!is_new) {
      items_[place->second].second = std::move(item.second);
    } else {
      items_.push_back(std::move(item));
    }
  }
  extent_.depth = 1;
  for (const auto& [key, value] : items_) {
    extent_.hold(key.extent());
    extent_.hold(value.extent());
  }
}

const Value* Dict::find(const Value& key) const {
  const auto it = index_.find(key);
  return it == index_.end() ? nullptr : &items_[it->second].second;
}

const Value* Dict::find(std::string_view key) const {
  // Most dicts of a conversation have a handful of keys: looking along them beats building a key.
  if (items_.size() > 8) return find(Value::constant(std::string(key)));
  for (const auto& [name, value] : items_) {
    if (name.as_string() && *name.as_string() == key) return &value;
  }
  return nullptr;
}

Result<Value> from_json(const Json& json, int depth) {
  if (depth > kMaxValueDepth - 20)
    return make_error(ErrorCode::kOverBudget, "the context is nested deeper than {}", depth - 1);
  if (const auto* b = json.as_bool()) return Value(*b);
  if (const auto* i = json.as_int()) return Value(*i);
  if (const auto* number = json.as_written(); number != nullptr && number->is_integer)
    return Value::integer(number->text);
  if (json.is_number()) return Value(json.number());
  if (const auto* s = json.as_string()) {
    if (find_invalid_utf8(*s)) return invalid("the context has text that is not valid UTF-8");
    return Value::constant(*s);
  }
  if (const auto* array = json.as_array()) {
    std::vector<Value> items;
    items.reserve(array->size());
    for (const Json& item : *array) {
      LH_TRY(Value value, from_json(item, depth + 1));
      items.push_back(std::move(value));
    }
    return Value(std::make_shared<const Seq>(nullptr, SeqKind::kList, std::move(items)));
  }
  if (const auto* object = json.as_object()) {
    std::vector<Dict::Item> items;
    items.reserve(object->size());
    for (const auto& [key, member] : *object) {
      if (find_invalid_utf8(key)) return invalid("the context has a key that is not valid UTF-8");
      LH_TRY(Value value, from_json(member, depth + 1));
      items.emplace_back(Value::constant(key), std::move(value));
    }
    return Value(std::make_shared<const Dict>(nullptr, std::move(items)));
  }
  return Value();
}

}  // namespace longhaul::jinja
