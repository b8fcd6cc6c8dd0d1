#include "formats/gguf_tokenizer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "base/notice.h"
#include "base/printable.h"
#include "formats/gguf_merges.h"

namespace longhaul {
namespace {

constexpr const char* kRemedy =
    "get another conversion, or put the model's tokenizer.json beside the file";
constexpr uint64_t kMaxTokens = uint64_t{1} << 22;
constexpr size_t kMaxTokenBytes = 1024;  // the longest ones published are runs of 128 blanks
constexpr std::string_view kBlank = "\xE2\x96\x81";  // U+2581, as vocabularies spell U+0020

// Numbered as in files.
enum class TokenType { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

// What tokenizer.ggml.model and .pre call for.
enum class Scheme { kScores, kGivenMerges, kByteLevel };

std::string key_of(std::string_view name) { return fmt::format("tokenizer.ggml.{}", name); }

Error wrong(const std::string& where, std::string_view name, std::string_view what) {
  return corrupt("{}: {} {}; {}", where, key_of(name), what, kRemedy);
}

const GgufValue* find(const GgufMetadata& metadata, std::string_view name) {
  return metadata.find(key_of(name));
}

// Nothing where the key is missing; an error where it is something else.
template <class T>
Result<std::optional<T>> read(const GgufMetadata& metadata, const std::string& where,
                              std::string_view name, std::optional<T> (GgufValue::*as)() const,
                              const char* expected) {
  const GgufValue* value = find(metadata, name);
  if (value == nullptr) return std::optional<T>();
  std::optional<T> read = (value->*as)();
  if (!read)
    return wrong(where, name,
                 fmt::format("is {}, expected {} that fits", value->type_name(), expected));
  return read;
}

// A token's id by one of the keys ..._token_id; nothing where it is missing or stands for none.
Result<std::optional<int64_t>> read_id(const GgufMetadata& metadata, const std::string& where,
                                       const std::string& name, uint64_t n_tokens) {
  LH_TRY(const auto id, read(metadata, where, name, &GgufValue::as_int, "an integer"));
  if (!id || *id == -1 || *id == int64_t{UINT32_MAX}) return std::optional<int64_t>();
  if (*id < 0 || static_cast<uint64_t>(*id) >= n_tokens)
    return wrong(where, name, fmt::format("is {}, and there are {} tokens", *id, n_tokens));
  return id;
}

struct Tokens {
  std::vector<std::string> texts;
  std::vector<TokenType> types;
  std::vector<double> scores;  // empty where merges are given
};

// A conversion that does not say how texts are split has none of the names.
Status check_pre(std::string_view pre, const std::string& where, const GgufTokenRules& rules) {
  if (std::find(rules.pre.begin(), rules.pre.end(), pre) != rules.pre.end()) return {};
  if (rules.pre.empty())
    return unsupported("{}: {} is 'gpt2', which no tokenizer of this architecture is; {}", where,
                       key_of("model"), kRemedy);
  return unsupported("{}: {} is '{}', expected {}; {}", where, key_of("pre"), printable(pre),
                     fmt::join(rules.pre, " or "), kRemedy);
}

Result<Scheme> read_scheme(const GgufMetadata& metadata, const std::string& where,
                           const GgufTokenRules& rules) {
  LH_TRY(const auto model, read(metadata, where, "model", &GgufValue::as_string, "a text"));
  LH_TRY(const auto pre, read(metadata, where, "pre", &GgufValue::as_string, "a text"));
  if (model == "llama") return Scheme::kScores;
  if (model && !model->empty() && *model == rules.merged_model) return Scheme::kGivenMerges;
  if (model == "gpt2") {
    LH_RETURN_IF_ERROR(check_pre(pre.value_or("default"), where, rules));
    return Scheme::kByteLevel;
  }
  return unsupported("{}: {} is '{}', expected llama{}{} or gpt2; {}", where, key_of("model"),
                     model ? printable(*model) : "missing", rules.merged_model.empty() ? "" : ", ",
                     rules.merged_model, kRemedy);
}

Result<std::vector<TokenType>> read_types(const GgufMetadata& metadata, const std::string& where,
                                          size_t n) {
  LH_TRY(const auto numbers,
         read(metadata, where, "token_type", &GgufValue::as_ints, "an array of integers"));
  if (!numbers) return wrong(where, "token_type", "is missing");
  if (numbers->size() != n)
    return wrong(where, "token_type",
                 fmt::format("has {} elements, there are {} tokens", numbers->size(), n));
  std::vector<TokenType> types;
  types.reserve(n);
  for (const int64_t number : *numbers) {
    if (number < 1 || number > 6)
      return wrong(where, fmt::format("token_type[{}]", types.size()),
                   fmt::format("is {}, expected 1 to 6", number));
    types.push_back(static_cast<TokenType>(number));
  }
  return types;
}

// "<0x0A>"
bool is_byte_text(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') return false;
  return std::all_of(text.begin() + 3, text.begin() + 5,
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); });
}

Status check_bytes(const Tokens& tokens, const std::string& where) {
  std::array<bool, 256> seen{};
  for (size_t i = 0; i < tokens.texts.size(); ++i) {
    if (tokens.types[i] != TokenType::kByte) continue;
    const std::string& text = tokens.texts[i];
    const auto at = [&] { return fmt::format("tokens[{}]", i); };
    if (!is_byte_text(text))
      return wrong(where, at(),
                   fmt::format("is '{}', expected a byte, <0x00> to <0xFF>", printable(text)));
    uint32_t byte = 0;
    std::from_chars(text.data() + 3, text.data() + 5, byte, 16);
    if (seen[byte]) return wrong(where, at(), fmt::format("is '{}' for the second time", text));
    seen[byte] = true;
  }
  return {};
}

Result<std::vector<double>> read_scores(const GgufMetadata& metadata, const std::string& where,
                                        size_t n) {
  LH_TRY(auto scores, read(metadata, where, "scores", &GgufValue::as_floats, "an array of floats"));
  if (!scores) return wrong(where, "scores", "is missing");
  if (scores->size() != n)
    return wrong(where, "scores",
                 fmt::format("has {} elements, there are {} tokens", scores->size(), n));
  for (size_t i = 0; i < n; ++i) {
    if (!std::isfinite((*scores)[i]))
      return wrong(where, fmt::format("scores[{}]", i), "is no number");
  }
  return std::move(*scores);
}

void replace_blanks(std::string& text) {
  std::string replaced;
  for (const char c : text) c == ' ' ? replaced.append(kBlank) : replaced.append(1, c);
  text = std::move(replaced);
}

// Runs of blanks are written as such where users defined them, and with a score that would put
// their merges last.
void mend_user_defined(Tokens& tokens, Scheme scheme) {
  if (scheme == Scheme::kByteLevel) return;
  for (size_t i = 0; i < tokens.texts.size(); ++i) {
    if (tokens.types[i] != TokenType::kUserDefined) continue;
    replace_blanks(tokens.texts[i]);
    if (!tokens.scores.empty()) tokens.scores[i] = 0;
  }
}

void mend_control(Tokens& tokens, const GgufTokenRules& rules) {
  for (size_t i = 0; i < tokens.texts.size(); ++i) {
    if (tokens.types[i] == TokenType::kNormal &&
        std::find(rules.control.begin(), rules.control.end(), tokens.texts[i]) !=
            rules.control.end())
      tokens.types[i] = TokenType::kControl;
  }
}

Result<Tokens> read_tokens(const GgufMetadata& metadata, const std::string& where, Scheme scheme,
                           const GgufTokenRules& rules) {
  LH_TRY(const auto texts,
         read(metadata, where, "tokens", &GgufValue::as_strings, "an array of texts"));
  if (!texts || texts->empty() || texts->size() > kMaxTokens)
    return wrong(
        where, "tokens",
        fmt::format("has {} elements, expected 1 to {}", texts ? texts->size() : 0, kMaxTokens));
  Tokens tokens;
  for (const std::string_view text : *texts) {
    if (text.empty() || text.size() > kMaxTokenBytes)
      return wrong(where, fmt::format("tokens[{}]", tokens.texts.size()),
                   fmt::format("has {} bytes, expected 1 to {}", text.size(), kMaxTokenBytes));
    tokens.texts.emplace_back(text);
  }
  LH_TRY(tokens.types, read_types(metadata, where, texts->size()));
  if (scheme == Scheme::kScores) {
    LH_TRY(tokens.scores, read_scores(metadata, where, texts->size()));
  }
  LH_RETURN_IF_ERROR(check_bytes(tokens, where));
  mend_user_defined(tokens, scheme);
  mend_control(tokens, rules);
  return tokens;
}

// By text. Where one stands twice, the first id is that of the text.
TokenIds ids_of(const Tokens& tokens, const std::string& where) {
  TokenIds ids;
  ids.reserve(tokens.texts.size());
  std::vector<std::string> twice;
  for (size_t i = 0; i < tokens.texts.size(); ++i) {
    if (!ids.emplace(tokens.texts[i], static_cast<int32_t>(i)).second)
      twice.push_back(fmt::format("'{}' (id {})", printable(tokens.texts[i]), i));
  }
  constexpr size_t kShown = 5;
  const size_t n = twice.size();
  twice.resize(std::min(n, kShown));
  if (n > 0)
    notice("{}: tokens that stand twice count at their first id: {}{}", where,
           fmt::join(twice, ", "), n > kShown ? " and others" : "");
  return ids;
}

Result<std::vector<TokenPair>> read_merges(const GgufMetadata& metadata, const std::string& where) {
  LH_TRY(const auto texts,
         read(metadata, where, "merges", &GgufValue::as_strings, "an array of texts"));
  if (!texts) return wrong(where, "merges", "is missing");
  std::vector<TokenPair> merges;
  merges.reserve(texts->size());
  for (const std::string_view text : *texts) {
    // A half may begin with a blank: of a token that is one.
    const size_t blank = text.find(' ', 1);
    if (text.empty() || blank == text.npos || blank + 1 == text.size() ||
        text.find(' ', blank + 1) != text.npos)
      return wrong(
          where, fmt::format("merges[{}]", merges.size()),
          fmt::format("is '{}', expected two texts with one blank between", printable(text)));
    merges.push_back({text.substr(0, blank), text.substr(blank + 1)});
  }
  return merges;
}

Json split(const char* kind, std::string pattern, std::string behaviour) {
  return Json::object({{"type", "Split"},
                       {"pattern", Json::object({{kind, std::move(pattern)}})},
                       {"behavior", std::move(behaviour)},
                       {"invert", false}});
}

Json byte_level(bool add_prefix_space, bool trim_offsets, bool use_regex) {
  return Json::object({{"type", "ByteLevel"},
                       {"add_prefix_space", add_prefix_space},
                       {"trim_offsets", trim_offsets},
                       {"use_regex", use_regex}});
}

Json sequence(const char* members, Json::Array of) {
  return Json::object({{"type", "Sequence"}, {members, Json(std::move(of))}});
}

Json pre_tokenizer(Scheme scheme, const GgufTokenRules& rules) {
  if (scheme != Scheme::kByteLevel) return split("String", " ", "MergedWithPrevious");
  Json::Array splits;
  for (const GgufSplit& s : rules.splits) splits.push_back(split("Regex", s.regex, s.behaviour));
  splits.push_back(byte_level(false, true, false));
  return sequence("pretokenizers", std::move(splits));
}

bool is_byte_level(Scheme scheme) { return scheme == Scheme::kByteLevel; }

Json replacement(std::string_view from, std::string_view to) {
  return Json::object(
      {{"type", "Replace"}, {"pattern", Json::object({{"String", from}})}, {"content", to}});
}

Json decoder(Scheme scheme) {
  if (is_byte_level(scheme)) return byte_level(true, true, true);
  return sequence("decoders", {replacement(kBlank, " "), Json::object({{"type", "ByteFallback"}}),
                               Json::object({{"type", "Fuse"}})});
}

struct Ends {
  std::optional<int64_t> bos, eos;  // that are put around a text
};

Result<Ends> read_ends(const GgufMetadata& metadata, const std::string& where, Scheme scheme,
                       uint64_t n_tokens) {
  LH_TRY(const auto prefix,
         read(metadata, where, "add_space_prefix", &GgufValue::as_bool, "a bool"));
  if (prefix.value_or(false))
    return unsupported("{}: {} is true, expected false; {}", where, key_of("add_space_prefix"),
                       kRemedy);
  LH_TRY(const auto adds_bos,
         read(metadata, where, "add_bos_token", &GgufValue::as_bool, "a bool"));
  LH_TRY(const auto adds_eos,
         read(metadata, where, "add_eos_token", &GgufValue::as_bool, "a bool"));
  LH_TRY(const auto bos, read_id(metadata, where, "bos_token_id", n_tokens));
  LH_TRY(const auto eos, read_id(metadata, where, "eos_token_id", n_tokens));
  Ends ends;
  if (adds_bos.value_or(!is_byte_level(scheme))) ends.bos = bos;
  if (adds_eos.value_or(false)) ends.eos = eos;
  return ends;
}

// Null where nothing is put around a text.
Json post_processor(const Tokens& tokens, const Ends& ends) {
  if (!ends.bos && !ends.eos) return {};
  Json single{Json::Array{}}, special = Json::object({});
  const auto add = [&](int64_t id) {
    const std::string& text = tokens.texts[static_cast<size_t>(id)];
    single.push_back(
        Json::object({{"SpecialToken", Json::object({{"id", text}, {"type_id", 0}})}}));
    special.set(text, Json::object({{"id", text},
                                    {"ids", Json(Json::Array{Json(id)})},
                                    {"tokens", Json(Json::Array{Json(text)})}}));
  };
  if (ends.bos) add(*ends.bos);
  single.push_back(Json::object({{"Sequence", Json::object({{"id", "A"}, {"type_id", 0}})}}));
  if (ends.eos) add(*ends.eos);
  return Json::object({{"type", "TemplateProcessing"},
                       {"single", single},
                       {"pair", Json(Json::Array{})},
                       {"special_tokens", special}});
}

// Control tokens that stand for nothing yet are visible where they are written, as in the released
// files.
bool is_special(const Tokens& tokens, size_t i) {
  if (tokens.types[i] == TokenType::kUserDefined) return false;
  return !tokens.texts[i].starts_with("<unused");
}

Json added_tokens(const Tokens& tokens, const TokenIds& ids) {
  Json added{Json::Array{}};
  for (size_t i = 0; i < tokens.texts.size(); ++i) {
    const TokenType type = tokens.types[i];
    const bool is_added = type == TokenType::kUnknown || type == TokenType::kControl ||
                          type == TokenType::kUserDefined;
    if (!is_added || ids.at(tokens.texts[i]) != static_cast<int32_t>(i)) continue;
    added.push_back(Json::object({{"id", static_cast<int64_t>(i)},
                                  {"content", tokens.texts[i]},
                                  {"single_word", false},
                                  {"lstrip", false},
                                  {"rstrip", false},
                                  {"normalized", false},
                                  {"special", is_special(tokens, i)}}));
  }
  return added;
}

Result<Json> unknown_token(const GgufMetadata& metadata, const std::string& where,
                           const Tokens& tokens, Scheme scheme) {
  if (is_byte_level(scheme)) return Json();
  LH_TRY(const auto id, read_id(metadata, where, "unknown_token_id", tokens.texts.size()));
  if (id) return Json(tokens.texts[static_cast<size_t>(*id)]);
  const auto it = std::find(tokens.types.begin(), tokens.types.end(), TokenType::kUnknown);
  if (it == tokens.types.end()) return Json();
  return Json(tokens.texts[static_cast<size_t>(it - tokens.types.begin())]);
}

// Vocabulary and merges are most of the text: they are written one by one, not as a tree.
std::string write_model(const Tokens& tokens, const TokenIds& ids,
                        std::span<const TokenPair> merges, const Json& unknown, Scheme scheme) {
  const auto quoted = [](std::string_view text) { return Json(text).dump(); };
  const bool has_bytes =
      std::find(tokens.types.begin(), tokens.types.end(), TokenType::kByte) != tokens.types.end();
  std::string out =
      fmt::format(R"({{"type":"BPE","unk_token":{},"fuse_unk":{},"byte_fallback":{},"vocab":{{)",
                  unknown.dump(), !is_byte_level(scheme), has_bytes && !is_byte_level(scheme));
  const char* comma = "";
  for (size_t i = 0; i < tokens.texts.size(); ++i) {
    if (ids.at(tokens.texts[i]) != static_cast<int32_t>(i)) continue;
    out.append(comma).append(quoted(tokens.texts[i])).append(":").append(std::to_string(i));
    comma = ",";
  }
  out += "},\"merges\":[";
  comma = "";
  for (const TokenPair& merge : merges) {
    out.append(comma).append("[").append(quoted(merge.left));
    out.append(",").append(quoted(merge.right)).append("]");
    comma = ",";
  }
  return out + "]}";
}

std::string write_tokenizer(const Json& rest, const std::string& model) {
  std::string out = rest.dump();
  out.pop_back();
  return out + ",\"model\":" + model + "}\n";
}

// The text of the token that a key names, null where it names none.
Result<Json> token_text(const GgufMetadata& metadata, const std::string& where,
                        const std::string& key, std::span<const std::string_view> tokens) {
  LH_TRY(const auto id, read_id(metadata, where, key, tokens.size()));
  return id ? Json(tokens[static_cast<size_t>(*id)]) : Json();
}

// A template that only names a file to include says nothing here.
Status check_template(std::string_view text, const std::string& where, std::string_view key) {
  for (const char* include : {"{% include", "{%- include"}) {
    if (text.find(include) != text.npos)
      return unsupported(
          "{}: {} includes another file, which is not here; put the model's chat_template.jinja "
          "beside the file",
          where, key);
  }
  return {};
}

// The one without a name is the default.
Result<Json> read_templates(const GgufMetadata& metadata, const std::string& where) {
  constexpr std::string_view kKey = "tokenizer.chat_template";
  Json templates = Json::object({});
  for (const GgufKeyValue& entry : metadata.values) {
    const bool is_named = entry.key.starts_with(kKey) && entry.key.size() > kKey.size() + 1 &&
                          entry.key[kKey.size()] == '.';
    if (entry.key != kKey && !is_named) continue;
    const auto text = entry.value.as_string();
    if (!text)
      return corrupt("{}: {} is {}, expected a text; give another template with --chat-template",
                     where, printable(entry.key), entry.value.type_name());
    LH_RETURN_IF_ERROR(check_template(*text, where, printable(entry.key)));
    templates.set(is_named ? std::string(entry.key.substr(kKey.size() + 1)) : "default", *text);
  }
  return templates;
}

}  // namespace

