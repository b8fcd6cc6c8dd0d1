#include "models/registry.h"

#include <algorithm>
#include <array>

#include "base/printable.h"
#include "models/gemma.h"

namespace longhaul {
namespace {

struct Family {
  std::vector<std::string_view> model_types;
  Result<Architecture> (*read)(const Json& config, const std::string& where);
  Result<Json> (*rewrite)(const Json& config, const std::string& where, int64_t n_layers, const std::string& dtype);
};

const std::array<Family, 1>& families() {
  static const std::array<Family, 1> table = {{
      {{"gemma4", "gemma4_text", "gemma4_unified", "gemma4_unified_text", "gemma3", "gemma3_text"},
       [](const Json& config, const std::string& where) -> Result<Architecture> {
         LH_TRY(const GemmaConfig c, read_gemma_config(config, where));
         return gemma_architecture(c);
       },
       [](const Json& config, const std::string& where, int64_t n_layers, const std::string& dtype) -> Result<Json> {
         LH_TRY(GemmaConfig c, read_gemma_config(config, where));
         if (n_layers > 0) {
           LH_TRY(c, keep_gemma_layers(std::move(c), n_layers));
         }
         return gemma_config_json(c, dtype);
       }},
  }};
  return table;
}

Result<const Family*> find_family(const Json& config, const std::string& where) {
  const Json* type = config.find("model_type");
  if (type == nullptr || type->as_string() == nullptr) return corrupt("{}: no 'model_type'; is this the config of a language model?", where);
  std::vector<std::string_view> known;
  for (const Family& family : families()) {
    for (std::string_view t : family.model_types) {
      if (t == *type->as_string()) return &family;
      known.push_back(t);
    }
  }
  return unsupported("{}: model_type '{}' is not supported; supported are: {}", where, printable(*type->as_string()), fmt::join(known, ", "));
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
  LH_TRY(const Family* family, find_family(config, where));
  return family->read(config, where);
}

Result<Json> rewrite_config(const Json& config, const std::string& where, int64_t n_layers, const std::string& dtype) {
  LH_TRY(const Family* family, find_family(config, where));
  return family->rewrite(config, where, n_layers, dtype);
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
  return gemma_config_json(*config, "bfloat16");
}

}  // namespace longhaul
