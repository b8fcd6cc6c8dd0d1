// Reads a tokenizer.json into the parts that encode and decode.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/errors.h"
#include "text/tokenizer/added_tokens.h"
#include "text/tokenizer/bpe.h"
#include "text/tokenizer/decoder.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/post_processor.h"
#include "text/tokenizer/pre_tokenizer.h"

namespace longhaul {

struct TokenizerParts {
  Normalizer normalizer;
  AddedTokens added;
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  PostProcessor post_processor;
  Decoder decoder;
  int64_t max_ids = INT64_MAX;  // as many as the model knows
};

// The text is input from outside: every type, id, duplicate and reference is checked.
// No text gives an added token with an id of max_ids or more.
Result<TokenizerParts> read_tokenizer_json(std::string_view json, std::string_view where,
                                           int64_t max_ids);

}  // namespace longhaul
