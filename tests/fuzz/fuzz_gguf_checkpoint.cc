// A GGUF file from memory as a model: its metadata as a config, its tensors under the config's
// names, both as a description that they are matched with.

#include <cstdint>

#include "base/check.h"
#include "base/notice.h"
#include "check_error.h"
#include "checkpoint/config_request.h"
#include "checkpoint/gguf_model.h"
#include "checkpoint/match_tensors.h"
#include "checkpoint/shared_tensors.h"

namespace longhaul {
namespace {

Status open(const GgufSource& file) {
  LH_TRY(const GgufReading* reading, find_reading(file, "input"));
  LH_TRY(const Json config, reading->config(file, "input"));
  LH_TRY(std::vector<TensorInfo> tensors, tensors_of(file, *reading));
  TensorSource source;
  LH_RETURN_IF_ERROR(source.add(std::move(tensors)));
  const ShapeOf shape_of = [&](std::string_view name) {
    const TensorInfo* t = source.find(name);
    return t == nullptr ? nullptr : &t->shape;
  };
  LH_TRY(Architecture arch, read_as_requested(config, "input", {}, shape_of));
  settle_shared_tensors(arch, source);
  LH_TRY(const auto weights, match_weights(arch, std::move(source)));
  for (size_t i = 0; i < arch.weights.size(); ++i)
    LH_CHECK(!weights->tensor(static_cast<WeightId>(i)).bytes.empty());
  return {};
}

}  // namespace
}  // namespace longhaul

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhaul;
  const NoticeScope silent([](std::string_view) {});
  auto header = parse_gguf_header(std::as_bytes(std::span(data, size)), "input");
  if (!header.ok()) return 0;
  const GgufSource file = GgufSource::of(std::move(*header));
  if (const Status status = open(file); !status.ok()) check_error(status.error());
  return 0;
}
