// The decoder of a tokenizer file: how token texts become text again.
//
// Steps are a chain of stream transducers: each takes token texts one at a time and passes on what
// is decided. Decoding a sequence is the same chain run to its end, so streamed output always adds
// up to decode()'s.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/json.h"
#include "text/tokenizer/json_fields.h"
#include "text/tokenizer/pattern.h"

namespace longhaul {

class Decoder {
 public:
  // Null or absent: token texts joined by blanks. `where` names the field.
  static Result<Decoder> from_json(const Json* json, const std::string& where);

 private:
  friend class DecodeStream;
  struct Replace {
    Pattern pattern;
    std::string content;
  };
  struct ByteFallback {};
  struct Fuse {};
  struct Strip {
    char32_t content;
    int64_t start, stop;
    bool fused;  // all tokens are one text by now: strip its ends, not each token's
  };
  struct ByteLevel {};
  struct Metaspace {
    char32_t replacement;
    bool drop_first;
  };
  struct JoinWithBlanks {};
  using Step =
      std::variant<Replace, ByteFallback, Fuse, Strip, ByteLevel, Metaspace, JoinWithBlanks>;

  Status add(const Json& json, const std::string& where);
  Status add_one(const Fields& fields, const std::string& type);

  std::vector<Step> steps_;
  bool fused_ = false;
};

class DecodeStream {
 public:
  explicit DecodeStream(const Decoder& decoder)
      : decoder_(&decoder), states_(decoder.steps_.size()) {}

  // Appends to `out` what is certain once this token has come; whole UTF-8 characters only.
  void push(std::string_view token, std::string& out) { feed(0, token, out); }
  // Appends the rest and starts afresh.
  void finish(std::string& out);

 private:
  struct State {
    std::string held;  // bytes that are not decided yet
    int64_t stripped = 0;
    bool started = false;  // a token has come
    bool past_start = false;
  };
  void feed(size_t index, std::string_view token, std::string& out);
  void flush_byte_run(size_t index, std::string& out);
  void feed_byte_level(State& state, std::string_view token);
  void feed_fused_strip(size_t index, const Decoder::Strip& strip, std::string_view text,
                        std::string& out);

  const Decoder* decoder_;
  std::vector<State> states_;
  RegexScratch scratch_;
};

}  // namespace longhaul
