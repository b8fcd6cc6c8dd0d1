// A config's description of quantised weights, then a safetensors file with them, from memory: the
// tensors that its codes are joined to, each decoded at its edges.
//
// The text before the first zero byte is the config, the file is behind it.

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "base/notice.h"
#include "check_error.h"
#include "checkpoint/coded_tensors.h"
#include "checkpoint/quantisation.h"
#include "formats/coded_tensor.h"
#include "formats/safetensors.h"

namespace longhaul {
namespace {

void decode_edges(const TensorInfo& t) {
  const CodedTensor& coded = *t.coded;
  int64_t n_rows = 1;
  for (size_t i = 0; i + 1 < t.shape.size(); ++i) n_rows *= t.shape[i];
  LH_CHECK(t.shape.back() == coded.cols() && n_rows == coded.n_rows() && n_rows > 0);
  std::vector<float> elements(static_cast<size_t>(coded.cols()));
  for (const int64_t row : {int64_t{0}, n_rows / 2, n_rows - 1}) {
    coded.read(row, 0, coded.cols(), elements.data());
    coded.read(row, coded.cols() - 1, 1, elements.data());
    LH_CHECK(!coded.code_bytes(row, 1).empty());
  }
  LH_CHECK(coded.stored_bytes(n_rows) == coded.stored_bytes());
}

Status open(std::string_view config, std::span<const std::byte> file) {
  LH_TRY(Json json, parse_json(config, "config"));
  LH_TRY(SafetensorsHeader header, parse_safetensors_header(file, "input"));
  LH_TRY(const std::optional<Quantisation> quantisation, take_quantisation(json, "config"));
  if (!quantisation) return {};
  TensorSource source;
  LH_RETURN_IF_ERROR(source.add(std::move(header.tensors)));
  LH_RETURN_IF_ERROR(join_coded_tensors(source, *quantisation, "config"));
  for (const TensorInfo& t : source.all()) {
    if (t.coded != nullptr) decode_edges(t);
  }
  return {};
}

}  // namespace
}  // namespace longhaul

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhaul;
  const NoticeScope silent([](std::string_view) {});
  const uint8_t* end = std::find(data, data + size, uint8_t{0});
  if (end == data + size) return 0;
  const std::string_view config(reinterpret_cast<const char*>(data),
                                static_cast<size_t>(end - data));
  const auto file = std::as_bytes(std::span(data, size)).subspan(config.size() + 1);
  if (const Status status = open(config, file); !status.ok()) check_error(status.error());
  return 0;
}
