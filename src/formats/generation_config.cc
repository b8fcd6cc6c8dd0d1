#include "formats/generation_config.h"

#include <algorithm>
#include <utility>

#include "formats/config_reader.h"

namespace longhaul {
namespace {

constexpr size_t kMaxBytes = 1 << 20;
constexpr LengthRange kTokenCount = {.min = 0, .max = 65536};
// -1 stands for "none" in older configs.
constexpr IntRange kTokenId = {.min = -1, .max = std::numeric_limits<int32_t>::max()};

void add_tokens(std::vector<int32_t>& to, const std::vector<int64_t>& ids) {
  for (const int64_t id : ids) {
    if (id >= 0) to.push_back(static_cast<int32_t>(id));
  }
  std::sort(to.begin(), to.end());
  to.erase(std::unique(to.begin(), to.end()), to.end());
}

void set_token_if_new(std::optional<int32_t>& to, std::optional<int64_t> id) {
  if (!to && id && *id >= 0) to = static_cast<int32_t>(*id);
}

// The three places name tokens alike; the first one read decides on bos and pad.
void read_tokens(ConfigReader& reader, GenerationDefaults& to) {
  add_tokens(to.eos_token_ids, reader.integer_or_list("eos_token_id", kTokenCount, kTokenId));
  set_token_if_new(to.bos_token_id, reader.optional_integer("bos_token_id", kTokenId));
  set_token_if_new(to.pad_token_id, reader.optional_integer("pad_token_id", kTokenId));
}

void read_sampling(ConfigReader& reader, GenerationDefaults& to) {
  to.temperature = reader.optional_number("temperature", {.min = 0, .max = 1000});
  to.top_k = reader.optional_integer("top_k");
  to.top_p = reader.optional_number("top_p", {.min = 0, .max = 1});
  to.min_p = reader.optional_number("min_p", {.min = 0, .max = 1});
  to.repetition_penalty = reader.optional_number("repetition_penalty", {.min = 1e-3, .max = 1000});
  to.do_sample = reader.optional_boolean("do_sample");
  add_tokens(to.suppress_tokens, reader.integers("suppress_tokens", kTokenCount, kTokenId));
}

}  // namespace

Result<GenerationDefaults> parse_generation_defaults(const Json* generation_config, const std::string& where_generation, const Json& config,
                                                     const std::string& where_config) {
  GenerationDefaults defaults;
  if (generation_config != nullptr) {
    ConfigReader reader(*generation_config, where_generation);
    read_tokens(reader, defaults);
    read_sampling(reader, defaults);
    LH_RETURN_IF_ERROR(reader.status());
  }
  ConfigReader reader(config, where_config);
  if (auto text_config = reader.optional_child("text_config")) read_tokens(*text_config, defaults);
  read_tokens(reader, defaults);
  LH_RETURN_IF_ERROR(reader.status());
  return defaults;
}

Result<GenerationDefaults> read_generation_defaults(const std::string& folder, const Json& config) {
  const std::string path = folder + "/generation_config.json", config_path = folder + "/config.json";
  const auto file = read_json_file(path, kMaxBytes);
  if (!file.ok() && file.error().code != ErrorCode::kNotFound) return file.error();
  return parse_generation_defaults(file.ok() ? &*file : nullptr, path, config, config_path);
}

}  // namespace longhaul
