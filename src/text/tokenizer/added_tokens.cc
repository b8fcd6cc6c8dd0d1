#include "text/tokenizer/added_tokens.h"

#include <algorithm>

#include "base/utf8.h"
#include "text/tokenizer/unicode.h"

namespace longhaul {
namespace {

// The search walks the trie from each position: a bound on the texts' length bounds its time.
constexpr size_t kMaxContent = 1024;
constexpr int64_t kMaxId = int64_t{1} << 23;

bool ends_with_word(std::string_view text) {
  return !text.empty() && is_word(utf8_last_char(text).code_point);
}
bool starts_with_word(std::string_view text) {
  return !text.empty() && is_word(utf8_char_at(text, 0).code_point);
}

}  // namespace

void TextTrie::add(std::string_view text, uint32_t value) {
  const auto new_node = [&](unsigned char byte) {
    nodes_.push_back({.byte = byte});
    return static_cast<uint32_t>(nodes_.size() - 1);
  };
  const auto first = static_cast<unsigned char>(text[0]);
  if (roots_[first] == 0) roots_[first] = new_node(first) + 1;
  uint32_t node = roots_[first] - 1;
  for (const char c : text.substr(1)) {
    const auto byte = static_cast<unsigned char>(c);
    uint32_t next = child(node, byte);
    if (next == kNone) {
      next = new_node(byte);
      nodes_[next].next_sibling = nodes_[node].first_child;
      nodes_[node].first_child = next;
    }
    node = next;
  }
  if (nodes_[node].value == kNone) nodes_[node].value = value;
}

uint32_t TextTrie::child(uint32_t node, unsigned char byte) const {
  uint32_t c = nodes_[node].first_child;
  while (c != kNone && nodes_[c].byte != byte) c = nodes_[c].next_sibling;
  return c;
}

std::optional<TextTrie::Match> TextTrie::find(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    const uint32_t root = roots_[static_cast<unsigned char>(text[begin])];
    if (root == 0) continue;
    std::optional<Match> longest;
    uint32_t node = root - 1;
    for (size_t end = begin + 1; node != kNone; ++end) {
      if (nodes_[node].value != kNone) longest = Match{begin, end, nodes_[node].value};
      if (end == text.size()) break;
      node = child(node, static_cast<unsigned char>(text[end]));
    }
    if (longest) return longest;
  }
  return std::nullopt;
}

Result<AddedTokens> AddedTokens::from_json(const Json* json, const Vocabulary& vocabulary,
                                           const Normalizer& normalizer, int64_t max_ids,
                                           const std::string& where) {
  AddedTokens added;
  if (json == nullptr || json->is_null()) return added;
  if (json->as_array() == nullptr)
    return corrupt("{}: expected an array, found {}", where, json->type_name());
  for (size_t i = 0; i < json->as_array()->size(); ++i) {
    LH_RETURN_IF_ERROR(
        added.add((*json->as_array())[i], vocabulary, fmt::format("{}[{}]", where, i)));
  }
  // Special tokens first, as Hugging Face does: it decides which of two tokens with one normalized
  // content is found.
  RegexScratch scratch;
  for (const bool special : {true, false}) {
    for (uint32_t i = 0; i < added.tokens_.size(); ++i) {
      AddedToken& token = added.tokens_[i];
      if (token.special != special || token.id >= max_ids) continue;
      if (!token.normalized) {
        token.decoded = token.content;
        added.raw_.add(token.content, i);
        continue;
      }
      std::string buffer;
      LH_TRY(const std::string_view content, normalizer.run(token.content, buffer, scratch));
      if (content.empty())
        return corrupt("{}: token '{}' is empty once normalized", where, token.content);
      token.decoded = content;
      added.normalized_.add(content, i);
    }
  }
  std::erase_if(added.by_content_,
                [&](const auto& named) { return added.tokens_[named.second].id >= max_ids; });
  return added;
}

