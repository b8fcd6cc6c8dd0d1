// model.safetensors.index.json: no name that is accepted may leave the folder.

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "formats/safetensors_index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhaul;
  const auto shards = parse_safetensors_index({reinterpret_cast<const char*>(data), size}, "input");
  if (!shards.ok()) return 0;
  for (const auto& [file, tensors] : *shards) {
    LH_CHECK(!file.empty() && file != ".." && file.find('/') == file.npos && file.find('\0') == file.npos);
    LH_CHECK(!tensors.empty());
  }
  return 0;
}
