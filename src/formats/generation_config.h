// The defaults a checkpoint recommends for generating: generation_config.json, with config.json for what it leaves out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace longhaul {

struct GenerationDefaults {
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k;
  std::optional<bool> do_sample;
  std::vector<int32_t> eos_token_ids;    // sorted: every id that any of the files calls an end
  std::vector<int32_t> suppress_tokens;  // sorted
  std::optional<int32_t> bos_token_id, pad_token_id;
};

// Fields that don't concern us (beams, versions) pass unread: they are advice to a caller and change no logit.
// `generation_config` may be null (no such file); `where_*` name the files in messages.
Result<GenerationDefaults> parse_generation_defaults(const Json* generation_config, const std::string& where_generation, const Json& config,
                                                     const std::string& where_config);

// From a checkpoint folder, whose config.json has been read.
Result<GenerationDefaults> read_generation_defaults(const std::string& folder, const Json& config);

}  // namespace longhaul
