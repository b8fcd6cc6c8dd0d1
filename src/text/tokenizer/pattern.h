// What a normalizer, splitter or decoder looks for: a literal text or a regular expression.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "base/utf8.h"
#include "text/tokenizer/json_fields.h"
#include "text/tokenizer/regex.h"

namespace longhaul {

class Pattern {
 public:
  static Pattern literal(std::string text) { return Pattern(std::move(text)); }
  static Result<Pattern> regex(std::string_view text, const std::string& where);
  // {"String": "..."} or {"Regex": "..."}
  static Result<Pattern> from_json(const Fields& owner, std::string_view key);

  // All matches from left to right, none overlapping, given to on_match(MatchRange), which returns
  // false to stop. An empty match right behind the previous match is skipped, as in Oniguruma's and
  // Rust's iterators.
  template <class OnMatch>
  Status for_each(std::string_view text, RegexScratch& scratch, OnMatch&& on_match) const;

  // `text` with every match replaced, literally.
  Result<std::string> replace_all(std::string_view text, std::string_view content,
                                  RegexScratch& scratch) const;

 private:
  explicit Pattern(std::variant<std::string, Regex> what) : what_(std::move(what)) {}
  Result<std::optional<MatchRange>> find(std::string_view text, size_t from,
                                         RegexScratch& scratch) const;

  std::variant<std::string, Regex> what_;
};

template <class OnMatch>
Status Pattern::for_each(std::string_view text, RegexScratch& scratch, OnMatch&& on_match) const {
  size_t from = 0;
  std::optional<size_t> last_end;
  while (from <= text.size()) {
    LH_TRY(const auto match, find(text, from, scratch));
    if (!match) break;
    if (match->begin == match->end && last_end == match->end) {
      from += from < text.size() ? utf8_char_at(text, from).size : 1;
      continue;
    }
    from = match->end;
    last_end = match->end;
    if (!on_match(*match)) break;
  }
  return {};
}

}  // namespace longhaul
