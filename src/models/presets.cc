#include "models/presets.h"

#include <algorithm>
#include <string>

#include "base/check.h"

namespace longhaul {

std::vector<Preset> read_presets(std::initializer_list<std::string_view> names) {
  std::vector<Preset> presets;
  for (const std::string_view name : names) {
    const auto all = preset_texts();
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const PresetText& text) { return text.name == name; });
    LH_CHECK(found != all.end());
    auto config = parse_json(found->json, name);
    LH_CHECK(config.ok());
    presets.push_back({std::string(name), *std::move(config)});
  }
  return presets;
}

}  // namespace longhaul
