// A checked view over config.json. Getters record every problem under the field's full path and go
// on, so that a user sees all of them at once; the values read mean nothing until finish() has said
// ok.
//
// The reader remembers which fields were asked for. Those that were not are errors in finish(): a
// field no one read may change the model's results, and a port that skips it is quietly wrong. They
// pass where ignore() listed them with a reason, where they are known to change nothing in any
// model (harmless_fields.h), or where the user takes the risk.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/errors.h"
#include "base/json.h"

namespace longhaul {

Result<Json> read_json_file(const std::string& path, size_t max_bytes);

struct IntRange {
  int64_t min = 0;
  int64_t max = std::numeric_limits<int64_t>::max();
};

struct NumberRange {
  double min = -std::numeric_limits<double>::max();
  double max = std::numeric_limits<double>::max();
};

struct LengthRange {
  size_t min = 0;
  size_t max = 4096;  // more layers, experts or ids than any model has
};

struct IgnoredField {
  const char* key;
  const char* reason;
};

// A config.json as it is handed to a family.
struct ConfigFile {
  const Json& json;   // must outlive every reader of it
  std::string where;  // the file, opens every message
  // Given: fields that are not known are listed here by path, each once, and are no errors.
  std::vector<std::string>* ignored = nullptr;
};

// Copies are views of the same object and report into the same place. The Json must outlive them.
// Null counts as missing throughout. A getter without a fallback requires its field; after a
// problem it returns a value inside the range asked for; an array may be shorter than asked for.
class ConfigReader {
 public:
  explicit ConfigReader(ConfigFile file);
  ConfigReader(const Json& object, std::string where)
      : ConfigReader(ConfigFile{object, std::move(where)}) {}

  bool has(std::string_view key) const;  // present and not null; does not count as reading it
  bool present(
      std::string_view key) const;  // likewise, null included: some models tell null from missing

  // The value as it stands, for fields that come in several types; null where missing. Does not
  // count as reading it.
  const Json* peek(std::string_view key) const;

  int64_t integer(std::string_view key, IntRange range = {}, std::optional<int64_t> fallback = {});
  double number(std::string_view key, NumberRange range = {}, std::optional<double> fallback = {});
  bool boolean(std::string_view key, std::optional<bool> fallback = {});
  std::string string(std::string_view key, std::optional<std::string> fallback = {});
  // One of the names listed, as its index; another one is unsupported.
  size_t choice(std::string_view key, std::initializer_list<std::string_view> names,
                std::optional<size_t> fallback = {});

  std::optional<int64_t> optional_integer(std::string_view key, IntRange range = {});
  std::optional<double> optional_number(std::string_view key, NumberRange range = {});
  std::optional<bool> optional_boolean(std::string_view key);
  std::optional<std::string> optional_string(std::string_view key);

  // Missing arrays are a problem where length.min > 0, else empty. Elements are checked one by one:
  // "layer_types[3]".
  std::vector<int64_t> integers(std::string_view key, LengthRange length = {}, IntRange range = {});
  std::vector<double> numbers(std::string_view key, LengthRange length = {},
                              NumberRange range = {});
  std::vector<bool> booleans(std::string_view key, LengthRange length = {});
  std::vector<std::string> strings(std::string_view key, LengthRange length = {});
  std::vector<size_t> choices(std::string_view key, std::initializer_list<std::string_view> names,
                              LengthRange length = {});
  std::vector<int64_t> integer_or_list(std::string_view key, LengthRange length = {},
                                       IntRange range = {});

  // A nested object. A missing one is a single problem: the reader returned then answers with
  // defaults in silence.
  ConfigReader child(std::string_view key);
  std::optional<ConfigReader> optional_child(std::string_view key);  // false counts as missing too
  // The fields of this object, for maps keyed by names of the model's own. More than max_keys are a
  // problem, and none returned: each look-up is linear.
  std::vector<std::string> keys(size_t max_keys = 256);

  void ignore(std::string_view key,
              std::string_view reason);  // present or not; a whole subtree where it is an object
  void ignore(std::span<const IgnoredField> fields);

  // Fields of this object that `inner`, opened from it, has too: equal ones are copies which count
  // there.
  void holds_copies_of(const ConfigReader& inner);

  // A problem that a family finds itself: "must be a multiple of num_key_value_heads (4), found 6".
  void fail(std::string_view key, std::string_view problem);
  void refuse(std::string_view key,
              std::string_view problem);  // valid, but not something we can run

  std::vector<std::string> unread_keys()
      const;              // full paths, nested objects that were opened included
  Status status() const;  // problems so far
  Status finish() const;  // and a problem for each unread field that is not harmless

 private:
  struct Report;
  struct Node;
  ConfigReader(std::shared_ptr<Report> report, Node* node)
      : report_(std::move(report)), node_(node) {}

  std::string path(std::string_view key) const;
  const Json* take(std::string_view key);  // marks the field read; null where it is missing or null
  const Json* require(std::string_view key, bool has_fallback, std::string_view expected);
  const Json::Array* array(std::string_view key, LengthRange length, std::string_view expected);
  void problem(ErrorCode code, std::string_view key, std::string text);
  void mismatch(std::string_view key, const Json& found, std::string_view expected);

  // body(node, name, value, path) for each field that nobody asked for.
  template <class Body>
  void for_each_unread(const Body& body) const;
  template <class T, class Check>
  std::vector<T> elements(std::string_view key, LengthRange length, std::string_view expected,
                          const Check& check);
  std::optional<int64_t> check_integer(std::string_view key, const Json& value, IntRange range);
  std::optional<double> check_number(std::string_view key, const Json& value, NumberRange range);
  std::optional<bool> check_boolean(std::string_view key, const Json& value);
  std::optional<std::string> check_string(std::string_view key, const Json& value);
  std::optional<size_t> check_choice(std::string_view key, const Json& value,
                                     std::initializer_list<std::string_view> names);

  std::shared_ptr<Report> report_;
  Node* node_ = nullptr;  // owned by the report
};

}  // namespace longhaul
