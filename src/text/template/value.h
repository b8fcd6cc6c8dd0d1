// Values of a running template, with Python's rules for truth, equality, order and hashing.
//
// Containers never change after they were made (the reference sandbox forbids it), so values share
// them freely and cannot form cycles. What can change, a namespace or a scope, is an Object the Run
// takes apart at its end.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/errors.h"
#include "base/json.h"

namespace longhaul::jinja {

class Run;
class Value;

// Bytes held by the values of one Run.
struct Account {
  uint64_t live_bytes = 0;
};

// How far a value reaches: the nesting below it, and a count of what a full walk of it touches.
// Shared parts count every time, so a walk costs at most its weight however cleverly a template
// doubles a list.
struct Extent {
  int depth = 0;
  uint64_t weight = 1;
  void hold(const Extent& inner) {
    if (inner.depth + 1 > depth) depth = inner.depth + 1;
    weight = inner.weight > kMaxWeight - weight ? kMaxWeight : weight + inner.weight;
  }
  static constexpr uint64_t kMaxWeight = uint64_t{1} << 40;
};

// A share of an account, returned when the holder goes. Without an account it counts nothing
// (constants, the context).
class Charge {
 public:
  Charge(Account* account, uint64_t bytes) : account_(account), bytes_(account ? bytes : 0) {
    if (account_) account_->live_bytes += bytes_;
  }
  ~Charge() {
    if (account_) account_->live_bytes -= bytes_;
  }
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;
  void grow(uint64_t bytes) {
    if (!account_) return;
    bytes_ += bytes;
    account_->live_bytes += bytes;
  }

 private:
  Account* account_;
  uint64_t bytes_;
};

struct Undefined {
  std::shared_ptr<const std::string> hint;  // what was looked up in vain, as the error will say
};
struct None {};

struct Text {
  Text(Account* account, std::string s) : value(std::move(s)), charge(account, value.size() + 96) {}
  std::string value;
  Charge charge;
};

// An integer beyond 64 bits. It prints, compares and counts with floats as Python's do; other
// arithmetic on it is an error.
struct LongInteger {
  std::string digits;  // a sign where it is negative, no leading zeros
  double value;        // the nearest, infinite beyond the range of doubles
};

// Everything that walks as a sequence. The kinds differ in how they print, index, compare and count
// as true.
enum class SeqKind { kList, kTuple, kRange, kDictKeys, kDictValues, kDictItems, kGenerator };

struct Seq {
  Seq(Account* account, SeqKind kind, std::vector<Value> items);
  SeqKind kind;
  std::vector<Value> items;
  std::string label;        // how a range prints
  mutable size_t next = 0;  // a generator's position: it can be walked once
  Extent extent;
  Charge charge;
};

struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// A thing with identity: callables, namespaces, loop state.
class Object {
 public:
  virtual ~Object() = default;
  virtual std::string describe() const = 0;  // how it prints
  virtual bool callable() const { return false; }
  virtual Result<Value> call(Run& run, const Args& args);
  // Undefined where there is none.
  virtual Result<Value> attribute(Run& run, std::string_view name);
  virtual Extent extent() const { return {}; }
  virtual void drop_references() {}  // a Run calls it at its end, to open cycles
};

class Dict;

class Value {
 public:
  enum class Kind {
    kUndefined,
    kNone,
    kBool,
    kInt,
    kFloat,
    kString,
    kSeq,
    kDict,
    kObject,
    kLongInt
  };

  Value() : v_(None{}) {}
  Value(Undefined u) : v_(std::move(u)) {}
  Value(bool b) : v_(b) {}
  Value(int64_t i) : v_(i) {}
  Value(double d) : v_(d) {}
  Value(std::shared_ptr<const Text> s) : v_(std::move(s)) {}
  Value(std::shared_ptr<const Seq> s) : v_(std::move(s)) {}
  Value(std::shared_ptr<const Dict> d) : v_(std::move(d)) {}
  Value(std::shared_ptr<Object> o) : v_(std::move(o)) {}
  Value(std::shared_ptr<const LongInteger> i) : v_(std::move(i)) {}
  template <class T>
  Value(T*) = delete;  // a pointer would pass for a bool
  static Value constant(std::string s) {
    return Value(std::make_shared<const Text>(nullptr, std::move(s)));
  }
  // Of decimal digits, with a sign or without.
  static Value integer(std::string_view digits);

  Kind kind() const { return static_cast<Kind>(v_.index()); }
  bool is_undefined() const { return kind() == Kind::kUndefined; }
  bool is_none() const { return kind() == Kind::kNone; }
  const Undefined* as_undefined() const { return std::get_if<Undefined>(&v_); }
  const bool* as_bool() const { return std::get_if<bool>(&v_); }
  const int64_t* as_int() const { return std::get_if<int64_t>(&v_); }
  const double* as_float() const { return std::get_if<double>(&v_); }
  const LongInteger* as_long_integer() const;
  const std::string* as_string() const;
  const Seq* as_seq() const;
  const Dict* as_dict() const;
  Object* as_object() const;
  const void* identity() const;  // null for numbers, none and undefined

  bool is_seq(SeqKind kind) const { return as_seq() != nullptr && as_seq()->kind == kind; }
  bool is_number() const {
    return kind() == Kind::kBool || kind() == Kind::kInt || kind() == Kind::kFloat ||
           kind() == Kind::kLongInt;
  }
  bool to_integer(
      int64_t& out) const;   // a bool or an int of 64 bits, as Python's __index__ takes them
  double to_double() const;  // of a number
  Extent extent() const;
  bool truthy() const;
  std::string type_name() const;  // Python's

 private:
  std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const Text>,
               std::shared_ptr<const Seq>, std::shared_ptr<const Dict>, std::shared_ptr<Object>,
               std::shared_ptr<const LongInteger>>
      v_;
};

bool equal(const Value& a, const Value& b);
size_t hash(const Value& v);
bool hashable(const Value& v);
// a < b. An error where Python has no order for the two.
Result<bool> less(const Value& a, const Value& b);

struct HashValue {
  size_t operator()(const Value& v) const { return hash(v); }
};
struct EqualValue {
  bool operator()(const Value& a, const Value& b) const { return equal(a, b); }
};

// Keeps the order of insertion; a later value for a key takes the earlier one's place.
class Dict {
 public:
  using Item = std::pair<Value, Value>;
  Dict(Account* account, std::vector<Item> items);
  const std::vector<Item>& items() const { return items_; }
  const Value* find(const Value& key) const;  // null where missing; key must be hashable
  const Value* find(std::string_view key) const;
  const Extent& extent() const { return extent_; }

 private:
  std::vector<Item> items_;
  std::unordered_map<Value, size_t, HashValue, EqualValue> index_;
  Extent extent_;
  Charge charge_;
};

// The rendering context: values that no Run is charged for.
Result<Value> from_json(const Json& json, int depth = 0);

}  // namespace longhaul::jinja
