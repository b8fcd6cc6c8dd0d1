#include "text/tokenizer/pre_tokenizer.h"

#include "base/utf8.h"
#include "text/tokenizer/split.h"
#include "text/tokenizer/unicode.h"

namespace longhaul {
namespace {

constexpr size_t kMaxSteps = 64;  // they nest
constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// \w+|[^\w\s]+ as Rust's regex library reads it, which is what Whitespace uses.
constexpr std::string_view kWhitespaceRegex =
    R"([\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200C}\x{200D}\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}]+)"
    R"(|[^\s\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200C}\x{200D}\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}]+)";

Result<SplitBehavior> read_behavior(const Fields& fields, std::string_view key) {
  LH_TRY(const std::string name, fields.string(key));
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return unsupported("{}: split behavior '{}' is not supported", fields.at(key), name);
}

}  // namespace

Result<PreTokenizer> PreTokenizer::from_json(const Json* json, const std::string& where) {
  PreTokenizer pre_tokenizer;
  if (json != nullptr && !json->is_null()) LH_RETURN_IF_ERROR(pre_tokenizer.add(*json, where));
  return pre_tokenizer;
}

Status PreTokenizer::add(const Json& json, const std::string& where) {
  LH_TRY(const Fields fields, Fields::of(json, where));
  LH_TRY(const std::string type, fields.string("type"));
  if (type == "Sequence") {
    LH_TRY(const Json::Array* list, fields.array("pretokenizers"));
    for (size_t i = 0; i < list->size(); ++i) {
      LH_RETURN_IF_ERROR(add((*list)[i], fmt::format("{}[{}]", fields.at("pretokenizers"), i)));
    }
    return {};
  }
  if (steps_.size() >= kMaxSteps)
    return unsupported("{}: more than {} pre-tokenizers", where, kMaxSteps);
  // Later steps would see characters of the byte alphabet, which pieces here are written in only
  // when BPE takes them.
  if (byte_alphabet_)
    return unsupported("{}: a pre-tokenizer ('{}') behind ByteLevel", where, type);
  if (type == "Split") return add_split(fields);
  if (type == "ByteLevel") return add_byte_level(fields);
  if (type == "Metaspace") return add_metaspace(fields);
  if (type == "Whitespace")
    return add_regex(kWhitespaceRegex, SplitBehavior::kRemoved, true, where);
  if (type == "WhitespaceSplit") {
    add_class(CharClass::kWhiteSpace, SplitBehavior::kRemoved);
    return {};
  }
  if (type == "Digits") {
    LH_TRY(const bool individual, fields.boolean_or("individual_digits", false));
    add_class(CharClass::kNumeric,
              individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous);
    return {};
  }
  if (type == "Punctuation") {
    auto behavior = SplitBehavior::kIsolated;
    if (fields.get("behavior") != nullptr) {
      LH_TRY(behavior, read_behavior(fields, "behavior"));
    }
    add_class(CharClass::kPunctuation, behavior);
    return {};
  }
  return unsupported("{}: pre-tokenizer '{}' is not supported", fields.at("type"), type);
}

Status PreTokenizer::add_split(const Fields& fields) {
  LH_TRY(Pattern pattern, Pattern::from_json(fields, "pattern"));
  LH_TRY(const SplitBehavior behavior, read_behavior(fields, "behavior"));
  LH_TRY(const bool invert, fields.boolean_or("invert", false));
  steps_.push_back(Split{std::move(pattern), behavior, invert});
  return {};
}

Status PreTokenizer::add_byte_level(const Fields& fields) {
  LH_TRY(const bool prefix, fields.boolean_or("add_prefix_space", true));
  LH_TRY(const bool use_regex, fields.boolean_or("use_regex", true));
  if (prefix) steps_.push_back(PrefixSpace{});
  if (use_regex)
    LH_RETURN_IF_ERROR(add_regex(kGpt2Regex, SplitBehavior::kIsolated, false, fields.path()));
  byte_alphabet_ = true;
  return {};
}

Status PreTokenizer::add_metaspace(const Fields& fields) {
  LH_TRY(const char32_t c, fields.character("replacement"));
  std::string replacement;
  append_utf8(replacement, c);
  // Old files have add_prefix_space instead of prepend_scheme.
  LH_TRY(const bool prefix, fields.boolean_or("add_prefix_space", true));
  auto scheme = prefix ? PrependScheme::kAlways : PrependScheme::kNever;
  if (fields.get("prepend_scheme") != nullptr) {
    LH_TRY(const std::string name, fields.string("prepend_scheme"));
    if (name != "always" && name != "first" && name != "never") {
      return unsupported("{}: '{}' is not supported", fields.at("prepend_scheme"), name);
    }
    scheme = name == "always"  ? PrependScheme::kAlways
             : name == "first" ? PrependScheme::kFirst
                               : PrependScheme::kNever;
  }
  LH_TRY(const bool split, fields.boolean_or("split", true));
  steps_.push_back(Metaspace{replacement, scheme});
  if (split)
    steps_.push_back(Split{Pattern::literal(replacement), SplitBehavior::kMergedWithNext, false});
  return {};
}

Status PreTokenizer::add_regex(std::string_view text, SplitBehavior behavior, bool invert,
                               const std::string& where) {
  LH_TRY(Pattern pattern, Pattern::regex(text, where));
  steps_.push_back(Split{std::move(pattern), behavior, invert});
  return {};
}

// One text on its way through the steps.
class PreTokenizer::Run {
 public:
  Run(const std::vector<Step>& steps, RegexScratch& scratch, const Sink& sink)
      : steps_(steps), scratch_(scratch), sink_(sink), buffers_(steps.size()) {}

