#include "testing/sha256.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>

namespace longhaul {
namespace {

// The first 32 bits of the fractional parts of roots of the first primes: square roots to start
// with, cube roots for the rounds.
template <size_t n>
std::array<uint32_t, n> fractions_of_roots(bool cube) {
  std::array<uint32_t, n> out{};
  size_t i = 0;
  for (uint32_t p = 2; i < n; ++p) {
    bool is_prime = true;
    for (uint32_t d = 2; d * d <= p; ++d) is_prime = is_prime && p % d != 0;
    if (!is_prime) continue;
    const long double root =
        cube ? std::cbrt(static_cast<long double>(p)) : std::sqrt(static_cast<long double>(p));
    out[i++] = static_cast<uint32_t>((root - std::floor(root)) * 4294967296.0L);
  }
  return out;
}

void add_block(std::array<uint32_t, 8>& state, const unsigned char* block) {
  static const auto kRounds = fractions_of_roots<64>(true);
  std::array<uint32_t, 64> w{};
  for (size_t i = 0; i < 16; ++i) {
    w[i] = uint32_t{block[4 * i]} << 24 | uint32_t{block[4 * i + 1]} << 16 |
           uint32_t{block[4 * i + 2]} << 8 | block[4 * i + 3];
  }
  for (size_t i = 16; i < 64; ++i) {
    const uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) + w[i - 7] +
           (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (size_t i = 0; i < 64; ++i) {
    const uint32_t t1 = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) +
                        ((e & f) ^ (~e & g)) + kRounds[i] + w[i];
    const uint32_t t2 =
        (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  const uint32_t added[] = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < 8; ++i) state[i] += added[i];
}

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  std::string padded(bytes);
  padded += '\x80';
  while (padded.size() % 64 != 56) padded += '\0';
  for (int shift = 56; shift >= 0; shift -= 8)
    padded += static_cast<char>(bytes.size() * 8 >> shift);
  auto state = fractions_of_roots<8>(false);
  for (size_t at = 0; at < padded.size(); at += 64)
    add_block(state, reinterpret_cast<const unsigned char*>(padded.data()) + at);
  std::string out;
  for (const uint32_t word : state) {
    char hex[9];
    std::snprintf(hex, sizeof hex, "%08x", word);
    out += hex;
  }
  return out;
}

}  // namespace longhaul