Status AddedTokens::add(const Json& json, const Vocabulary& vocabulary, const std::string& where) {
  LH_TRY(const Fields fields, Fields::of(json, where));
  AddedToken token;
  LH_TRY(token.content, fields.string("content"));
  LH_TRY(const int64_t id, fields.integer("id", 0, kMaxId - 1));
  LH_TRY(token.special, fields.boolean_or("special", false));
  LH_TRY(token.single_word, fields.boolean_or("single_word", false));
  LH_TRY(token.lstrip, fields.boolean_or("lstrip", false));
  LH_TRY(token.rstrip, fields.boolean_or("rstrip", false));
  LH_TRY(token.normalized, fields.boolean_or("normalized", !token.special));
  token.id = static_cast<int32_t>(id);
  if (token.content.empty() || token.content.size() > kMaxContent) {
    return corrupt("{}: expected 1 to {} bytes, found {}", fields.at("content"), kMaxContent,
                   token.content.size());
  }
  const auto known = vocabulary.find(token.content);
  if (known && *known != id) {
    return corrupt("{}: token '{}' has id {}, but {} in the vocabulary", fields.at("id"),
                   token.content, id, *known);
  }
  if (!known && vocabulary.contains(id)) {
    return corrupt("{}: token '{}' has id {}, which is '{}' in the vocabulary", fields.at("id"),
                   token.content, id, vocabulary.text(id));
  }
  token.in_vocabulary = known.has_value();
  const auto index = static_cast<uint32_t>(tokens_.size());
  if (!by_id_.emplace(token.id, index).second)
    return corrupt("{}: {} stands twice", fields.at("id"), id);
  if (!by_content_.emplace(token.content, index).second) {
    return corrupt("{}: '{}' stands twice", fields.at("content"), token.content);
  }
  max_id_ = std::max(max_id_, token.id);
  tokens_.push_back(std::move(token));
  return {};
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &tokens_[it->second];
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto it = by_content_.find(std::string(content));
  return it == by_content_.end() ? nullptr : &tokens_[it->second];
}

// Matches follow one another as if nothing were stripped or refused. So a token may begin in white
// space that the one before took along; with lstrip nothing of it may be left, and it is dropped.
// That is Hugging Face's behaviour.
Status AddedTokens::split(std::string_view text, bool normalized, bool parse_special,
                          const OnPart& on_part) const {
  const TextTrie& trie = normalized ? normalized_ : raw_;
  size_t done = 0, search_from = 0;
  size_t blanks_begin = 0,
         blanks_end = 0;  // the last white space that rstrip looked at: scanned once
  while (const auto match = trie.empty() ? std::nullopt : trie.find(text, search_from)) {
    search_from = match->end;
    const AddedToken& token = tokens_[match->value];
    if (!parse_special && (token.special || !token.in_vocabulary)) continue;
    size_t begin = match->begin, end = match->end;
    if (token.single_word &&
        (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end))))
      continue;
    while (token.lstrip && begin > done) {
      const Utf8Char c = utf8_last_char(text.substr(0, begin));
      if (!is_white_space(c.code_point)) break;
      begin -= c.size;
    }
    if (token.lstrip) begin = std::max(begin, done);
    if (token.rstrip) {
      if (end < blanks_begin || end >= blanks_end) {
        blanks_begin = blanks_end = end;
        while (blanks_end < text.size() &&
               is_white_space(utf8_char_at(text, blanks_end).code_point)) {
          blanks_end += utf8_char_at(text, blanks_end).size;
        }
      }
      end = blanks_end;
    }
    if (begin >= end) continue;
    if (done < begin) LH_RETURN_IF_ERROR(on_part(text.substr(done, begin - done), nullptr));
    LH_RETURN_IF_ERROR(on_part(text.substr(begin, end - begin), &token));
    done = end;
  }
  if (done < text.size()) LH_RETURN_IF_ERROR(on_part(text.substr(done), nullptr));
  return {};
}

}  // namespace longhaul
