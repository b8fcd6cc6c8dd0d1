// Regular expressions of tokenizer files. They are written for Oniguruma; PCRE2 runs them after a
// translation that keeps their meaning (regex_translate.cc) or refuses them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/errors.h"

namespace longhaul {

// Oniguruma pattern to PCRE2 pattern, for the options that Regex compiles with. kUnsupported names
// the construct.
Result<std::string> translate_regex(std::string_view onig_pattern);

// What one thread needs to match: kept across calls, not shared between threads.
class RegexScratch {
 public:
  RegexScratch();
  ~RegexScratch();
  RegexScratch(const RegexScratch&) = delete;
  RegexScratch& operator=(const RegexScratch&) = delete;

 private:
  friend class Regex;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

struct MatchRange {
  size_t begin;
  size_t end;
};

class Regex {
 public:
  static Result<Regex> compile(std::string_view onig_pattern, const std::string& where);

  // The leftmost match at or after `from`. Text must be well-formed UTF-8 and `from` a character's
  // start: nothing checks again, since a check per match would make splitting a text quadratic.
  Result<std::optional<MatchRange>> find(std::string_view text, size_t from,
                                         RegexScratch& scratch) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

}  // namespace longhaul