std::optional<uint64_t> gguf_n_tokens(const GgufMetadata& metadata) {
  const GgufValue* tokens = find(metadata, "tokens");
  if (tokens == nullptr || !tokens->is_array()) return std::nullopt;
  return tokens->size();
}

Result<std::optional<std::string>> gguf_tokenizer_json(const GgufMetadata& metadata,
                                                       const std::string& where,
                                                       const GgufTokenRules& rules) {
  if (const GgufValue* whole = metadata.find("tokenizer.huggingface.json");
      whole != nullptr && whole->as_string() && parse_json(*whole->as_string(), where).ok())
    return std::optional(std::string(*whole->as_string()));
  const GgufValue* model = find(metadata, "model");
  const bool has_none =
      model == nullptr ? find(metadata, "tokens") == nullptr : model->as_string() == "none";
  if (has_none) return std::optional<std::string>();
  LH_TRY(const Scheme scheme, read_scheme(metadata, where, rules));
  LH_TRY(const Tokens tokens, read_tokens(metadata, where, scheme, rules));
  const TokenIds ids = ids_of(tokens, where);
  std::vector<TokenPair> merges;
  if (scheme == Scheme::kScores) {
    merges = merges_of_scores(tokens.texts, tokens.scores, ids);
  } else {
    LH_TRY(merges, read_merges(metadata, where));
  }
  LH_TRY(const Ends ends, read_ends(metadata, where, scheme, tokens.texts.size()));
  LH_TRY(const Json unknown, unknown_token(metadata, where, tokens, scheme));
  const Json rest =
      Json::object({{"version", "1.0"},
                    {"added_tokens", added_tokens(tokens, ids)},
                    {"normalizer", is_byte_level(scheme) ? Json() : replacement(" ", kBlank)},
                    {"pre_tokenizer", pre_tokenizer(scheme, rules)},
                    {"post_processor", post_processor(tokens, ends)},
                    {"decoder", decoder(scheme)}});
  return std::optional(write_tokenizer(rest, write_model(tokens, ids, merges, unknown, scheme)));
}

