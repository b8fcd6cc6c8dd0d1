// GGUF files for tests: well formed as they are filled in, then damaged at will.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "formats/gguf.h"

namespace longhaul {

// A number as it stands in a file.
template <class T>
std::string raw(T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

// A string as it stands in a file, of a length that may lie.
inline std::string raw_string(std::string_view text, std::optional<uint64_t> length = {}) {
  return raw(length.value_or(text.size())).append(text);
}

// A key with a value of any type and content.
inline std::string raw_value(std::string_view key, uint32_t type, std::string_view content) {
  return raw_string(key) + raw(type).append(content);
}

inline std::string raw_array(std::string_view key, uint32_t type, uint64_t size,
                             std::string_view elements) {
  return raw_value(key, 9, raw(type) + raw(size).append(elements));
}

template <class T>
std::string gguf_value(std::string_view key, GgufValueType type, T value) {
  return raw_value(key, static_cast<uint32_t>(type), raw(value));
}

inline std::string gguf_text(std::string_view key, std::string_view text) {
  return raw_value(key, static_cast<uint32_t>(GgufValueType::kString), raw_string(text));
}

struct GgufTestTensor {
  std::string name;
  std::vector<int64_t> dims;  // as a file has them: a row first
  uint32_t type = 0;
  std::string data;
  std::optional<uint64_t> offset = {};  // else behind the tensor before it
};

struct GgufTestFile {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::optional<int64_t> n_tensors = {}, n_values = {};  // else as many as there are
  std::vector<std::string> values;                       // each with its key
  std::vector<GgufTestTensor> tensors;
  uint64_t alignment = 32;  // of the data that is written; a key must say so where it is not 32

  std::string text() const {
    std::string file = magic + raw(version) +
                       raw(n_tensors.value_or(static_cast<int64_t>(tensors.size()))) +
                       raw(n_values.value_or(static_cast<int64_t>(values.size())));
    for (const std::string& value : values) file += value;
    std::string data;
    for (const GgufTestTensor& tensor : tensors) {
      pad(data);
      file += raw_string(tensor.name) + raw(static_cast<uint32_t>(tensor.dims.size()));
      for (const int64_t dim : tensor.dims) file += raw(dim);
      file += raw(tensor.type) + raw(tensor.offset.value_or(data.size()));
      data += tensor.data;
    }
    if (!data.empty()) pad(file);
    return file + data;
  }

 private:
  void pad(std::string& text) const {
    text.resize((text.size() + alignment - 1) / alignment * alignment, '\0');
  }
};

}  // namespace longhaul
