// GPT-2's byte alphabet: each byte as a printable character, so that a vocabulary of texts can hold
// any bytes. Printable Latin-1 stands for itself; the other 68 bytes are U+0100 and up, in order.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace longhaul {

inline constexpr std::array<char16_t, 256> kByteToChar = [] {
  std::array<char16_t, 256> table{};
  char16_t next = 0x100;
  for (int b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    table[static_cast<size_t>(b)] = printable ? static_cast<char16_t>(b) : next++;
  }
  return table;
}();

inline std::optional<uint8_t> byte_of_char(char32_t c) {
  static constexpr std::array<int16_t, 0x144> kCharToByte = [] {
    std::array<int16_t, 0x144> table{};
    for (auto& entry : table) entry = -1;
    for (size_t b = 0; b < 256; ++b) table[kByteToChar[b]] = static_cast<int16_t>(b);
    return table;
  }();
  if (c >= kCharToByte.size() || kCharToByte[c] < 0) return std::nullopt;
  return static_cast<uint8_t>(kCharToByte[c]);
}

}  // namespace longhaul
