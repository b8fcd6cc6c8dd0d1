// model.safetensors.index.json: which file of a checkpoint holds which tensor.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/errors.h"

namespace longhaul {

// Every file name is a plain one: nothing here can leave the folder.
struct SafetensorsIndex {
  std::unordered_map<std::string, std::string> file_of;  // by tensor
  std::map<std::string, size_t> files;                   // to the number of its tensors, at least 1
};

// Of the index only 'weight_map' is read: 'metadata' is often missing or wrong.
Result<SafetensorsIndex> parse_safetensors_index(std::string_view text, std::string_view where);

}  // namespace longhaul
