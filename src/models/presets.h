// Configs of published models: presets/*.json, which the build makes part of the library.
#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "models/family.h"

namespace longhaul {

struct PresetText {
  std::string_view name;  // the file's, without .json
  std::string_view json;
};

// All of them; the build writes this function (cmake/embed_presets.cmake).
std::span<const PresetText> preset_texts();

// Those of a family, in this order. Each name must have its file.
std::vector<Preset> read_presets(std::initializer_list<std::string_view> names);

}  // namespace longhaul
