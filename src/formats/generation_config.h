// The defaults a checkpoint recommends for generating: generation_config.json, with config.json for
// what it leaves out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/errors.h"
#include "base/json.h"

namespace longhaul {

// Added to the logit of the last id where the text ends in those before it.
struct SequenceBias {
  std::vector<int32_t> ids;  // at least one
  float bias = 0;
};

// The reference's ExponentialDecayLengthPenalty: from so many new tokens on, ends become likelier
// by factor^n.
struct LengthDecay {
  int64_t start = 0;
  double factor = 1;
};

// Fields by the reference's names; what is missing or null is unset.
struct GenerationDefaults {
  std::optional<double> temperature, top_p, min_p, top_h, typical_p, epsilon_cutoff, eta_cutoff;
  std::optional<double> repetition_penalty, encoder_repetition_penalty;
  std::optional<int64_t> top_k, no_repeat_ngram_size, encoder_no_repeat_ngram_size;
  std::optional<int64_t> min_length, min_new_tokens, max_length,
      max_new_tokens;  // lengths count the prompt
  std::optional<bool> do_sample;
  std::vector<int32_t> eos_token_ids;  // sorted: every id that any of the files calls an end
  std::vector<int32_t> suppress_tokens, begin_suppress_tokens;  // sorted
  std::vector<std::vector<int32_t>> bad_words_ids;              // none empty
  std::vector<SequenceBias> sequence_bias;
  std::optional<int32_t> bos_token_id, pad_token_id, forced_bos_token_id;
  std::vector<int32_t> forced_eos_token_id;  // sorted
  std::optional<LengthDecay> exponential_decay_length_penalty;
  std::vector<std::string> stop_strings;
  // A line for each file that asks for what is not done here, and names it.
  std::vector<std::string> notes;
};

// Fields that change no text (caches, outputs, versions) pass unread; what else is not done is
// noted. Values that no sampler takes are an error. `generation_config` may be null (no such file);
// `where_*` name the files.
Result<GenerationDefaults> parse_generation_defaults(const Json* generation_config,
                                                     const std::string& where_generation,
                                                     const Json& config,
                                                     const std::string& where_config);

}  // namespace longhaul
