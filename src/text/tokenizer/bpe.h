// The BPE model of a tokenizer: a vocabulary, merges, and what happens to characters outside the
// vocabulary.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/tokenizer/json_fields.h"
#include "text/tokenizer/merge_loop.h"
#include "text/tokenizer/merges.h"
#include "text/tokenizer/safe_cuts.h"
#include "text/tokenizer/vocabulary.h"
#include "text/tokenizer/word_cache.h"

namespace longhaul {

class Bpe {
 public:
  // `fields` is the model's object without its vocabulary and merges. `where` names the file.
  static Result<Bpe> build(const Fields& fields, Vocabulary vocabulary, const MergeTexts& merges,
                           const std::string& where);

  const Vocabulary& vocabulary() const { return vocabulary_; }

  // Input bytes stand for characters of the byte alphabet (a ByteLevel pre-tokenizer), not for
  // themselves.
  Status use_byte_alphabet();

 private:
  friend class BpeEncoder;
  static constexpr int32_t kNoId = -1;

  Status read_options(const Fields& fields);
  void find_byte_tokens();
  std::optional<int32_t> find_char(std::string_view utf8) const { return vocabulary_.find(utf8); }

  Vocabulary vocabulary_;
  Merges merges_;
  SafeCuts cuts_;
  bool ignore_merges_ = false;
  bool fuse_unk_ = false;
  bool byte_fallback_ = false;
  int32_t unk_id_ = kNoId;
  std::array<int32_t, 256> byte_tokens_{};  // "<0x00>".. of byte_fallback
  bool byte_alphabet_ = false;
  std::array<int32_t, 256> alphabet_ids_{};  // the one-character tokens of the byte alphabet
};

// Encodes the pieces of one text: not shared between threads.
class BpeEncoder {
 public:
  // `text_bytes`: about how much will come.
  BpeEncoder(const Bpe& bpe, size_t text_bytes)
      : bpe_(bpe), cache_(text_bytes), loop_(bpe.merges_) {}

  // Appends the ids of one piece (what the pre-tokenizer left whole).
  void encode(std::string_view piece, std::vector<int32_t>& out);

 private:
  void encode_word(std::string_view word, std::vector<int32_t>& out);
  bool put_whole(std::string_view piece, std::vector<int32_t>& out);
  size_t next_cut(std::string_view text, size_t from) const;
  size_t next_cut_in_bytes(std::string_view text, size_t from) const;
  bool is_cut(std::string_view left, Utf8Char left_char, std::string_view right,
              Utf8Char right_char) const;
  void start_symbols(std::string_view word);
  void start_byte_symbols(std::string_view word);

  const Bpe& bpe_;
  WordCache cache_;
  MergeLoop loop_;
  std::vector<int32_t> symbols_;
};

}  // namespace longhaul
