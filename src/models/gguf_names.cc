#include "models/gguf_names.h"

#include <algorithm>

namespace longhaul {
namespace {

constexpr std::string_view kLayer = "blk.", kWeight = ".weight", kScale = ".scale",
                           kInputScale = ".input_scale";

std::optional<std::string_view> look_up(std::span<const GgufName> names, std::string_view name) {
  const auto it =
      std::find_if(names.begin(), names.end(), [&](const GgufName& n) { return n.gguf == name; });
  return it == names.end() ? std::nullopt : std::optional(it->ours);
}

// "7" of "blk.7.attn_q.weight", which becomes "attn_q.weight".
std::optional<std::string_view> take_layer(std::string_view& name) {
  if (!name.starts_with(kLayer)) return std::nullopt;
  const std::string_view rest = name.substr(kLayer.size());
  const size_t dot = rest.find('.');
  if (dot == rest.npos || dot == 0 || dot > 4) return std::nullopt;
  const std::string_view number = rest.substr(0, dot);
  const bool is_number =
      std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; }) &&
      (number.size() == 1 || number.front() != '0');
  if (!is_number) return std::nullopt;
  name = rest.substr(dot + 1);
  return number;
}

}  // namespace

std::optional<std::string> GgufNames::find_listed(std::string_view name) const {
  if (const auto whole = look_up(outside, name)) {
    if (whole->empty() || whole->front() != '/')
      return whole->empty() ? "" : std::string(prefix).append(*whole);
    return std::string(whole->substr(1));
  }
  const auto number = take_layer(name);
  const auto found = number ? look_up(layer, name) : std::nullopt;
  if (!found) return std::nullopt;
  if (found->empty()) return "";
  return std::string(prefix).append("layers.").append(*number).append(".").append(*found);
}

std::optional<std::string> GgufNames::find(std::string_view name) const {
  if (auto listed = find_listed(name)) return listed;
  if (auto listed = find_listed(std::string(name).append(kWeight))) return listed;
  for (const std::string_view ending : {kScale, kInputScale}) {
    if (!name.ends_with(ending)) continue;
    const std::string_view stem = name.substr(0, name.size() - ending.size());
    auto weight = find_listed(std::string(stem).append(kWeight));
    if (!weight || weight->empty()) return std::nullopt;
    if (ending == kInputScale) return "";
    if (weight->ends_with(kWeight)) weight->resize(weight->size() - kWeight.size());
    return weight->append(kScale);
  }
  return std::nullopt;
}

}  // namespace longhaul
