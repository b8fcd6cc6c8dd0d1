// Names of tensors in GGUF files, mapped by tables of pairs.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace longhaul {

struct GgufName {
  std::string_view gguf, ours;
};

struct GgufNames {
  std::string_view prefix;            // before all of ours but those that begin with '/'
  std::span<const GgufName> outside;  // whole names
  std::span<const GgufName> layer;    // behind "blk.N." and "layers.N."

  // Some converters leave the ending '.weight' away where ours have none.
  //
  // 'X.scale' of a weight that is known as 'X.weight' has the same name with the other ending;
  // 'X.input_scale' is for engines that round inputs as the scale says, and is passed over.
  std::optional<std::string> find(std::string_view name) const;

 private:
  std::optional<std::string> find_listed(std::string_view name) const;
};

}  // namespace longhaul
