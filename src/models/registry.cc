#include "models/registry.h"

#include <algorithm>
#include <array>

#include "models/gemma.h"

namespace longhaul {
namespace {

struct Family {
  std::vector<std::string_view> model_types;
  Result<Architecture> (*read)(const Json&, const std::string&);
};

const std::array<Family, 1>& families() {
  static const std::array<Family, 1> table = {{
      {{"gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_text", "gemma3", "gemma3_text"},
       [](const Json& config, const std::string& where) -> Result<Architecture> {
         LH_TRY(const GemmaConfig c, read_gemma_config(config, where));
         return gemma_architecture(c);
       }},
  }};
  return table;
}

Result<const GemmaConfig*> find_preset(std::string_view name) {
  const auto lower = [](std::string_view s) {
    std::string out(s);
    std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
    return out;
  };
  for (const GemmaConfig& c : gemma_presets()) {
    if (lower(c.name) == lower(name)) return &c;
  }
  return make_error(ErrorCode::kNotFound, "'{}' is neither a folder with a config.json nor a bundled model; bundled are: {}", name,
                    fmt::join(preset_names(), ", "));
}

}  // namespace

Result<Architecture> read_architecture(const Json& config, const std::string& where) {
  const Json* type = config.find("model_type");
  if (type == nullptr || type->as_string() == nullptr) return corrupt("{}: no 'model_type'; is this the config of a language model?", where);
  std::vector<std::string_view> known;
  for (const Family& family : families()) {
    for (std::string_view t : family.model_types) {
      if (t == *type->as_string()) return family.read(config, where);
      known.push_back(t);
    }
  }
  return unsupported("{}: model_type '{}' is not supported; supported are: {}", where, *type->as_string(), fmt::join(known, ", "));
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const GemmaConfig& c : gemma_presets()) names.push_back(c.name);
  return names;
}

Result<Architecture> preset(std::string_view name) {
  LH_TRY(const GemmaConfig* config, find_preset(name));
  return gemma_architecture(*config);
}

Result<Json> preset_config(std::string_view name) {
  LH_TRY(const GemmaConfig* config, find_preset(name));
  return gemma_config_json(*config);
}

}  // namespace longhaul
