// UTF-8 as the tokenizer needs it: checking, walking by code point, and repairing as a decoder
// must.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace longhaul {

// Positions in a text are 32 bits wide; a text is refused, not cut.
inline constexpr size_t kMaxTextBytes = size_t{1} << 30;

struct Utf8Char {
  char32_t code_point;
  uint32_t size;  // bytes
};

// The offset of the first byte that is no part of well-formed UTF-8 (overlong forms and surrogates
// are not well formed).
std::optional<size_t> find_invalid_utf8(std::string_view text);

// The character at text[pos]. The text must have passed find_invalid_utf8 and pos must be at a
// character's first byte.
inline Utf8Char utf8_char_at(std::string_view text, size_t pos) {
  const auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(text[pos + i]));
  };
  const uint32_t b0 = byte(0);
  if (b0 < 0x80) return {b0, 1};
  if (b0 < 0xE0) return {(b0 & 0x1F) << 6 | (byte(1) & 0x3F), 2};
  if (b0 < 0xF0) return {(b0 & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F), 3};
  return {(b0 & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F), 4};
}

// The last character of a well-formed, non-empty text.
Utf8Char utf8_last_char(std::string_view text);

void append_utf8(std::string& out, char32_t code_point);

// Moves all of `bytes` that is decided into `out`: well-formed characters as they are, each maximal
// ill-formed part as one U+FFFD (what Rust's from_utf8_lossy and the WHATWG decoder do). A tail
// that more bytes could complete stays in `bytes`, unless `at_end`.
void move_decoded_utf8(std::string& bytes, std::string& out, bool at_end);

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

}  // namespace longhaul
