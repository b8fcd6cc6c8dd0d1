#include "formats/generation_config.h"

#include <algorithm>
#include <array>
#include <utility>

#include "formats/config_reader.h"

namespace longhaul {
namespace {

constexpr LengthRange kTokenCount = {.min = 0, .max = 65536};
// -1 stands for "none" in older configs.
constexpr IntRange kTokenId = {.min = -1, .max = std::numeric_limits<int32_t>::max()};
constexpr IntRange kId = {.min = 0, .max = std::numeric_limits<int32_t>::max()};
constexpr IntRange kLength = {.min = 0, .max = int64_t{1} << 40};

// Fields that change no text: how much is kept, computed ahead or handed out, and for whom.
constexpr const char* kHarmless[] = {"_commit_hash",
                                     "_from_model_config",
                                     "assistant_confidence_threshold",
                                     "assistant_early_exit",
                                     "assistant_ensemble_weight",
                                     "assistant_lookbehind",
                                     "cache_config",
                                     "cache_implementation",
                                     "compile_config",
                                     "continuous_batching_config",
                                     "decoder_start_token_id",
                                     "disable_compile",
                                     "is_assistant",
                                     "low_memory",
                                     "max_cache_len",
                                     "max_matching_ngram_size",
                                     "num_assistant_tokens",
                                     "num_assistant_tokens_schedule",
                                     "output_attentions",
                                     "output_hidden_states",
                                     "output_logits",
                                     "output_scores",
                                     "prefill_chunk_size",
                                     "prompt_lookup_num_tokens",
                                     "remove_invalid_values",
                                     "renormalize_logits",
                                     "return_dict_in_generate",
                                     "return_legacy_cache",
                                     "speculation_type",
                                     "target_lookbehind",
                                     "transformers_version",
                                     "use_cache",
                                     "use_mtp"};

// Fields that ask for something unless they have this value.
struct Neutral {
  const char* key;
  double value;
};
constexpr Neutral kNeutral[] = {{"diversity_penalty", 0},
                                {"dola_layers", 0},
                                {"guidance_scale", 1},
                                {"length_penalty", 1},
                                {"max_length", 20},
                                {"min_length", 0},
                                {"no_repeat_ngram_size", 0},
                                {"num_beam_groups", 1},
                                {"num_beams", 1},
                                {"num_return_sequences", 1},
                                {"penalty_alpha", 0},
                                {"repetition_penalty", 1},
                                {"temperature", 1},
                                {"top_k", 50},
                                {"top_p", 1},
                                {"typical_p", 1}};
constexpr const char* kOfBeams[] = {"diversity_penalty", "early_stopping", "length_penalty",
                                    "num_beam_groups"};
// Older files have these in config.json, where the reference reads them no more.
constexpr const char* kMisplaced[] = {"bad_words_ids",
                                      "begin_suppress_tokens",
                                      "do_sample",
                                      "exponential_decay_length_penalty",
                                      "forced_bos_token_id",
                                      "forced_eos_token_id",
                                      "max_length",
                                      "max_new_tokens",
                                      "min_length",
                                      "no_repeat_ngram_size",
                                      "num_beams",
                                      "repetition_penalty",
                                      "sequence_bias",
                                      "suppress_tokens",
                                      "temperature",
                                      "top_k",
                                      "top_p",
                                      "typical_p"};

void sort_unique(std::vector<int32_t>& ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

void add_tokens(std::vector<int32_t>& to, const std::vector<int64_t>& ids) {
  for (const int64_t id : ids) {
    if (id >= 0) to.push_back(static_cast<int32_t>(id));
  }
  sort_unique(to);
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
  to.do_sample = reader.optional_boolean("do_sample");
  to.temperature = reader.optional_number("temperature", {.min = 0, .max = 1000});
  to.top_k = reader.optional_integer("top_k");
  constexpr NumberRange kShare = {.min = 0, .max = 1};
  to.top_p = reader.optional_number("top_p", kShare);
  to.min_p = reader.optional_number("min_p", kShare);
  to.top_h = reader.optional_number("top_h", kShare);
  to.typical_p = reader.optional_number("typical_p", kShare);
  to.epsilon_cutoff = reader.optional_number("epsilon_cutoff", kShare);
  to.eta_cutoff = reader.optional_number("eta_cutoff", kShare);
  to.repetition_penalty = reader.optional_number("repetition_penalty", {.min = 1e-3, .max = 1000});
  to.encoder_repetition_penalty =
      reader.optional_number("encoder_repetition_penalty", {.min = 1e-3, .max = 1000});
}

// An array of lists of ids; empty ones say nothing.
std::vector<std::vector<int32_t>> read_id_lists(ConfigReader& reader, const char* key) {
  std::vector<std::vector<int32_t>> lists;
  const Json* value = reader.has(key) ? reader.peek(key) : nullptr;
  reader.ignore(key, "read here");
  if (value == nullptr) return lists;
  const Json::Array* array = value->as_array();
  bool good = array != nullptr && array->size() <= kTokenCount.max;
  for (size_t i = 0; good && i < array->size(); ++i) {
    const Json::Array* ids = (*array)[i].as_array();
    good = ids != nullptr && ids->size() <= kTokenCount.max;
    std::vector<int32_t> list;
    for (size_t k = 0; good && k < ids->size(); ++k) {
      const int64_t* id = (*ids)[k].as_int();
      good = id != nullptr && *id >= kId.min && *id <= kId.max;
      if (good) list.push_back(static_cast<int32_t>(*id));
    }
    if (!list.empty()) lists.push_back(std::move(list));
  }
  if (!good) reader.fail(key, "expected an array of arrays of token ids");
  return lists;
}

std::optional<SequenceBias> sequence_bias(const Json& pair) {
  const Json::Array* both = pair.as_array();
  if (both == nullptr || both->size() != 2 || !(*both)[1].is_number()) return std::nullopt;
  const Json::Array* ids = (*both)[0].as_array();
  if (ids == nullptr || ids->empty() || ids->size() > kTokenCount.max) return std::nullopt;
  SequenceBias bias{{}, static_cast<float>((*both)[1].number())};
  for (const Json& item : *ids) {
    const int64_t* id = item.as_int();
    if (id == nullptr || *id < kId.min || *id > kId.max) return std::nullopt;
    bias.ids.push_back(static_cast<int32_t>(*id));
  }
  return bias;
}

void read_sequence_bias(ConfigReader& reader, GenerationDefaults& to) {
  const Json* value = reader.has("sequence_bias") ? reader.peek("sequence_bias") : nullptr;
  reader.ignore("sequence_bias", "read here");
  if (value == nullptr) return;
  const Json::Array* array = value->as_array();
  bool good = array != nullptr && array->size() <= kTokenCount.max;
  for (size_t i = 0; good && i < array->size(); ++i) {
    auto bias = sequence_bias((*array)[i]);
    good = bias.has_value();
    if (!good) break;
    std::erase_if(to.sequence_bias,
                  [&](const SequenceBias& earlier) { return earlier.ids == bias->ids; });
    to.sequence_bias.push_back(std::move(*bias));
  }
  if (!good) reader.fail("sequence_bias", "expected an array of pairs [[token ids], bias]");
}

void read_length_decay(ConfigReader& reader, GenerationDefaults& to) {
  if (!reader.has("exponential_decay_length_penalty"))
    return reader.ignore("exponential_decay_length_penalty", "null or missing");
  const auto pair =
      reader.numbers("exponential_decay_length_penalty", {2, 2}, {.min = 0, .max = 1e9});
  if (pair.size() == 2)
    to.exponential_decay_length_penalty = {static_cast<int64_t>(pair[0]), pair[1]};
}

// A text or several.
void read_stop_strings(ConfigReader& reader, GenerationDefaults& to) {
  const Json* value = reader.peek("stop_strings");
  if (value != nullptr && value->as_string() != nullptr) {
    to.stop_strings = {reader.string("stop_strings")};
  } else {
    to.stop_strings = reader.strings("stop_strings");
  }
  std::erase(to.stop_strings, "");
}

void read_rules(ConfigReader& reader, GenerationDefaults& to) {
  add_tokens(to.suppress_tokens, reader.integers("suppress_tokens", kTokenCount, kTokenId));
  add_tokens(to.begin_suppress_tokens,
             reader.integers("begin_suppress_tokens", kTokenCount, kTokenId));
  set_token_if_new(to.forced_bos_token_id,
                   reader.optional_integer("forced_bos_token_id", kTokenId));
  add_tokens(to.forced_eos_token_id,
             reader.integer_or_list("forced_eos_token_id", kTokenCount, kTokenId));
  to.no_repeat_ngram_size = reader.optional_integer("no_repeat_ngram_size", kLength);
  to.encoder_no_repeat_ngram_size =
      reader.optional_integer("encoder_no_repeat_ngram_size", kLength);
  to.min_length = reader.optional_integer("min_length", kLength);
  to.min_new_tokens = reader.optional_integer("min_new_tokens", kLength);
  to.max_length = reader.optional_integer("max_length", kLength);
  to.max_new_tokens = reader.optional_integer("max_new_tokens", kLength);
  to.bad_words_ids = read_id_lists(reader, "bad_words_ids");
  read_sequence_bias(reader, to);
  read_length_decay(reader, to);
  read_stop_strings(reader, to);
}

// As the reference refuses it: no token would be left.
void check_forced_tokens(ConfigReader& reader, const GenerationDefaults& d) {
  const auto is_suppressed = [&](int32_t id) {
    return std::binary_search(d.suppress_tokens.begin(), d.suppress_tokens.end(), id);
  };
  if (d.forced_bos_token_id && is_suppressed(*d.forced_bos_token_id))
    reader.fail("forced_bos_token_id",
                "is among suppress_tokens, which leaves no token; take one of the two away");
  const auto& ends = d.forced_eos_token_id;
  if (!ends.empty() && std::all_of(ends.begin(), ends.end(), is_suppressed))
    reader.fail("forced_eos_token_id",
                "is among suppress_tokens, which leaves no token; take one of the two away");
}

bool asks_for_nothing(const std::string& key, const Json& value) {
  if (value.is_null() || (value.as_bool() != nullptr && !*value.as_bool())) return true;
  if (value.as_array() != nullptr) return value.as_array()->empty();
  if (value.as_object() != nullptr) return value.as_object()->empty();
  if (value.as_string() != nullptr) return value.as_string()->empty();
  const auto is_neutral = [&](const Neutral& n) {
    return key == n.key && value.is_number() && value.number() == n.value;
  };
  return std::any_of(std::begin(kNeutral), std::end(kNeutral), is_neutral);
}

// The fields that nobody read and that ask for something.
void note_what_is_not_done(ConfigReader& reader, const Json& object, const std::string& where,
                           GenerationDefaults& to) {
  for (const char* key : kHarmless) reader.ignore(key, "changes no text");
  const Json* beams = object.find("num_beams");
  if (beams == nullptr || asks_for_nothing("num_beams", *beams)) {
    for (const char* key : kOfBeams) reader.ignore(key, "there is one beam");
  }
  std::vector<std::string> names;
  for (const std::string& key : reader.unread_keys()) {
    const Json* value = object.find(key);
    if (value == nullptr || !asks_for_nothing(key, *value)) names.push_back(key);
  }
  if (!names.empty())
    to.notes.push_back(fmt::format("{}: not done here: {}", where, fmt::join(names, ", ")));
}

void note_what_is_misplaced(const Json& config, const Json* generation_config,
                            const std::string& where, GenerationDefaults& to) {
  std::vector<std::string> names;
  for (const Json* object : {&config, config.find("text_config")}) {
    for (const char* key : kMisplaced) {
      const Json* value = object == nullptr ? nullptr : object->find(key);
      const bool is_said = generation_config != nullptr && generation_config->find(key) != nullptr;
      if (value != nullptr && !is_said && !asks_for_nothing(key, *value)) names.push_back(key);
    }
  }
  if (!names.empty())
    to.notes.push_back(
        fmt::format("{}: counts in generation_config.json alone, passed over here: {}", where,
                    fmt::join(names, ", ")));
}

}  // namespace

Result<GenerationDefaults> parse_generation_defaults(const Json* generation_config,
                                                     const std::string& where_generation,
                                                     const Json& config,
                                                     const std::string& where_config) {
  GenerationDefaults defaults;
  if (generation_config != nullptr) {
    ConfigReader reader(*generation_config, where_generation);
    read_tokens(reader, defaults);
    read_sampling(reader, defaults);
    read_rules(reader, defaults);
    check_forced_tokens(reader, defaults);
    LH_RETURN_IF_ERROR(or_remedy(reader.status(), "correct or remove the file"));
    note_what_is_not_done(reader, *generation_config, where_generation, defaults);
  }
  ConfigReader reader(config, where_config);
  if (auto text_config = reader.optional_child("text_config")) read_tokens(*text_config, defaults);
  read_tokens(reader, defaults);
  LH_RETURN_IF_ERROR(or_remedy(reader.status(), "correct the file"));
  note_what_is_misplaced(config, generation_config, where_config, defaults);
  return defaults;
}

}  // namespace longhaul
