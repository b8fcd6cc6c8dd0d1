#include "checkpoint/packed_folder.h"

#include <array>
#include <charconv>

#include "base/printable.h"
#include "kernels/codecs/codecs.h"
#include "kernels/codecs/quant_blocks.h"
#include "mechanisms/resident_weights.h"

namespace longhaul {
namespace {

constexpr const char* kMethod = "longhaul";
constexpr const char* kCopied = "tables";  // what was said of the quantised ones
// of the panels' insides (quant_blocks.h, panels.h) and the names here
constexpr int64_t kLayoutVersion = 3;

constexpr const char* kBlocks = ".blocks-";  // before the type's name

struct BlockFact {
  const char* key;
  int64_t value;
};
constexpr std::array kFacts = {BlockFact{"layout_version", kLayoutVersion},
                               BlockFact{"panel", kPanel}, BlockFact{"block", kQuantBlock},
                               BlockFact{"group", kQuantGroup}};

// Reads "0-1536x6144".
std::optional<std::vector<int64_t>> parse_extent(std::string_view text) {
  std::array<int64_t, 3> numbers{};
  constexpr std::array kSeparators = {'-', 'x', '\0'};
  for (size_t i = 0; i < numbers.size(); ++i) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), numbers[i]);
    if (error != std::errc() || numbers[i] < 0) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    if (kSeparators[i] == '\0') break;
    if (text.empty() || text.front() != kSeparators[i]) return std::nullopt;
    text.remove_prefix(1);
  }
  if (!text.empty()) return std::nullopt;
  return std::vector<int64_t>{numbers[1], numbers[2]};
}

}  // namespace

std::string packed_suffix(const WeightSpec& w, const Codec& codec) {
  return fmt::format(".{}.{}-{}x{}", codec.suffix, w.first_row, w.first_row + w.rows, w.cols);
}

std::vector<int64_t> packed_shape(const WeightSpec& w, const Codec& codec) {
  return {w.n_experts, ceil_div(w.rows, kPanel), codec.layout.panel_bytes(w.cols)};
}

std::vector<const Codec*> possible_codecs(const WeightSpec& w, const WeightFormat& format) {
  if (format != WeightFormat::kReleased || w.use == WeightUse::kFine)
    return {&packed_codec(w, format)};
  std::vector<const Codec*> possible;
  for (const Codec* codec : codecs()) {
    if (codec->keeps != nullptr && &kept_codec(w, *codec) == codec) possible.push_back(codec);
  }
  return possible;
}

Json packed_config(const WeightFormat& format, const Json& quantisation) {
  Json config = Json::object({{"quant_method", kMethod}, {"format", option_name(format)}});
  for (const BlockFact& fact : kFacts) config.set(fact.key, fact.value);
  if (!quantisation.is_null()) config.set(kCopied, quantisation);
  return config;
}

Json packed_quantisation(const Json& config) {
  const Json* found = config.find("quantization_config");
  const Json* copied = found == nullptr ? nullptr : found->find(kCopied);
  return copied == nullptr ? Json() : *copied;
}

Result<std::optional<WeightFormat>> take_packed_format(Json& config, const std::string& where) {
  const Json* found = config.find("quantization_config");
  const Json* method = found == nullptr ? nullptr : found->find("quant_method");
  if (method == nullptr || method->as_string() == nullptr || *method->as_string() != kMethod)
    return std::optional<WeightFormat>();
  for (const BlockFact& fact : kFacts) {
    const Json* value = found->find(fact.key);
    if (value == nullptr || value->as_int() == nullptr || *value->as_int() != fact.value) {
      return unsupported(
          "{}: quantization_config.{} is {}, this program reads {}; quantize the original "
          "checkpoint again",
          where, fact.key, value == nullptr ? "missing" : printable(value->dump()), fact.value);
    }
  }
  const Json* name = found->find("format");
  const auto format = name == nullptr || name->as_string() == nullptr
                          ? std::nullopt
                          : weight_format_from_option(*name->as_string());
  if (!format) {
    return unsupported(
        "{}: quantization_config.format is {}, expected \"bf16\", \"q8\", \"q4\" or \"released\"; "
        "quantize the original checkpoint again",
        where, name == nullptr ? "missing" : printable(name->dump()));
  }
  std::erase_if(*config.as_object(),
                [](const Json::Member& member) { return member.first == "quantization_config"; });
  return format;
}

std::map<std::string, std::vector<int64_t>, std::less<>> packed_origins(
    const TensorSource& source) {
  std::map<std::string, std::vector<int64_t>, std::less<>> origins;
  for (const TensorInfo& t : source.all()) {
    const size_t extent_at = t.name.rfind('.');
    if (extent_at == std::string::npos || extent_at == 0) continue;
    const size_t kind_at = t.name.rfind('.', extent_at - 1);
    if (kind_at == std::string::npos) continue;
    const auto shape = parse_extent(std::string_view(t.name).substr(extent_at + 1));
    const std::string_view kind =
        std::string_view(t.name).substr(kind_at + 1, extent_at - kind_at - 1);
    if (!shape || codec_of_suffix(kind) == nullptr) continue;
    auto& origin = origins[t.name.substr(0, kind_at)];
    if (origin.empty() || origin.front() < shape->front()) origin = *shape;
  }
  return origins;
}

TensorDecl copied_tensor(const TensorInfo& t, DType dtype) {
  if (!is_quantised(dtype)) return {t.name, dtype, t.shape};
  std::vector<int64_t> shape = t.shape;
  shape.back() = static_cast<int64_t>(stored_bytes(dtype, shape.back()));
  return {t.name + kBlocks + to_string(dtype), DType::kU8, std::move(shape)};
}

Status restore_blocks(TensorSource& source) {
  return source.edit([](TensorInfo& t) -> Status {
    const size_t at = t.name.rfind(kBlocks);
    const auto dtype = at == t.name.npos ? std::nullopt
                                         : dtype_of_blocks(std::string_view(t.name).substr(
                                               at + std::string_view(kBlocks).size()));
    if (!dtype || t.dtype != DType::kU8 || t.shape.empty()) return {};
    const ElementBlock block = block_of(*dtype);
    if (t.shape.back() % block.bytes != 0)
      return corrupt(
          "tensor '{}' has rows of {} bytes, expected whole blocks of {}; quantize the "
          "original checkpoint again",
          printable(t.name), t.shape.back(), block.bytes);
    t.name.resize(at);
    t.dtype = *dtype;
    t.shape.back() = t.shape.back() / block.bytes * block.elements;
    return {};
  });
}

}  // namespace longhaul
