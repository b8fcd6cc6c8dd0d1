// A safetensors file from memory. What is accepted must hold what the header promises: tensors that
// cover the data exactly.

#include <cstdint>

#include "base/check.h"
#include "check_error.h"
#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhaul;
  const auto header = parse_safetensors_header(std::as_bytes(std::span(data, size)), "input");
  if (!header.ok()) {
    check_error(header.error());
    return 0;
  }
  const auto* end = reinterpret_cast<const std::byte*>(data) + size;
  for (auto tensor = header->tensors.rbegin(); tensor != header->tensors.rend(); ++tensor) {
    const auto bytes = checked_nbytes(tensor->dtype, tensor->shape, "input");
    LH_CHECK(bytes.ok() && *bytes == tensor->bytes.size());
    LH_CHECK(tensor->bytes.data() + tensor->bytes.size() == end);
    end = tensor->bytes.data();
  }
  return 0;
}
