// model.safetensors.index.json: which shard of a checkpoint holds which tensor.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace longhaul {

// Shard file name to the tensors it must hold. Every name is a plain file name: nothing here can leave the folder.
using ShardMap = std::map<std::string, std::vector<std::string>>;

Result<ShardMap> parse_safetensors_index(std::string_view text, std::string_view where);

}  // namespace longhaul