Result<Json> gguf_tokenizer_config(const GgufMetadata& metadata, const std::string& where) {
  LH_TRY(const auto tokens,
         read(metadata, where, "tokens", &GgufValue::as_strings, "an array of texts"));
  const std::vector<std::string_view> texts = tokens.value_or(std::vector<std::string_view>());
  Json config = Json::object({});
  for (const auto& [name, key] : {std::pair{"bos_token", "bos_token_id"},
                                  {"eos_token", "eos_token_id"},
                                  {"unk_token", "unknown_token_id"},
                                  {"pad_token", "padding_token_id"}}) {
    LH_TRY(Json text, token_text(metadata, where, key, texts));
    if (!text.is_null()) config.set(name, std::move(text));
  }
  LH_TRY(Json templates, read_templates(metadata, where));
  if (!templates.as_object()->empty()) config.set("chat_template", std::move(templates));
  return config;
}

Result<Json> gguf_generation_config(const GgufMetadata& metadata, const std::string& where,
                                    const GgufTokenRules& rules) {
  LH_TRY(const auto tokens,
         read(metadata, where, "tokens", &GgufValue::as_strings, "an array of texts"));
  const std::vector<std::string_view> texts = tokens.value_or(std::vector<std::string_view>());
  Json config = Json::object({}), ends{Json::Array{}};
  for (const char* key : {"eos_token_id", "eot_token_id", "eom_token_id"}) {
    LH_TRY(const auto id, read_id(metadata, where, key, texts.size()));
    if (id) ends.push_back(*id);
  }
  for (const std::string& stop : rules.stops) {
    const auto it = std::find(texts.begin(), texts.end(), stop);
    if (it != texts.end()) ends.push_back(static_cast<int64_t>(it - texts.begin()));
  }
  config.set("eos_token_id", std::move(ends));
  for (const auto& [name, key] :
       {std::pair{"bos_token_id", "bos_token_id"}, {"pad_token_id", "padding_token_id"}}) {
    LH_TRY(const auto id, read_id(metadata, where, key, texts.size()));
    if (id) config.set(name, *id);
  }
  LH_TRY(const auto suppressed,
         read(metadata, where, "suppress_tokens", &GgufValue::as_ints, "an array of integers"));
  if (suppressed)
    config.set("suppress_tokens", Json(Json::Array(suppressed->begin(), suppressed->end())));
  for (const auto& [name, key] : {std::pair{"temperature", "general.sampling.temp"},
                                  {"top_p", "general.sampling.top_p"},
                                  {"min_p", "general.sampling.min_p"},
                                  {"top_k", "general.sampling.top_k"}}) {
    const GgufValue* value = metadata.find(key);
    if (value == nullptr) continue;
    const auto whole = value->as_int();
    const auto number = value->as_float();
    if (!whole && !(number && std::isfinite(*number)))
      return corrupt("{}: {} is {}, expected a number; get another conversion", where, key,
                     value->type_name());
    config.set(name, whole ? Json(*whole) : Json(*number));
    config.set("do_sample", true);
  }
  return config;
}

}  // namespace longhaul
