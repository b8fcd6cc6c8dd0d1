// The first bytes, up to a 0xFF, are a tokenizer.json; where it loads, the rest is encoded and
// decoded.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/utf8.h"
#include "check_error.h"
#include "text/tokenizer/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using longhaul::Detokenizer;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const size_t cut = all.find('\xff');
  const auto tokenizer = longhaul::Tokenizer::parse(all.substr(0, cut), "fuzz");
  if (!tokenizer.ok()) {
    longhaul::check_error(tokenizer.error());
    return 0;
  }
  const std::string_view text = cut == all.npos ? std::string_view() : all.substr(cut + 1);
  const auto ids = tokenizer->encode(text, size % 2 == 0, size % 3 == 0);
  if (!ids.ok()) {
    longhaul::check_error(ids.error());
    return 0;
  }
  const std::string decoded = tokenizer->decode(*ids);
  Detokenizer detokenizer(*tokenizer);
  std::string streamed;
  for (const int32_t id : *ids) {
    const std::string part = detokenizer.push(id);
    if (longhaul::find_invalid_utf8(part)) std::abort();
    streamed += part;
  }
  streamed += detokenizer.flush();
  if (streamed != decoded) std::abort();
  return 0;
}
