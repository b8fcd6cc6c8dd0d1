#include "formats/config_reader.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <unordered_set>

#include "base/mapped_file.h"
#include "base/printable.h"
#include "formats/harmless_fields.h"
#include "formats/tensor_source.h"

namespace longhaul {

Result<Json> read_json_file(const std::string& path, size_t max_bytes) {
  LH_TRY(const std::string text, read_file(path, max_bytes));
  return parse_json(text, path);
}

struct ConfigReader::Node {
  const Json* object;  // null: a missing child, whose fields are not reported
  std::string path;    // of the object, "" for the root
  std::unordered_set<std::string> read;
  const Node* copied = nullptr;  // whose fields may stand here a second time
};

struct ConfigReader::Report {
  std::string where;
  std::deque<Node> nodes;  // readers point into it
  std::vector<std::string> problems;
  bool only_unsupported = true;
  std::vector<std::string>* ignored = nullptr;
};

namespace {

std::string range_text(IntRange range) {
  if (range.max == IntRange{}.max) return fmt::format("an integer of at least {}", range.min);
  return fmt::format("an integer from {} to {}", range.min, range.max);
}

std::string range_text(NumberRange range) {
  const bool has_min = range.min != NumberRange{}.min, has_max = range.max != NumberRange{}.max;
  if (has_min && has_max) return fmt::format("a number from {} to {}", range.min, range.max);
  if (has_min) return fmt::format("a number of at least {}", range.min);
  return has_max ? fmt::format("a number of at most {}", range.max) : "a number";
}

std::string shown(const Json& value) {
  if (value.as_array() != nullptr || value.as_object() != nullptr || value.is_null())
    return value.type_name();
  return printable(value.dump());
}

bool is_equal(const Json& a, const Json& b) {
  return a.is_number() && b.is_number() ? a.number() == b.number() : a.dump() == b.dump();
}

std::string quantised_weights_problem(std::string_view path, const Json& value) {
  const Json* method = value.find("quant_method");
  const std::string* name = method == nullptr ? nullptr : method->as_string();
  return fmt::format(
      "{0}: {1} are not supported; use the checkpoint that they were made from, or, where the "
      "files hold plain weights after all, take the "
      "field away with --set {0}=null",
      path,
      name == nullptr ? "quantised weights"
                      : fmt::format("weights quantised by '{}'", printable(*name)));
}

void add_once(std::vector<std::string>& list, const std::string& item) {
  if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
}

std::string element(std::string_view key, size_t i) { return fmt::format("{}[{}]", key, i); }

Status as_status(const std::string& where, std::span<const std::string> problems,
                 bool only_unsupported) {
  constexpr size_t kShown = 30;
  if (problems.empty()) return {};
  const auto code = only_unsupported ? ErrorCode::kUnsupported : ErrorCode::kCorruptFile;
  if (problems.size() == 1) return make_error(code, "{}: {}", where, problems[0]);
  std::string text;
  for (const std::string& problem : problems.first(std::min(kShown, problems.size())))
    text += "\n  " + problem;
  if (problems.size() > kShown) text += fmt::format("\n  and {} more", problems.size() - kShown);
  return make_error(code, "{}: {} problems:{}", where, problems.size(), text);
}

}  // namespace

ConfigReader::ConfigReader(ConfigFile file) : report_(std::make_shared<Report>()) {
  report_->where = std::move(file.where);
  report_->ignored = file.ignored;
  const bool is_object = file.json.as_object() != nullptr;
  node_ = &report_->nodes.emplace_back(Node{is_object ? &file.json : nullptr, "", {}});
  if (is_object) return;
  report_->only_unsupported = false;
  report_->problems.push_back(fmt::format("is {}, expected an object", file.json.type_name()));
}

std::string ConfigReader::path(std::string_view key) const {
  return node_->path.empty() ? printable(key) : fmt::format("{}.{}", node_->path, printable(key));
}

const Json* ConfigReader::peek(std::string_view key) const {
  return node_->object == nullptr ? nullptr : node_->object->find(key);
}

bool ConfigReader::present(std::string_view key) const { return peek(key) != nullptr; }

bool ConfigReader::has(std::string_view key) const {
  const Json* value = node_->object == nullptr ? nullptr : node_->object->find(key);
  return value != nullptr && !value->is_null();
}

const Json* ConfigReader::take(std::string_view key) {
  if (node_->object == nullptr) return nullptr;
  node_->read.emplace(key);
  const Json* value = node_->object->find(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

const Json* ConfigReader::require(std::string_view key, bool has_fallback,
                                  std::string_view expected) {
  const Json* value = take(key);
  if (value == nullptr && !has_fallback) {
    problem(ErrorCode::kCorruptFile, key, fmt::format("null or missing, expected {}", expected));
  }
  return value;
}

void ConfigReader::problem(ErrorCode code, std::string_view key, std::string text) {
  if (node_->object == nullptr) return;
  if (code != ErrorCode::kUnsupported) report_->only_unsupported = false;
  report_->problems.push_back(fmt::format("{}: {}", path(key), text));
}

void ConfigReader::mismatch(std::string_view key, const Json& found, std::string_view expected) {
  problem(ErrorCode::kCorruptFile, key, fmt::format("is {}, expected {}", shown(found), expected));
}

void ConfigReader::fail(std::string_view key, std::string_view text) {
  problem(ErrorCode::kCorruptFile, key, std::string(text));
}
void ConfigReader::refuse(std::string_view key, std::string_view text) {
  problem(ErrorCode::kUnsupported, key, std::string(text));
}

std::optional<int64_t> ConfigReader::check_integer(std::string_view key, const Json& value,
                                                   IntRange range) {
  const int64_t* found = value.as_int();
  if (found != nullptr && *found >= range.min && *found <= range.max) return *found;
  mismatch(key, value, range_text(range));
  return std::nullopt;
}

std::optional<double> ConfigReader::check_number(std::string_view key, const Json& value,
                                                 NumberRange range) {
  const double found = value.number();
  if (value.is_number() && std::isfinite(found) && found >= range.min && found <= range.max)
    return found;
  mismatch(key, value, range_text(range));
  return std::nullopt;
}

std::optional<bool> ConfigReader::check_boolean(std::string_view key, const Json& value) {
  if (value.as_bool() != nullptr) return *value.as_bool();
  mismatch(key, value, "true or false");
  return std::nullopt;
}

std::optional<std::string> ConfigReader::check_string(std::string_view key, const Json& value) {
  if (value.as_string() != nullptr) return *value.as_string();
  mismatch(key, value, "a string");
  return std::nullopt;
}

std::optional<size_t> ConfigReader::check_choice(std::string_view key, const Json& value,
                                                 std::initializer_list<std::string_view> names) {
  const auto found = check_string(key, value);
  if (!found) return std::nullopt;
  const auto it = std::find(names.begin(), names.end(), *found);
  if (it != names.end()) return static_cast<size_t>(it - names.begin());
  problem(ErrorCode::kUnsupported, key,
          fmt::format("is '{}', supported: '{}'", printable(*found),
                      fmt::join(names.begin(), names.end(), "', '")));
  return std::nullopt;
}

int64_t ConfigReader::integer(std::string_view key, IntRange range,
                              std::optional<int64_t> fallback) {
  const Json* value = require(key, fallback.has_value(), range_text(range));
  const auto checked = value == nullptr ? std::nullopt : check_integer(key, *value, range);
  return checked.value_or(fallback.value_or(std::clamp<int64_t>(0, range.min, range.max)));
}

double ConfigReader::number(std::string_view key, NumberRange range,
                            std::optional<double> fallback) {
  const Json* value = require(key, fallback.has_value(), range_text(range));
  const auto checked = value == nullptr ? std::nullopt : check_number(key, *value, range);
  return checked.value_or(fallback.value_or(std::clamp(0.0, range.min, range.max)));
}

bool ConfigReader::boolean(std::string_view key, std::optional<bool> fallback) {
  const Json* value = require(key, fallback.has_value(), "true or false");
  const auto checked = value == nullptr ? std::nullopt : check_boolean(key, *value);
  return checked.value_or(fallback.value_or(false));
}

std::string ConfigReader::string(std::string_view key, std::optional<std::string> fallback) {
  const Json* value = require(key, fallback.has_value(), "a string");
  const auto checked = value == nullptr ? std::nullopt : check_string(key, *value);
  return checked.value_or(fallback.value_or(""));
}

size_t ConfigReader::choice(std::string_view key, std::initializer_list<std::string_view> names,
                            std::optional<size_t> fallback) {
  const Json* value = require(key, fallback.has_value(), "a string");
  const auto checked = value == nullptr ? std::nullopt : check_choice(key, *value, names);
  return checked.value_or(fallback.value_or(0));
}

std::optional<int64_t> ConfigReader::optional_integer(std::string_view key, IntRange range) {
  const Json* value = take(key);
  return value == nullptr ? std::nullopt : check_integer(key, *value, range);
}

std::optional<double> ConfigReader::optional_number(std::string_view key, NumberRange range) {
  const Json* value = take(key);
  return value == nullptr ? std::nullopt : check_number(key, *value, range);
}

std::optional<bool> ConfigReader::optional_boolean(std::string_view key) {
  const Json* value = take(key);
  return value == nullptr ? std::nullopt : check_boolean(key, *value);
}

std::optional<std::string> ConfigReader::optional_string(std::string_view key) {
  const Json* value = take(key);
  return value == nullptr ? std::nullopt : check_string(key, *value);
}

const Json::Array* ConfigReader::array(std::string_view key, LengthRange length,
                                       std::string_view expected) {
  const Json* value = require(key, length.min == 0, expected);
  if (value == nullptr) return nullptr;
  const Json::Array* array = value->as_array();
  if (array == nullptr) {
    mismatch(key, *value, expected);
  } else if (array->size() < length.min || array->size() > length.max) {
    const auto lengths = length.min == length.max ? fmt::format("{}", length.min)
                                                  : fmt::format("{} to {}", length.min, length.max);
    problem(ErrorCode::kCorruptFile, key,
            fmt::format("has {} elements, expected {}", array->size(), lengths));
  } else {
    return array;
  }
  return nullptr;
}

template <class T, class Check>
std::vector<T> ConfigReader::elements(std::string_view key, LengthRange length,
                                      std::string_view expected, const Check& check) {
  std::vector<T> out;
  const Json::Array* values = array(key, length, expected);
  for (size_t i = 0; values != nullptr && i < values->size(); ++i) {
    const std::optional<T> checked = check(element(key, i), (*values)[i]);
    if (checked) out.push_back(*checked);
  }
  return out;
}

std::vector<int64_t> ConfigReader::integers(std::string_view key, LengthRange length,
                                            IntRange range) {
  return elements<int64_t>(
      key, length, "an array of integers",
      [&](const std::string& at, const Json& value) { return check_integer(at, value, range); });
}

std::vector<double> ConfigReader::numbers(std::string_view key, LengthRange length,
                                          NumberRange range) {
  return elements<double>(
      key, length, "an array of numbers",
      [&](const std::string& at, const Json& value) { return check_number(at, value, range); });
}

std::vector<bool> ConfigReader::booleans(std::string_view key, LengthRange length) {
  return elements<bool>(
      key, length, "an array of booleans",
      [&](const std::string& at, const Json& value) { return check_boolean(at, value); });
}

std::vector<std::string> ConfigReader::strings(std::string_view key, LengthRange length) {
  return elements<std::string>(
      key, length, "an array of strings",
      [&](const std::string& at, const Json& value) { return check_string(at, value); });
}

std::vector<size_t> ConfigReader::choices(std::string_view key,
                                          std::initializer_list<std::string_view> names,
                                          LengthRange length) {
  return elements<size_t>(
      key, length, "an array of strings",
      [&](const std::string& at, const Json& value) { return check_choice(at, value, names); });
}

std::vector<int64_t> ConfigReader::integer_or_list(std::string_view key, LengthRange length,
                                                   IntRange range) {
  const Json* value = take(key);
  if (value == nullptr || value->as_int() == nullptr) return integers(key, length, range);
  const auto checked = check_integer(key, *value, range);
  return checked ? std::vector<int64_t>{*checked} : std::vector<int64_t>{};
}

ConfigReader ConfigReader::child(std::string_view key) {
  const Json* value = require(key, false, "an object");
  if (value != nullptr && value->as_object() == nullptr) mismatch(key, *value, "an object");
  const bool is_object = value != nullptr && value->as_object() != nullptr;
  for (Node& node : report_->nodes) {
    if (is_object && node.object == value) return {report_, &node};
  }
  return {report_, &report_->nodes.emplace_back(Node{is_object ? value : nullptr, path(key), {}})};
}

std::optional<ConfigReader> ConfigReader::optional_child(std::string_view key) {
  const Json* value = take(key);
  const bool is_denied = value != nullptr && value->as_bool() != nullptr && !*value->as_bool();
  if (value == nullptr || is_denied) return std::nullopt;
  return child(key);
}

std::vector<std::string> ConfigReader::keys(size_t max_keys) {
  std::vector<std::string> names;
  if (node_->object == nullptr) return names;
  const Json::Object& members = *node_->object->as_object();
  if (members.size() > max_keys) {
    report_->only_unsupported = false;
    report_->problems.push_back(fmt::format("{}: has {} fields, expected at most {}",
                                            node_->path.empty() ? "the object" : node_->path,
                                            members.size(), max_keys));
    return names;
  }
  for (const auto& [name, value] : members) names.push_back(name);
  return names;
}

void ConfigReader::ignore(std::string_view key, std::string_view) { node_->read.emplace(key); }

void ConfigReader::ignore(std::span<const IgnoredField> fields) {
  for (const IgnoredField& field : fields) ignore(field.key, field.reason);
}

void ConfigReader::holds_copies_of(const ConfigReader& inner) { node_->copied = inner.node_; }

std::vector<std::string> ConfigReader::unread_keys() const {
  std::vector<std::string> unread;
  for_each_unread([&](const Node&, const std::string&, const Json&, std::string path) {
    unread.push_back(std::move(path));
  });
  return unread;
}

template <class Body>
void ConfigReader::for_each_unread(const Body& body) const {
  for (const Node& node : report_->nodes) {
    if (node.object == nullptr) continue;
    for (const auto& [name, value] : *node.object->as_object()) {
      if (!node.read.contains(name))
        body(node, name, value, ConfigReader(report_, const_cast<Node*>(&node)).path(name));
    }
  }
}

Status ConfigReader::status() const {
  return as_status(report_->where, report_->problems, report_->only_unsupported);
}

Status ConfigReader::finish() const {
  std::vector<std::string> problems = report_->problems, unknown;
  for_each_unread([&](const Node& node, const std::string& name, const Json& value,
                      const std::string& path) {
    const Json* copied = node.copied == nullptr || node.copied->object == nullptr
                             ? nullptr
                             : node.copied->object->find(name);
    if ((copied != nullptr && is_equal(value, *copied)) || harmless_because(name, value) != nullptr)
      return;
    if (tells_of_quantised_weights(name)) {
      problems.push_back(quantised_weights_problem(path, value));
    } else if (report_->ignored != nullptr) {
      add_once(*report_->ignored, path);
    } else {
      unknown.push_back(path);
      problems.push_back(copied != nullptr
                             ? fmt::format("{}: is {}, and {} where it counts, in {}", path,
                                           shown(value), shown(*copied), node.copied->path)
                             : path +
                                   ": not known to this family; it may change the model's results");
    }
  });
  Status status = as_status(report_->where, problems, report_->only_unsupported);
  if (unknown.empty()) return status;
  const bool alone = unknown.size() == 1;
  return or_remedy(
      std::move(status),
      fmt::format(
          "take {} away with --set {}=null, or go on at your own risk with --ignore-unknown-fields",
          alone ? "it" : "a field that is not known", alone ? unknown.front() : "FIELD"));
}

}  // namespace longhaul
