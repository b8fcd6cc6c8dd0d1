// Safetensors: eight bytes of header length, a JSON header, then the tensors' bytes without gaps.
//
// Checked as the official reader checks (every byte of the data belongs to exactly one tensor), and
// beyond it: a key that stands twice or is not known is refused, so that no two readers can see
// different tensors in one file.
// Source: https://github.com/huggingface/safetensors, README "Format".
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/errors.h"
#include "formats/tensor_source.h"

namespace longhaul {

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // by offset; bytes point into the text parsed, file is null
  std::vector<std::pair<std::string, std::string>> metadata;
};

// `file_bytes` is a whole file; `where` names it in messages.
Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> file_bytes,
                                                   std::string_view where);

Result<TensorSource> open_safetensors(const std::string& path);

// A checkpoint folder: the files that model.safetensors.index.json names, model.safetensors, a
// whole set of numbered shards, or the one *.safetensors there is (docs/formats.md).
Result<TensorSource> open_checkpoint(const std::string& folder);
// Whether any of these is there.
bool has_checkpoint(const std::string& folder);

inline constexpr const char* kSafetensorsFile = "model.safetensors";
inline constexpr const char* kSafetensorsIndex = "model.safetensors.index.json";

}  // namespace longhaul
