// A fast hash for the tokenizer's tables. Not for files: its values may change.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace longhaul {

inline uint64_t mix_bits(uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93u;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93u;
  return x ^ x >> 32;
}

inline uint64_t hash_bytes(std::string_view s) {
  uint64_t h = 0x9e3779b97f4a7c15u + s.size();
  size_t i = 0;
  uint64_t word;
  for (; i + 8 <= s.size(); i += 8) {
    std::memcpy(&word, s.data() + i, 8);
    h = (h ^ word) * 0xff51afd7ed558ccdu;
    h ^= h >> 32;
  }
  word = 0;
  for (size_t k = 0; i + k < s.size(); ++k)
    word |= uint64_t{static_cast<unsigned char>(s[i + k])} << (8 * k);
  return mix_bits(h ^ word);
}

}  // namespace longhaul
