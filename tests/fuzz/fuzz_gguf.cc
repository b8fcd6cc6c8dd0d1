// A GGUF file from memory. What is accepted must hold what its header promises: values that can be
// read, names that stand once, tensors within the file that do not share a byte.

#include <cstdint>
#include <set>
#include <string_view>

#include "base/check.h"
#include "check_error.h"
#include "formats/gguf.h"

namespace longhaul {
namespace {

void check_value(const GgufValue& value) {
  const auto ints = value.as_ints();
  const auto floats = value.as_floats();
  const auto bools = value.as_bools();
  const auto strings = value.as_strings();
  if (!value.is_array()) {
    LH_CHECK(!ints && !floats && !bools && !strings);
    LH_CHECK(!(value.as_int() && value.as_float()));
    LH_CHECK(value.as_string().has_value() == (value.type() == GgufValueType::kString));
    return;
  }
  LH_CHECK(!value.as_int() && !value.as_float() && !value.as_bool() && !value.as_string());
  LH_CHECK(!ints || ints->size() == value.size());
  LH_CHECK(!floats || floats->size() == value.size());
  LH_CHECK(!bools || bools->size() == value.size());
  LH_CHECK(strings.has_value() == (value.type() == GgufValueType::kString));
  LH_CHECK(!strings || strings->size() == value.size());
}

void check_tensors(const GgufHeader& header, std::span<const std::byte> file) {
  const std::byte* free = file.data();  // where the next tensor may begin
  std::set<std::string_view> names;
  for (const GgufTensor& tensor : header.tensors) {
    const auto bytes = checked_nbytes(tensor.type, tensor.shape(), "input");
    LH_CHECK(bytes.ok() && *bytes == tensor.bytes.size());
    LH_CHECK(tensor.bytes.data() >= free);
    LH_CHECK(static_cast<uint64_t>(tensor.bytes.data() - file.data()) % header.alignment == 0);
    free = tensor.bytes.data() + tensor.bytes.size();
    LH_CHECK(free <= file.data() + file.size());
    LH_CHECK(names.insert(tensor.name).second);
  }
}

}  // namespace
}  // namespace longhaul

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhaul;
  const auto file = std::as_bytes(std::span(data, size));
  const auto header = parse_gguf_header(file, "input");
  if (!header.ok()) {
    check_error(header.error());
    return 0;
  }
  for (const GgufKeyValue& entry : header->metadata.values) {
    LH_CHECK(*header->metadata.find(entry.key) == entry.value);
    check_value(entry.value);
  }
  check_tensors(*header, file);
  return 0;
}
