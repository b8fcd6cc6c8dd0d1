// What the program reads beside models: texts and token ids.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "longhaul/result.h"

namespace longhaul::cli {

// A text from a file of any kind, pipes and devices too, or from standard input for "-". Larger
// than max_bytes is an error.
Result<std::string> read_text(const std::string& path, uint64_t max_bytes = uint64_t{1} << 30);
// A JSON array of token ids, from where read_text reads.
Result<std::vector<int32_t>> read_token_file(const std::string& path);

}  // namespace longhaul::cli
