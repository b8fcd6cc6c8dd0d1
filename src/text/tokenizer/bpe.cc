#include "text/tokenizer/bpe.h"

#include <algorithm>
#include <span>
#include <string>

#include "base/utf8.h"
#include "text/tokenizer/byte_alphabet.h"

namespace longhaul {
namespace {

std::string alphabet_text(std::string_view bytes) {
  std::string text;
  for (const char b : bytes) append_utf8(text, kByteToChar[static_cast<unsigned char>(b)]);
  return text;
}

}  // namespace

Result<Bpe> Bpe::build(const Fields& fields, Vocabulary vocabulary, const MergeTexts& merges,
                       const std::string& where) {
  Bpe bpe;
  bpe.vocabulary_ = std::move(vocabulary);
  LH_RETURN_IF_ERROR(bpe.read_options(fields));
  LH_TRY(bpe.merges_, Merges::build(merges, bpe.vocabulary_, where + ": model.merges"));
  bpe.find_byte_tokens();
  std::vector<int32_t> loose;
  bool all_bytes = bpe.byte_fallback_;
  for (const int32_t id : bpe.byte_tokens_) {
    all_bytes = all_bytes && id != kNoId;
    if (id != kNoId) loose.push_back(id);
  }
  if (bpe.unk_id_ != kNoId) loose.push_back(bpe.unk_id_);
  bpe.cuts_ = SafeCuts::build(merges, bpe.vocabulary_, all_bytes, loose);
  return bpe;
}

Status Bpe::read_options(const Fields& fields) {
  if (const Json* dropout = fields.get("dropout");
      dropout != nullptr && (!dropout->is_number() || dropout->number() != 0)) {
    return unsupported("{}: only null or 0 is supported, since encoding must not be random",
                       fields.at("dropout"));
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (fields.get(key) == nullptr) continue;
    LH_TRY(const std::string text, fields.string(key));
    if (!text.empty())
      return unsupported("{}: '{}' (only null or empty is supported)", fields.at(key), text);
  }
  LH_TRY(ignore_merges_, fields.boolean_or("ignore_merges", false));
  LH_TRY(fuse_unk_, fields.boolean_or("fuse_unk", false));
  LH_TRY(byte_fallback_, fields.boolean_or("byte_fallback", false));
  if (fields.get("unk_token") != nullptr) {
    LH_TRY(const std::string unk, fields.string("unk_token"));
    const auto id = vocabulary_.find(unk);
    if (!id) return corrupt("{}: '{}' is not in the vocabulary", fields.at("unk_token"), unk);
    unk_id_ = *id;
  }
  return {};
}

void Bpe::find_byte_tokens() {
  byte_tokens_.fill(kNoId);
  if (!byte_fallback_) return;
  for (int b = 0; b < 256; ++b) {
    if (const auto id = vocabulary_.find(fmt::format("<0x{:02X}>", b)))
      byte_tokens_[static_cast<size_t>(b)] = *id;
  }
}

Status Bpe::use_byte_alphabet() {
  byte_alphabet_ = true;
  for (size_t b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    alphabet_ids_[b] = vocabulary_.find(alphabet_text({&byte, 1})).value_or(kNoId);
    if (alphabet_ids_[b] == kNoId && byte_fallback_) {
      return unsupported(
          "model.byte_fallback: with a ByteLevel pre-tokenizer, and byte {} not in the vocabulary",
          b);
    }
  }
  return {};
}

void BpeEncoder::encode(std::string_view piece, std::vector<int32_t>& out) {
  // A short piece of a byte-level model is a word already. Without a splitting pre-tokenizer it may
  // be a sentence.
  if (bpe_.byte_alphabet_ && piece.size() <= WordCache::kMaxWord) {
    if (cache_.find(piece, out)) return;
    const size_t begin = out.size();
    if (!bpe_.ignore_merges_ || !put_whole(piece, out)) encode_word(piece, out);
    cache_.put(piece, std::span(out).subspan(begin));
    return;
  }
  if (bpe_.ignore_merges_ && put_whole(piece, out)) return;
  // With ignore_merges a word that is a part of a piece need not become what it becomes as a piece:
  // they can't share lines.
  const bool cached = !(bpe_.byte_alphabet_ && bpe_.ignore_merges_);
  for (size_t begin = 0; begin < piece.size();) {
    const size_t end =
        bpe_.byte_alphabet_ ? next_cut_in_bytes(piece, begin) : next_cut(piece, begin);
    const std::string_view word = piece.substr(begin, end - begin);
    begin = end;
    if (cached && cache_.find(word, out)) continue;
    const size_t first = out.size();
    encode_word(word, out);
    if (cached) cache_.put(word, std::span(out).subspan(first));
  }
}

bool BpeEncoder::put_whole(std::string_view piece, std::vector<int32_t>& out) {
  const auto id =
      bpe_.vocabulary_.find(bpe_.byte_alphabet_ ? std::string_view(alphabet_text(piece)) : piece);
  if (id) out.push_back(*id);
  return id.has_value();
}

void BpeEncoder::encode_word(std::string_view word, std::vector<int32_t>& out) {
  symbols_.clear();
  if (bpe_.byte_alphabet_) {
    start_byte_symbols(word);
  } else {
    start_symbols(word);
  }
  loop_.run(symbols_);
  out.insert(out.end(), symbols_.begin(), symbols_.end());
}

// The end of the word that begins at `from`: the next place where a cut is safe.
size_t BpeEncoder::next_cut(std::string_view text, size_t from) const {
  Utf8Char left = utf8_char_at(text, from);
  size_t pos = from + left.size;
  while (pos < text.size()) {
    const Utf8Char right = utf8_char_at(text, pos);
    if (is_cut(text.substr(pos - left.size, left.size), left, text.substr(pos, right.size), right))
      break;
    left = right;
    pos += right.size;
  }
  return pos;
}

bool BpeEncoder::is_cut(std::string_view left, Utf8Char left_char, std::string_view right,
                        Utf8Char right_char) const {
  if (!bpe_.cuts_.between(left_char.code_point, right_char.code_point)) return false;
  return bpe_.cuts_.unknown_is_safe() || (bpe_.find_char(left) && bpe_.find_char(right));
}

size_t BpeEncoder::next_cut_in_bytes(std::string_view text, size_t from) const {
  for (size_t pos = from + 1; pos < text.size(); ++pos) {
    const auto left = static_cast<unsigned char>(text[pos - 1]),
               right = static_cast<unsigned char>(text[pos]);
    if (bpe_.alphabet_ids_[left] < 0 || bpe_.alphabet_ids_[right] < 0) continue;
    if (bpe_.cuts_.between(kByteToChar[left], kByteToChar[right])) return pos;
  }
  return text.size();
}

// The order is Hugging Face's, also where byte tokens are incomplete: a pending unknown token waits
// for the next known character, so byte tokens in between come before it.
void BpeEncoder::start_symbols(std::string_view word) {
  bool pending = false;
  const auto flush = [&] {
    if (pending) symbols_.push_back(bpe_.unk_id_);
    pending = false;
  };
  for (size_t pos = 0; pos < word.size();) {
    const std::string_view c = word.substr(pos, utf8_char_at(word, pos).size);
    pos += c.size();
    if (const auto id = bpe_.find_char(c)) {
      flush();
      symbols_.push_back(*id);
      continue;
    }
    const auto token_of = [&](char b) { return bpe_.byte_tokens_[static_cast<unsigned char>(b)]; };
    const bool has_bytes = bpe_.byte_fallback_ && std::all_of(c.begin(), c.end(), [&](char b) {
                             return token_of(b) >= 0;
                           });
    if (has_bytes) {
      for (const char b : c) symbols_.push_back(token_of(b));
      continue;
    }
    if (bpe_.unk_id_ < 0) continue;  // nothing stands for it: dropped
    if (!bpe_.fuse_unk_) flush();
    pending = true;
  }
  flush();
}

void BpeEncoder::start_byte_symbols(std::string_view word) {
  bool pending = false;
  const auto flush = [&] {
    if (pending) symbols_.push_back(bpe_.unk_id_);
    pending = false;
  };
  for (const char b : word) {
    const int32_t id = bpe_.alphabet_ids_[static_cast<unsigned char>(b)];
    if (id >= 0) {
      flush();
      symbols_.push_back(id);
    } else if (bpe_.unk_id_ >= 0) {
      if (!bpe_.fuse_unk_) flush();
      pending = true;
    }
  }
  flush();
}

}  // namespace longhaul
