// The pre-tokenizer of a tokenizer file: cuts a normalized text into the pieces that BPE sees one
// by one.
//
// The file's steps run nested, piece by piece: a piece of step 0 goes through all later steps
// before step 0 looks for its next one. So no list of pieces is ever built, however long the text.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/tokenizer/pattern.h"

namespace longhaul {

enum class SplitBehavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

class PreTokenizer {
 public:
  // Null or absent: the text stays whole. `where` names the field.
  static Result<PreTokenizer> from_json(const Json* json, const std::string& where);

  // Whether pieces are bytes to be written in the byte alphabet (the last step is ByteLevel).
  bool byte_alphabet() const { return byte_alphabet_; }

  // Pieces are only valid during the call.
  using Sink = std::function<void(std::string_view piece)>;
  // `at_start`: the text begins where the whole input does.
  Status run(std::string_view text, bool at_start, RegexScratch& scratch, const Sink& sink) const;

 private:
  enum class CharClass { kNumeric, kWhiteSpace, kPunctuation };
  enum class PrependScheme { kAlways, kFirst, kNever };
  struct Split {
    std::variant<Pattern, CharClass> what;
    SplitBehavior behavior;
    bool invert;
  };
  struct PrefixSpace {};  // ByteLevel's add_prefix_space
  struct Metaspace {
    std::string replacement;
    PrependScheme scheme;
  };
  using Step = std::variant<Split, PrefixSpace, Metaspace>;
  class Run;

  Status add(const Json& json, const std::string& where);
  Status add_split(const Fields& fields);
  Status add_byte_level(const Fields& fields);
  Status add_metaspace(const Fields& fields);
  Status add_regex(std::string_view pattern, SplitBehavior behavior, bool invert,
                   const std::string& where);
  void add_class(CharClass what, SplitBehavior behavior) {
    steps_.push_back(Split{what, behavior, false});
  }

  std::vector<Step> steps_;
  bool byte_alphabet_ = false;
};

}  // namespace longhaul
