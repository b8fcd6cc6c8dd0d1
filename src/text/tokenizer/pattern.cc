#include "text/tokenizer/pattern.h"

namespace longhaul {

Result<Pattern> Pattern::regex(std::string_view text, const std::string& where) {
  LH_TRY(Regex regex, Regex::compile(text, where));
  return Pattern(std::move(regex));
}

Result<Pattern> Pattern::from_json(const Fields& owner, std::string_view key) {
  LH_TRY(const Fields fields, owner.object(key));
  if (fields.get("Regex") != nullptr) {
    LH_TRY(const std::string text, fields.string("Regex"));
    return Pattern::regex(text, fields.at("Regex"));
  }
  if (fields.get("String") == nullptr)
    return unsupported("{}: neither 'String' nor 'Regex'", owner.at(key));
  LH_TRY(std::string text, fields.string("String"));
  if (text.empty()) return unsupported("{}: an empty pattern", fields.at("String"));
  return Pattern::literal(std::move(text));
}

Result<std::optional<MatchRange>> Pattern::find(std::string_view text, size_t from,
                                                RegexScratch& scratch) const {
  if (const auto* regex = std::get_if<Regex>(&what_)) return regex->find(text, from, scratch);
  const auto& literal = std::get<std::string>(what_);
  const size_t begin = text.find(literal, from);
  if (begin == text.npos) return std::optional<MatchRange>();
  return std::optional<MatchRange>(MatchRange{begin, begin + literal.size()});
}

Result<std::string> Pattern::replace_all(std::string_view text, std::string_view content,
                                         RegexScratch& scratch) const {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  size_t copied = 0;
  LH_RETURN_IF_ERROR(for_each(text, scratch, [&](MatchRange match) {
    out.append(text.substr(copied, match.begin - copied)).append(content);
    copied = match.end;
    return true;
  }));
  out.append(text.substr(copied));
  return out;
}

}  // namespace longhaul
