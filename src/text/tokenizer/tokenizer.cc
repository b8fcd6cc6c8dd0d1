#include "text/tokenizer/tokenizer.h"

#include <algorithm>

#include "base/mapped_file.h"
#include "base/utf8.h"
#include "text/tokenizer/tokenizer_json.h"

namespace longhaul {

Result<Tokenizer> Tokenizer::load(const std::string& tokenizer_json_path, int64_t max_ids) {
  LH_TRY(const MappedFile file, MappedFile::open(tokenizer_json_path));
  const auto bytes = file.bytes();
  return parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, tokenizer_json_path,
               max_ids);
}

Result<Tokenizer> Tokenizer::parse(std::string_view json, std::string_view where, int64_t max_ids) {
  LH_TRY(TokenizerParts parts,
         or_remedy(read_tokenizer_json(json, where, max_ids),
                   "get the tokenizer.json that was published with the model"));
  return Tokenizer(std::make_shared<const TokenizerParts>(std::move(parts)));
}

Result<std::vector<int32_t>> Tokenizer::encode(std::string_view text, bool parse_special,
                                               bool add_special_tokens) const {
  const TokenizerParts& parts = *parts_;
  if (text.size() > kMaxTextBytes)
    return invalid("a text of {} bytes, at most {} are encoded at once; give a shorter one",
                   text.size(), kMaxTextBytes);
  if (const auto bad = find_invalid_utf8(text))
    return invalid("the text is not UTF-8: ill-formed byte at offset {}; convert it to UTF-8",
                   *bad);

  std::vector<int32_t> ids;
  if (add_special_tokens) ids = parts.post_processor.prefix();
  RegexScratch scratch;
  BpeEncoder encoder(parts.bpe, text.size());
  const PreTokenizer::Sink to_ids = [&](std::string_view piece) { encoder.encode(piece, ids); };
  std::string buffer;
  LH_RETURN_IF_ERROR(parts.added.split(
      text, false, parse_special, [&](std::string_view part, const AddedToken* token) -> Status {
        if (token != nullptr) {
          ids.push_back(token->id);
          return {};
        }
        LH_TRY(const std::string_view normalized, parts.normalizer.run(part, buffer, scratch));
        const bool at_start = part.data() == text.data();
        return parts.added.split(normalized, true, parse_special,
                                 [&](std::string_view rest, const AddedToken* found) -> Status {
                                   if (found == nullptr) {
                                     return parts.pre_tokenizer.run(
                                         rest, at_start && rest.data() == normalized.data(),
                                         scratch, to_ids);
                                   }
                                   ids.push_back(found->id);
                                   return {};
                                 });
      }));
  if (add_special_tokens)
    ids.insert(ids.end(), parts.post_processor.suffix().begin(),
               parts.post_processor.suffix().end());
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  Detokenizer detokenizer(*this, skip_special);
  std::string text;
  for (const int32_t id : ids) detokenizer.push_to(id, text);
  return text + detokenizer.flush();
}

std::optional<int32_t> Tokenizer::token_to_id(std::string_view token) const {
  if (const AddedToken* added = parts_->added.find(token)) return added->id;
  const auto id = parts_->bpe.vocabulary().find(token);
  return id && *id < parts_->max_ids ? id : std::nullopt;
}

std::optional<std::string_view> Tokenizer::id_to_token(int32_t id) const {
  if (const AddedToken* added = parts_->added.find(id)) return added->content;
  if (!parts_->bpe.vocabulary().contains(id)) return std::nullopt;
  return parts_->bpe.vocabulary().text(id);
}

int64_t Tokenizer::vocab_size() const {
  return std::max<int64_t>(parts_->bpe.vocabulary().size(), parts_->added.max_id() + int64_t{1});
}

bool Tokenizer::is_special(int32_t id) const {
  const AddedToken* added = parts_->added.find(id);
  return added != nullptr && added->special;
}

struct Detokenizer::Impl {
  Tokenizer tokenizer;  // keeps the tables alive
  bool skip_special;
  std::vector<int32_t> visible;
  DecodeStream stream;

  bool writes(const AddedToken& token) const {
    return !skip_special || !token.special ||
           std::find(visible.begin(), visible.end(), token.id) != visible.end();
  }
};

Detokenizer::Detokenizer(const Tokenizer& tokenizer, bool skip_special,
                         std::vector<int32_t> visible)
    : impl_(new Impl{tokenizer, skip_special, std::move(visible),
                     DecodeStream(tokenizer.parts_->decoder)}) {}
Detokenizer::~Detokenizer() = default;
Detokenizer::Detokenizer(Detokenizer&&) noexcept = default;
Detokenizer& Detokenizer::operator=(Detokenizer&&) noexcept = default;

void Detokenizer::push_to(int32_t id, std::string& out) {
  const TokenizerParts& parts = *impl_->tokenizer.parts_;
  if (const AddedToken* added = parts.added.find(id)) {
    if (impl_->writes(*added)) impl_->stream.push(added->decoded, out);
  } else if (parts.bpe.vocabulary().contains(id)) {
    impl_->stream.push(parts.bpe.vocabulary().text(id), out);
  }
}

std::string Detokenizer::push(int32_t id) {
  std::string out;
  push_to(id, out);
  return out;
}

std::string Detokenizer::flush() {
  std::string out;
  impl_->stream.finish(out);
  return out;
}

}  // namespace longhaul
