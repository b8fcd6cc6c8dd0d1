// Text to token ids and back, as a Hugging Face tokenizer.json says: the same ids, the same text.
//
// Supported: BPE models with the normalizers, pre-tokenizers, post-processors and decoders of the
// Gemma, Llama, Qwen, DeepSeek, Laguna and ZAYA families. Anything else in a file is an error that
// names it, never a guess.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/errors.h"

namespace longhaul {

struct TokenizerParts;

// A value that shares its tables; all members may be called from several threads.
class Tokenizer {
 public:
  // max_ids: as many ids as the model knows. No text gives an added token beyond them: where a text
  // mentions one, it is text like any other.
  static Result<Tokenizer> load(const std::string& tokenizer_json_path,
                                int64_t max_ids = INT64_MAX);
  // `where` names the text in messages.
  static Result<Tokenizer> parse(std::string_view json, std::string_view where,
                                 int64_t max_ids = INT64_MAX);

  // Text must be UTF-8 (else kInvalidArgument with the byte's offset).
  // parse_special false: special tokens in the text, and added tokens that plain text cannot give,
  // are read as plain text: for text that comes from outside. add_special_tokens: what the file's
  // post-processor puts around a text (<bos>).
  Result<std::vector<int32_t>> encode(std::string_view text, bool parse_special = true,
                                      bool add_special_tokens = false) const;

  // Ids that no token has are skipped. Bytes that are no UTF-8 become U+FFFD.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  std::optional<int32_t> token_to_id(std::string_view token) const;
  // The token as the file writes it (not decoded).
  std::optional<std::string_view> id_to_token(int32_t id) const;
  // One more than the largest id.
  int64_t vocab_size() const;
  bool is_special(int32_t id) const;

 private:
  friend class Detokenizer;
  explicit Tokenizer(std::shared_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {}

  std::shared_ptr<const TokenizerParts> parts_;
};

// Decodes a sequence as it comes. Everything returned, put together, is decode() of the whole
// sequence; no call returns a part of a UTF-8 character.
class Detokenizer {
 public:
  // visible: special tokens that are written all the same.
  explicit Detokenizer(const Tokenizer& tokenizer, bool skip_special = false,
                       std::vector<int32_t> visible = {});
  ~Detokenizer();
  Detokenizer(Detokenizer&&) noexcept;
  Detokenizer& operator=(Detokenizer&&) noexcept;

  std::string push(int32_t id);
  // The text that waited for more, such as the bytes of an unfinished character. Then a new
  // sequence may begin.
  std::string flush();

 private:
  friend class Tokenizer;
  struct Impl;
  void push_to(int32_t id, std::string& out);
  std::unique_ptr<Impl> impl_;
};

}  // namespace longhaul
