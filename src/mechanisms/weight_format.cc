#include "mechanisms/weight_format.h"

namespace longhaul {
namespace {

constexpr const char* kAsStored = "released";

}  // namespace

constinit const WeightFormat WeightFormat::kF32(&kF32Codec);
constinit const WeightFormat WeightFormat::kBF16(&kBf16Codec);
constinit const WeightFormat WeightFormat::kReleased(static_cast<const Codec*>(nullptr));

WeightFormat WeightFormat::over(std::shared_ptr<const StoredTypes> types) const {
  WeightFormat format = *this;
  format.types_ = std::move(types);
  return format;
}

WeightFormat WeightFormat::with_fine_inputs(bool has_fine_inputs) const {
  WeightFormat format = *this;
  format.has_fine_inputs_ = has_fine_inputs;
  return format;
}

const StoredTypes::Of* WeightFormat::stored(const WeightSpec& w) const {
  if (types_ == nullptr || w.origin == kNone) return nullptr;
  return &types_->weights.at(static_cast<size_t>(w.origin));
}

const Codec& WeightFormat::stored_codec(const WeightSpec& w) const {
  if (const StoredTypes::Of* of = stored(w); of != nullptr && of->codec != nullptr)
    return *of->codec;
  const Codec* keeping = codec_that_keeps({w.released});
  if (keeping == nullptr) keeping = codec_that_keeps({w.released, w.released_scales});
  return keeping == nullptr ? kBf16Codec : *keeping;
}

DType WeightFormat::stored_elements(const WeightSpec& w) const {
  const StoredTypes::Of* of = stored(w);
  return of == nullptr ? w.released : of->elements.value_or(w.released);
}

uint64_t WeightFormat::stored_table_bytes(const WeightSpec& w, int64_t n_elements) const {
  const StoredTypes::Of* of = stored(w);
  if (of != nullptr && of->bytes) return *of->bytes;
  return stored_bytes(stored_elements(w), n_elements);
}

const char* to_string(const WeightFormat& format) {
  return format.codec() == nullptr ? "as released" : format.codec()->name;
}

const char* option_name(const WeightFormat& format) {
  return format.codec() == nullptr ? kAsStored : format.codec()->option;
}

std::optional<WeightFormat> weight_format_from_option(std::string_view name) {
  if (name == kAsStored) return WeightFormat::kReleased;
  const Codec* codec = codec_of_option(name);
  return codec == nullptr ? std::nullopt : std::optional(WeightFormat(*codec));
}

}  // namespace longhaul
