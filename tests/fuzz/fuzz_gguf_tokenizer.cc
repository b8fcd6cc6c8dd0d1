// The texts that a GGUF file keeps as metadata, rebuilt as those of a folder. A tokenizer that is
// accepted must encode and decode.

#include <cstdint>

#include "base/check.h"
#include "base/notice.h"
#include "check_error.h"
#include "formats/gguf.h"
#include "formats/gguf_tokenizer.h"
#include "text/tokenizer/tokenizer.h"

namespace longhaul {
namespace {

void check_tokenizer(const std::string& json) {
  const auto tokenizer = Tokenizer::parse(json, "input: tokenizer");
  if (!tokenizer.ok()) return check_error(tokenizer.error());
  const auto ids = tokenizer->encode("a b  ab\n<bos>", true, true);
  LH_CHECK(ids.ok());
  for (const int32_t id : *ids) LH_CHECK(id >= 0 && id < tokenizer->vocab_size());
  tokenizer->decode(*ids);
}

}  // namespace
}  // namespace longhaul

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace longhaul;
  const NoticeScope silent([](std::string_view) {});
  const auto header = parse_gguf_header(std::as_bytes(std::span(data, size)), "input");
  if (!header.ok()) return 0;
  const GgufTokenRules rules{.stops = {"<end_of_turn>"},
                             .control = {"<start_of_turn>"},
                             .merged_model = "gemma4",
                             .pre = {"laguna", "joyai-llm"},
                             .splits = {{R"(\p{N}{1,3})", "Isolated"}}};
  const auto tokenizer = gguf_tokenizer_json(header->metadata, "input", rules);
  if (!tokenizer.ok()) {
    check_error(tokenizer.error());
  } else if (*tokenizer) {
    check_tokenizer(**tokenizer);
  }
  const auto config = gguf_tokenizer_config(header->metadata, "input");
  if (!config.ok()) check_error(config.error());
  const auto generation = gguf_generation_config(header->metadata, "input", rules);
  if (!generation.ok()) check_error(generation.error());
  return 0;
}
