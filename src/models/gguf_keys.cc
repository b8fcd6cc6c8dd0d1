#include "models/gguf_keys.h"

#include <algorithm>
#include <cmath>

#include "base/notice.h"
#include "base/printable.h"
#include "formats/gguf_tokenizer.h"

namespace longhaul {
namespace {

constexpr const char* kEmbedding = "token_embd.weight";
constexpr uint64_t kMaxElements = 1 << 16;  // of an array of a model's numbers

Json number_of(std::optional<double> value) {
  // What is no number is no number to the reader either.
  return value && std::isfinite(*value) ? Json(*value) : Json("not a number");
}

template <class T>
Json array_of(const std::optional<std::vector<T>>& values) {
  Json array{Json::Array{}};
  for (const auto& value : *values) {
    if constexpr (std::is_same_v<T, double>) {
      array.push_back(number_of(value));
    } else {
      array.push_back(Json(static_cast<T>(value)));
    }
  }
  return array;
}

Json json_of(const GgufValue& value) {
  if (value.is_array()) {
    if (value.size() > kMaxElements) return Json("a long array");
    if (value.type() == GgufValueType::kBool) return array_of<bool>(value.as_bools());
    if (const auto ints = value.as_ints()) return array_of(std::optional(*ints));
    if (const auto floats = value.as_floats()) return array_of(std::optional(*floats));
    if (const auto texts = value.as_strings()) return array_of(std::optional(*texts));
    return Json("an array of numbers beyond 64 bits");
  }
  if (const auto text = value.as_string()) return Json(*text);
  if (value.type() == GgufValueType::kBool) return Json(*value.as_bool());
  if (const auto integer = value.as_int()) return Json(*integer);
  return number_of(value.as_float());
}

// {"gemma3": {"block_count": 18, ...}}
std::unique_ptr<const Json> keys_of(const GgufMetadata& metadata, std::string_view architecture) {
  Json::Object keys;
  for (const GgufKeyValue& entry : metadata.values) {
    if (!entry.key.starts_with(architecture) || entry.key.size() <= architecture.size() + 1 ||
        entry.key[architecture.size()] != '.')
      continue;
    keys.emplace_back(std::string(entry.key.substr(architecture.size() + 1)), json_of(entry.value));
  }
  return std::make_unique<const Json>(
      Json::object({{std::string(architecture), Json(std::move(keys))}}));
}

}  // namespace

GgufKeys::GgufKeys(const GgufSource& file, std::string_view architecture, const std::string& where)
    : GgufKeys(file, architecture, where, keys_of(file.metadata(), architecture)) {}

GgufKeys::GgufKeys(const GgufSource& file, std::string_view architecture, const std::string& where,
                   std::unique_ptr<const Json> json)
    : file_(file),
      where_(where),
      json_(std::move(json)),
      reader_(ConfigReader(*json_, where).child(architecture)) {}

std::vector<int64_t> GgufKeys::per_layer(std::string_view key, size_t n, IntRange range,
                                         std::optional<int64_t> fallback) {
  const Json* value = reader_.peek(key);
  if (value == nullptr || value->as_array() == nullptr)
    return std::vector<int64_t>(n, reader_.integer(key, range, fallback));
  std::vector<int64_t> values = reader_.integers(key, {n, n}, range);
  values.resize(n, range.min);
  return values;
}

int64_t GgufKeys::common(std::string_view key, size_t n, IntRange range,
                         std::optional<int64_t> fallback) {
  const std::vector<int64_t> values = per_layer(key, n, range, fallback);
  const auto other = std::find_if(values.begin(), values.end(),
                                  [&](int64_t value) { return value != values.front(); });
  if (other != values.end())
    reader_.refuse(key, fmt::format("layers that differ are not supported, layer 0 has {} and "
                                    "layer {} has {}",
                                    values.front(), other - values.begin(), *other));
  return values.front();
}

bool GgufKeys::to_flag(const Json& value, std::string_view key) {
  if (const bool* flag = value.as_bool()) return *flag;
  const int64_t* number = value.as_int();
  if (number == nullptr || *number < 0 || *number > 1) reader_.fail(key, "expected a bool");
  return number != nullptr && *number != 0;
}

bool GgufKeys::flag(std::string_view key, bool fallback) {
  const Json* value = reader_.peek(key);
  reader_.ignore(key, "read here");
  return value == nullptr ? fallback : to_flag(*value, key);
}

std::vector<bool> GgufKeys::sliding_layers(size_t n, int64_t period, int64_t first_full) {
  constexpr std::string_view kKey = "attention.sliding_window_pattern";
  const Json* value = reader_.peek(kKey);
  const Json::Array* array = value == nullptr ? nullptr : value->as_array();
  std::vector<bool> sliding(n);
  if (array == nullptr) {
    const bool is_flag = value != nullptr && value->as_bool() != nullptr;
    if (is_flag) reader_.fail(kKey, "expected one for each layer, or a period");
    const int64_t every = is_flag ? period : reader_.integer(kKey, {1, 1024}, period);
    const int64_t full = first_full == 0 ? 0 : every - 1;
    for (size_t l = 0; l < n; ++l) sliding[l] = static_cast<int64_t>(l) % every != full;
    return sliding;
  }
  reader_.ignore(kKey, "read here");
  if (array->size() != n)
    reader_.fail(kKey, fmt::format("has {} elements, expected {}: one a layer", array->size(), n));
  for (size_t l = 0; l < std::min(n, array->size()); ++l)
    sliding[l] = to_flag((*array)[l], fmt::format("{}[{}]", kKey, l));
  return sliding;
}

int64_t GgufKeys::vocab_size() {
  constexpr int64_t kMost = 1 << 22;
  const int64_t rows = extent(kEmbedding, 0);
  const int64_t said =
      reader_.integer("vocab_size", {1, kMost}, std::clamp<int64_t>(rows, 1, kMost));
  if (rows == 0) {
    reader_.fail("vocab_size", fmt::format("cannot be told: there is no tensor '{}'", kEmbedding));
    return said;
  }
  if (said != rows)
    reader_.fail("vocab_size", fmt::format("is {}, '{}' has {} rows", said, kEmbedding, rows));
  const auto tokens = gguf_n_tokens(file_.metadata());
  if (tokens && std::cmp_not_equal(*tokens, rows))
    reader_.fail("vocab_size", fmt::format("does not fit: tokenizer.ggml.tokens has {} elements, "
                                           "'{}' {} rows",
                                           *tokens, kEmbedding, rows));
  return said;
}

bool GgufKeys::has_layer_tensor(size_t layer, std::string_view name) const {
  return has_tensor(gguf_layer_name(layer, name));
}

int64_t GgufKeys::extent(std::string_view name, size_t i) const {
  const GgufTensor* tensor = file_.find(name);
  return tensor == nullptr || i >= tensor->rank ? 0 : tensor->shape()[i];
}

Status GgufKeys::finish() {
  LH_RETURN_IF_ERROR(or_remedy(reader_.status(),
                               "download the file again, or get another conversion of the model"));
  const std::vector<std::string> unread = reader_.unread_keys();
  if (!unread.empty())
    notice("{}: keys that are not known are passed over: {}", where_,
           printable(fmt::format("{}", fmt::join(unread, ", "))));
  return {};
}

}  // namespace longhaul
