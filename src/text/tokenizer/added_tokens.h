// The added tokens of a tokenizer file: texts that are found in the input before anything else
// happens to it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "text/tokenizer/normalizer.h"
#include "text/tokenizer/vocabulary.h"

namespace longhaul {

struct AddedToken {
  std::string content;
  std::string decoded;  // what decoding gives: the content as it is searched for
  int32_t id = 0;
  bool special = false;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;
  bool normalized = false;  // searched for in normalized text, by its normalized content
  bool in_vocabulary = false;
};

// A set of texts, searched for leftmost-longest.
class TextTrie {
 public:
  // A text that is there already keeps its first value.
  void add(std::string_view text, uint32_t value);
  struct Match {
    size_t begin, end;
    uint32_t value;
  };
  std::optional<Match> find(std::string_view text, size_t from) const;
  bool empty() const { return nodes_.empty(); }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Node {
    uint32_t first_child = kNone, next_sibling = kNone;
    uint32_t value = kNone;
    unsigned char byte = 0;
  };
  uint32_t child(uint32_t node, unsigned char byte) const;

  std::vector<Node> nodes_;
  std::array<uint32_t, 256> roots_{};  // node + 1 by first byte, 0 none
};

class AddedTokens {
 public:
  // Tokens with an id of max_ids or more are checked like the others, but no text gives them.
  static Result<AddedTokens> from_json(const Json* json, const Vocabulary& vocabulary,
                                       const Normalizer& normalizer, int64_t max_ids,
                                       const std::string& where);

  const AddedToken* find(int32_t id) const;
  const AddedToken* find(std::string_view content) const;
  const std::vector<AddedToken>& all() const { return tokens_; }
  int32_t max_id() const { return max_id_; }

  // Cuts `text` into stretches (token null) and tokens, from left to right. `normalized`: which
  // half of the tokens. Without `parse_special`, special tokens and those that plain text could not
  // give (outside the vocabulary) are left in the text.
  using OnPart = std::function<Status(std::string_view part, const AddedToken* token)>;
  Status split(std::string_view text, bool normalized, bool parse_special,
               const OnPart& on_part) const;

 private:
  Status add(const Json& json, const Vocabulary& vocabulary, const std::string& where);

  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, uint32_t> by_id_;
  std::unordered_map<std::string, uint32_t> by_content_;
  TextTrie raw_, normalized_;
  int32_t max_id_ = -1;
};

}  // namespace longhaul
