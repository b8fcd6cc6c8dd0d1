#include "formats/code_streams.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace longhaul {
namespace {

static_assert(std::endian::native == std::endian::little, "words are read as files hold them");

// Whether a stream's bytes hold its codes one after another, whatever the width of a word.
bool is_contiguous(const CodeStreams& s) {
  return s.word_stride == 1 && (s.bits == 4 || s.bits == 8) && s.order != CodeOrder::kAwq;
}
// Whether every code lies in one word, and those of a word in its order.
bool holds_whole_codes(const CodeStreams& s) {
  return s.order == CodeOrder::kWholeWords || (s.order == CodeOrder::kDense && 32 % s.bits == 0);
}

uint32_t word_at(const CodeStreams& s, int64_t stream, int64_t i) {
  uint32_t word;
  std::memcpy(&word, s.words + 4 * (stream * s.stream_stride + i * s.word_stride), sizeof word);
  return word;
}

void read_nibbles(const uint8_t* bytes, int64_t first, int64_t n, uint8_t* codes) {
  int64_t i = 0;
  if (first % 2 != 0 && n > 0) codes[i++] = bytes[first / 2] >> 4;
  bytes += (first + i) / 2;
  const int64_t n_pairs = (n - i) / 2;
  for (int64_t p = 0; p < n_pairs; ++p) {
    codes[i + 2 * p] = bytes[p] & 15;
    codes[i + 2 * p + 1] = bytes[p] >> 4;
  }
  if ((n - i) % 2 != 0) codes[n - 1] = bytes[n_pairs] & 15;
}

void read_by_word(const CodeStreams& s, int64_t stream, int64_t first, int64_t n, uint8_t* codes) {
  const int64_t per_word = 32 / s.bits;
  const uint32_t mask = (1u << s.bits) - 1;
  for (int64_t i = first; i < first + n;) {
    const int64_t word = i / per_word, end = std::min((word + 1) * per_word, first + n);
    uint32_t rest = word_at(s, stream, word) >> (i % per_word * s.bits);
    for (; i < end; ++i, rest >>= s.bits) codes[i - first] = static_cast<uint8_t>(rest & mask);
  }
}

}  // namespace

uint8_t CodeStreams::at(int64_t stream, int64_t i) const {
  constexpr std::array<uint8_t, 8> kAwqNibble = {0, 4, 1, 5, 2, 6, 3, 7};
  int64_t word = i * bits / 32, shift = i * bits % 32;
  if (order == CodeOrder::kWholeWords) {
    const int64_t per_word = 32 / bits;
    word = i / per_word;
    shift = i % per_word * bits;
  } else if (order == CodeOrder::kAwq) {
    shift = 4 * kAwqNibble[static_cast<size_t>(i % 8)];
  }
  uint32_t code = word_at(*this, stream, word) >> shift;
  if (shift + bits > 32) code |= word_at(*this, stream, word + 1) << (32 - shift);
  return static_cast<uint8_t>(code & ((1u << bits) - 1));
}

void CodeStreams::read(int64_t stream, int64_t first, int64_t n, uint8_t* codes) const {
  if (is_contiguous(*this)) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(words + 4 * stream * stream_stride);
    if (bits == 8) std::memcpy(codes, bytes + first, static_cast<size_t>(n));
    if (bits == 4) read_nibbles(bytes, first, n, codes);
    return;
  }
  if (holds_whole_codes(*this)) return read_by_word(*this, stream, first, n, codes);
  for (int64_t i = 0; i < n; ++i) codes[i] = at(stream, first + i);
}

}  // namespace longhaul
