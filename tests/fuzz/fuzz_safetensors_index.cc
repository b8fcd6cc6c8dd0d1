// model.safetensors.index.json: no name that is accepted may leave the folder.

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "check_error.h"
#include "formats/safetensors_index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhaul;
  const auto index = parse_safetensors_index({reinterpret_cast<const char*>(data), size}, "input");
  if (!index.ok()) {
    check_error(index.error());
    return 0;
  }
  size_t n_tensors = 0;
  for (const auto& [file, n] : index->files) {
    LH_CHECK(!file.empty() && file != ".." && file.find('/') == file.npos &&
             file.find('\0') == file.npos);
    LH_CHECK(n > 0);
    n_tensors += n;
  }
  LH_CHECK(n_tensors == index->file_of.size());
  return 0;
}
