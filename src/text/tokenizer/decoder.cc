#include "text/tokenizer/decoder.h"

#include <algorithm>
#include <optional>

#include "base/utf8.h"
#include "text/tokenizer/byte_alphabet.h"

namespace longhaul {
namespace {

constexpr size_t kMaxSteps = 64;
constexpr int64_t kMaxStrip = 1024;

// The value of "<0x0A>". Rust's parser, which Hugging Face uses, also takes "<0x+A>".
std::optional<char> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
  int value = 0;
  for (size_t i = 3; i < 5; ++i) {
    const char c = token[i];
    if (c == '+' && i == 3) continue;
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + digit;
  }
  return static_cast<char>(value);
}

std::string_view strip_token(std::string_view token, char32_t content, int64_t start,
                             int64_t stop) {
  for (int64_t i = 0; i < start && !token.empty(); ++i) {
    const Utf8Char c = utf8_char_at(token, 0);
    if (c.code_point != content) break;
    token.remove_prefix(c.size);
  }
  for (int64_t i = 0; i < stop && !token.empty(); ++i) {
    const Utf8Char c = utf8_last_char(token);
    if (c.code_point != content) break;
    token.remove_suffix(c.size);
  }
  return token;
}

}  // namespace

Result<Decoder> Decoder::from_json(const Json* json, const std::string& where) {
  Decoder decoder;
  if (json == nullptr || json->is_null()) {
    decoder.steps_.push_back(JoinWithBlanks{});
  } else {
    LH_RETURN_IF_ERROR(decoder.add(*json, where));
  }
  return decoder;
}

Status Decoder::add(const Json& json, const std::string& where) {
  LH_TRY(const Fields fields, Fields::of(json, where));
  LH_TRY(const std::string type, fields.string("type"));
  if (type == "Sequence") {
    LH_TRY(const Json::Array* list, fields.array("decoders"));
    for (size_t i = 0; i < list->size(); ++i) {
      LH_RETURN_IF_ERROR(add((*list)[i], fmt::format("{}[{}]", fields.at("decoders"), i)));
    }
    return {};
  }
  if (steps_.size() == kMaxSteps) return unsupported("{}: more than {} decoders", where, kMaxSteps);
  // Behind Fuse there is one token, the whole text; to stream it, only its ends may still change.
  if (fused_ && type != "Strip" && type != "Fuse") {
    return unsupported("{}: decoder '{}' behind one that fuses all tokens", fields.at("type"),
                       type);
  }
  return add_one(fields, type);
}

Status Decoder::add_one(const Fields& fields, const std::string& type) {
  if (type == "Replace") {
    LH_TRY(Pattern pattern, Pattern::from_json(fields, "pattern"));
    LH_TRY(std::string content, fields.string("content"));
    steps_.push_back(Replace{std::move(pattern), std::move(content)});
  } else if (type == "ByteFallback") {
    steps_.push_back(ByteFallback{});
  } else if (type == "Fuse") {
    steps_.push_back(Fuse{});
    fused_ = true;
  } else if (type == "ByteLevel") {
    steps_.push_back(ByteLevel{});
    fused_ = true;
  } else if (type == "Strip") {
    LH_TRY(const char32_t content, fields.character("content"));
    LH_TRY(const int64_t start, fields.integer("start", 0, kMaxStrip));
    LH_TRY(const int64_t stop, fields.integer("stop", 0, kMaxStrip));
    steps_.push_back(Strip{content, start, stop, fused_});
  } else if (type == "Metaspace") {
    LH_TRY(const char32_t replacement, fields.character("replacement"));
    LH_TRY(bool drop_first, fields.boolean_or("add_prefix_space", true));
    if (fields.get("prepend_scheme") != nullptr) {
      LH_TRY(const std::string scheme, fields.string("prepend_scheme"));
      drop_first = scheme != "never";
    }
    steps_.push_back(Metaspace{replacement, drop_first});
  } else {
    return unsupported("{}: decoder '{}' is not supported", fields.at("type"), type);
  }
  return {};
}

