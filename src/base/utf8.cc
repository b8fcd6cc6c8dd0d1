#include "base/utf8.h"

#include <cstring>

namespace longhaul {
namespace {

struct Scan {
  uint32_t size;  // bytes of the character, or of its maximal well-formed beginning
  enum {
    kWhole,
    kCut,
    kBad
  } kind;  // kCut: the text ended inside a character that was well formed so far
};

// The second byte's range depends on the first: this is where overlong forms, surrogates and >
// U+10FFFF are refused.
Scan scan_char(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned b0 = byte(0);
  if (b0 < 0x80) return {1, Scan::kWhole};
  if (b0 < 0xC2 || b0 > 0xF4) return {1, Scan::kBad};
  const uint32_t size = b0 < 0xE0 ? 2 : b0 < 0xF0 ? 3 : 4;
  unsigned low = 0x80, high = 0xBF;
  if (b0 == 0xE0) low = 0xA0;
  if (b0 == 0xED) high = 0x9F;
  if (b0 == 0xF0) low = 0x90;
  if (b0 == 0xF4) high = 0x8F;
  for (uint32_t i = 1; i < size; ++i) {
    if (i == text.size()) return {i, Scan::kCut};
    if (byte(i) < low || byte(i) > high) return {i, Scan::kBad};
    low = 0x80;
    high = 0xBF;
  }
  return {size, Scan::kWhole};
}

}  // namespace

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  size_t pos = 0;
  while (pos < text.size()) {
    uint64_t word;
    while (pos + sizeof word <= text.size()) {  // eight ASCII bytes at a time
      std::memcpy(&word, text.data() + pos, sizeof word);
      if (word & 0x8080808080808080u) break;
      pos += sizeof word;
    }
    if (pos == text.size()) break;
    const Scan scan = scan_char(text.substr(pos));
    if (scan.kind != Scan::kWhole) return pos;
    pos += scan.size;
  }
  return std::nullopt;
}

Utf8Char utf8_last_char(std::string_view text) {
  size_t pos = text.size() - 1;
  while (pos > 0 && (static_cast<unsigned char>(text[pos]) & 0xC0) == 0x80) --pos;
  return utf8_char_at(text, pos);
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

void move_decoded_utf8(std::string& bytes, std::string& out, bool at_end) {
  std::string_view rest = bytes;
  while (!rest.empty()) {
    const Scan scan = scan_char(rest);
    if (scan.kind == Scan::kCut && !at_end) break;
    if (scan.kind == Scan::kWhole) {
      out.append(rest.substr(0, scan.size));
    } else {
      out.append(kReplacementCharacter);
    }
    rest.remove_prefix(scan.size);
  }
  bytes.erase(0, bytes.size() - rest.size());
}

}  // namespace longhaul
