#include "formats/safetensors_index.h"

#include <algorithm>

#include "base/json.h"
#include "base/printable.h"
#include "formats/tensor_source.h"

namespace longhaul {
namespace {

bool is_plain_file_name(std::string_view name) {
  constexpr size_t kLongestName = 255;
  const auto is_allowed = [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 && c != '/' && c != '\\' && c != 0x7f;
  };
  return !name.empty() && name.size() <= kLongestName && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), is_allowed);
}

}  // namespace

Result<SafetensorsIndex> parse_safetensors_index(std::string_view text, std::string_view where) {
  LH_TRY(const Json json, parse_json(text, where));
  const Json* weight_map = json.find("weight_map");
  if (weight_map == nullptr || weight_map->as_object() == nullptr) {
    return corrupt("{}: no object 'weight_map'; download the file again", where);
  }
  SafetensorsIndex index;
  for (const auto& [tensor, file] : *weight_map->as_object()) {
    if (file.as_string() == nullptr) {
      return corrupt("{}: weight_map['{}'] is {}, expected a file name; download the file again",
                     where, printable(tensor), file.type_name());
    }
    if (!is_plain_file_name(*file.as_string())) {
      return corrupt(
          "{}: weight_map['{}'] is '{}', expected the plain name of a file beside the index; "
          "download the file again",
          where, printable(tensor), printable(*file.as_string()));
    }
    ++index.files[*file.as_string()];
    index.file_of.emplace(tensor, *file.as_string());
  }
  if (index.files.empty())
    return corrupt("{}: 'weight_map' names no tensor; download the file again", where);
  return index;
}

}  // namespace longhaul