  // False: error() tells why.
  bool step(size_t index, std::string_view piece, bool at_start) {
    if (piece.empty()) return true;
    if (index == steps_.size()) {
      sink_(piece);
      return true;
    }
    if (const auto* split = std::get_if<Split>(&steps_[index]))
      return run_split(index, *split, piece, at_start);
    if (const auto* space = std::get_if<Metaspace>(&steps_[index]))
      return run_metaspace(index, *space, piece, at_start);
    if (piece.starts_with(' ')) return step(index + 1, piece, at_start);
    buffers_[index].assign(1, ' ').append(piece);
    return step(index + 1, buffers_[index], at_start);
  }
  Error take_error() { return std::move(error_); }

 private:
  bool run_split(size_t index, const Split& split, std::string_view piece, bool at_start) {
    const auto emit = [&](MatchRange range) {
      return step(index + 1, piece.substr(range.begin, range.end - range.begin),
                  at_start && range.begin == 0);
    };
    Splitter splitter(split.behavior, split.invert, piece.size(), emit);
    if (const auto* pattern = std::get_if<Pattern>(&split.what)) {
      bool going = true;
      auto status = pattern->for_each(
          piece, scratch_, [&](MatchRange match) { return going = splitter.match(match); });
      if (!status.ok()) error_ = status.take_error();
      if (!status.ok() || !going) return false;
    } else {
      const auto what = std::get<CharClass>(split.what);
      for (size_t pos = 0; pos < piece.size();) {
        const Utf8Char c = utf8_char_at(piece, pos);
        if (is_in(what, c.code_point) && !splitter.match({pos, pos + c.size})) return false;
        pos += c.size;
      }
    }
    return splitter.finish();
  }

  bool run_metaspace(size_t index, const Metaspace& space, std::string_view piece, bool at_start) {
    std::string& text = buffers_[index];
    text.clear();
    for (const char c : piece) {
      if (c == ' ') {
        text += space.replacement;
      } else {
        text += c;
      }
    }
    const bool prepend = space.scheme == PrependScheme::kAlways ||
                         (space.scheme == PrependScheme::kFirst && at_start);
    if (prepend && !text.starts_with(space.replacement)) text.insert(0, space.replacement);
    return step(index + 1, text, at_start);
  }

  static bool is_in(CharClass what, char32_t c) {
    switch (what) {
      case CharClass::kNumeric: return is_numeric(c);
      case CharClass::kWhiteSpace: return is_white_space(c);
      case CharClass::kPunctuation: return is_punctuation(c);
    }
    return false;
  }

  const std::vector<Step>& steps_;
  RegexScratch& scratch_;
  const Sink& sink_;
  std::vector<std::string> buffers_;  // one a step: steps nest
  Error error_;
};

Status PreTokenizer::run(std::string_view text, bool at_start, RegexScratch& scratch,
                         const Sink& sink) const {
  Run run(steps_, scratch, sink);
  if (run.step(0, text, at_start)) return {};
  return run.take_error();
}

}  // namespace longhaul
