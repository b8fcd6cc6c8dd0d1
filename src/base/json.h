// JSON as a checked value: the one place that knows the JSON library.
//
// Objects keep their order (it reaches prompts). Parsing limits depth and size, refuses duplicate
// keys and invalid UTF-8.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "base/errors.h"

namespace longhaul {

// A number that neither int64_t nor a double's shortest spelling gives back: 2^64, 0.1000, 1E5, -0.
struct WrittenNumber {
  std::string text;  // as JSON spells numbers
  double value = 0;  // the nearest double; infinite beyond their range
  bool is_integer = false;
};

class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;

  Json() = default;  // null
  Json(std::nullptr_t) {}
  Json(bool b) : v_(b) {}
  Json(int i) : v_(int64_t{i}) {}
  Json(int64_t i) : v_(i) {}
  Json(uint64_t i);
  Json(double d) : v_(d) {}
  Json(const char* s) : v_(std::string(s)) {}
  Json(std::string s) : v_(std::move(s)) {}
  Json(std::string_view s) : v_(std::string(s)) {}
  Json(Array a) : v_(std::move(a)) {}
  Json(Object o) : v_(std::move(o)) {}
  static Json object(std::initializer_list<Member> members) { return Json(Object(members)); }
  // The number that `text` spells, which dump() will write as it stands. Nothing where JSON has no
  // such number, or parse_json() refuses it: beyond 4300 characters or an exponent of 4900.
  static std::optional<Json> parse_number(std::string_view text);

  bool is_null() const { return std::holds_alternative<std::monostate>(v_); }
  const bool* as_bool() const { return std::get_if<bool>(&v_); }
  const int64_t* as_int() const { return std::get_if<int64_t>(&v_); }
  const double* as_double() const { return std::get_if<double>(&v_); }
  // Set for numbers that are kept as text; as_int() and as_double() are null for them.
  const WrittenNumber* as_written() const;
  bool is_number() const {
    return as_int() != nullptr || as_double() != nullptr || as_written() != nullptr;
  }
  double number()
      const;  // the nearest double, infinite beyond their range; 0 for what is no number
  const std::string* as_string() const { return std::get_if<std::string>(&v_); }
  const Array* as_array() const { return std::get_if<Array>(&v_); }
  const Object* as_object() const { return std::get_if<Object>(&v_); }
  Array* as_array() { return std::get_if<Array>(&v_); }
  Object* as_object() { return std::get_if<Object>(&v_); }

  // The member of that name, or null where this is no object or has none. Linear: for config-sized
  // objects.
  const Json* find(std::string_view key) const;
  // Sets or replaces a member; a null value becomes an object first.
  Json& set(std::string key, Json value);
  void push_back(Json value);

  const char* type_name() const;
  std::string dump(int indent = -1) const;  // indent < 0: one line
  std::string dump_spaced() const;          // one line, with ", " and ": " as Python writes it

 private:
  // A WrittenNumber is rare, and a pointer keeps the other values small.
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object,
               std::shared_ptr<const WrittenNumber>>
      v_;
};

struct JsonLimits {
  int max_depth = 64;
};

// `where` names the text in messages (a file path).
Result<Json> parse_json(std::string_view text, std::string_view where, JsonLimits limits = {});

// Events for texts too large for a value tree. Each callback returns false to stop; stop_reason()
// then tells why.
class JsonHandler {
 public:
  virtual ~JsonHandler() = default;
  virtual bool on_scalar(Json value) = 0;  // null, bool, number, string
  virtual bool on_begin_object() = 0;
  virtual bool on_key(std::string& key) = 0;
  virtual bool on_end_object() = 0;
  virtual bool on_begin_array() = 0;
  virtual bool on_end_array() = 0;
  virtual Error stop_reason() const = 0;
};
Status parse_json_events(std::string_view text, std::string_view where, JsonHandler& handler,
                         JsonLimits limits = {});

// Builds a value tree from events, for a handler that wants parts of a large text as values.
// Refuses duplicate keys.
class JsonTreeBuilder : public JsonHandler {
 public:
  explicit JsonTreeBuilder(std::string_view where) : where_(where) {}

  bool on_scalar(Json value) override;
  bool on_begin_object() override;
  bool on_key(std::string& key) override;
  bool on_end_object() override;
  bool on_begin_array() override;
  bool on_end_array() override;
  Error stop_reason() const override { return error_; }
  // The finished value; the next one may follow.
  Json take() { return std::exchange(root_, Json()); }

 private:
  // Open containers are kept on a stack and moved into their parent when they close.
  struct Open {
    Json value;
    std::string key;
    std::unordered_set<std::string> keys;
  };
  bool close();
  bool add(Json value);

  std::string where_;
  std::vector<Open> open_;
  Json root_;
  Error error_;
};

}  // namespace longhaul
