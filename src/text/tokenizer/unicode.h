// The Unicode questions that tokenizer files ask, answered by utf8proc's tables (Unicode 15; see
// docs on other versions).
#pragma once

#include <string>
#include <string_view>

#include "base/errors.h"

namespace longhaul {

bool is_white_space(char32_t c);  // the White_Space property
bool is_numeric(char32_t c);      // Nd, Nl, No
bool is_punctuation(char32_t c);  // P*, or ASCII punctuation (which holds symbols such as '+')
bool is_word(
    char32_t c);  // letters, marks, digits, connectors, joiners: \w of Rust's regex library

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

// The normalised form of well-formed text. n log n for any input: long runs of combining marks are
// sorted, not bubbled.
Result<std::string> normalize_unicode(std::string_view text, UnicodeForm form);

}  // namespace longhaul