void DecodeStream::feed(size_t index, std::string_view token, std::string& out) {
  if (index == states_.size()) {
    out += token;
    return;
  }
  State& state = states_[index];
  const Decoder::Step& step = decoder_->steps_[index];
  if (const auto* r = std::get_if<Decoder::Replace>(&step)) {
    // A pattern that fails to match (its limits are far above a token's size) leaves the token as
    // it is.
    auto replaced = r->pattern.replace_all(token, r->content, scratch_);
    return feed(index + 1, replaced.ok() ? std::string_view(*replaced) : token, out);
  }
  if (std::holds_alternative<Decoder::ByteFallback>(step)) {
    if (const auto byte = byte_of_token(token)) {
      state.held += *byte;
      return;
    }
    flush_byte_run(index, out);
    return feed(index + 1, token, out);
  }
  if (std::holds_alternative<Decoder::Fuse>(step)) return feed(index + 1, token, out);
  if (const auto* s = std::get_if<Decoder::Strip>(&step)) {
    if (s->fused) return feed_fused_strip(index, *s, token, out);
    return feed(index + 1, strip_token(token, s->content, s->start, s->stop), out);
  }
  if (std::holds_alternative<Decoder::ByteLevel>(step)) {
    feed_byte_level(state, token);
    std::string text;
    move_decoded_utf8(state.held, text, false);
    return feed(index + 1, text, out);
  }
  if (const auto* m = std::get_if<Decoder::Metaspace>(&step)) {
    std::string text;
    for (size_t pos = 0; pos < token.size();) {
      const Utf8Char c = utf8_char_at(token, pos);
      if (c.code_point != m->replacement) {
        text += token.substr(pos, c.size);
      } else if (state.started || !m->drop_first) {
        text += ' ';
      }
      pos += c.size;
    }
    state.started = true;
    return feed(index + 1, text, out);
  }
  if (state.started) feed(index + 1, " ", out);
  state.started = true;
  feed(index + 1, token, out);
}

// A run of byte tokens is text if the whole run is; else each byte is a replacement character. So a
// run is held to its end.
void DecodeStream::flush_byte_run(size_t index, std::string& out) {
  std::string run;
  run.swap(states_[index].held);
  if (run.empty()) return;
  if (!find_invalid_utf8(run)) return feed(index + 1, run, out);
  for (size_t i = 0; i < run.size(); ++i) feed(index + 1, kReplacementCharacter, out);
}

// A token with any character outside the byte alphabet (an added token, say) stands for its own
// bytes.
void DecodeStream::feed_byte_level(State& state, std::string_view token) {
  const size_t before = state.held.size();
  for (size_t pos = 0; pos < token.size();) {
    const Utf8Char c = utf8_char_at(token, pos);
    const auto byte = byte_of_char(c.code_point);
    if (!byte) {
      state.held.resize(before);
      state.held += token;
      return;
    }
    state.held += static_cast<char>(*byte);
    pos += c.size;
  }
}

// Strips the ends of a text that comes in parts: characters at the end are held while they may
// still be its last ones.
void DecodeStream::feed_fused_strip(size_t index, const Decoder::Strip& strip,
                                    std::string_view text, std::string& out) {
  State& state = states_[index];
  while (!text.empty() && !state.past_start) {
    const Utf8Char c = utf8_char_at(text, 0);
    if (state.stripped == strip.start || c.code_point != strip.content) {
      state.past_start = true;
      break;
    }
    ++state.stripped;
    text.remove_prefix(c.size);
  }
  if (text.empty()) return;
  std::string all;
  all.swap(state.held);
  all += text;
  const std::string_view kept = strip_token(all, strip.content, 0, strip.stop);
  state.held = all.substr(kept.size());
  feed(index + 1, kept, out);
}

void DecodeStream::finish(std::string& out) {
  for (size_t i = 0; i < states_.size(); ++i) {
    const Decoder::Step& step = decoder_->steps_[i];
    if (std::holds_alternative<Decoder::ByteFallback>(step)) flush_byte_run(i, out);
    if (std::holds_alternative<Decoder::ByteLevel>(step)) {
      std::string text;
      move_decoded_utf8(states_[i].held, text, true);
      feed(i + 1, text, out);
    }
  }
  for (State& state : states_) state = State{};
}

}  // namespace longhaul
