// Cuts a template into tokens, and settles all whitespace control on the way: trim_blocks,
// lstrip_blocks, '-' and '+'.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/errors.h"

namespace longhaul::jinja {

enum class TokenKind {
  kData,
  kOutputBegin,
  kOutputEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct Token {
  TokenKind kind;
  int line;
  std::string text;  // data, a name, a string's value, an operator's spelling
  int64_t integer = 0;
  double real = 0;
};

// Messages start with `where` and the line.
Result<std::vector<Token>> tokenize(std::string_view source, std::string_view where);

}  // namespace longhaul::jinja
