// Integers of 1 to 8 bits in little-endian words of 32, as quantised safetensors hold them.
//
// A matrix of codes is streams along one of its axes; a stream's words follow one another, or stand
// one to a row of words:
//   compressed-tensors weights  a stream an output  [out, words]
//   compressed-tensors zeros    a stream a group    [words, groups]
//   GPTQ weights                a stream an output  [words, out]
//   GPTQ zeros, AWQ zeros       a stream a group    [groups, words]
//   AWQ weights                 a stream an input   [in, words]
//   MLX weights                 a stream an output  [out, words]
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/checked_math.h"

namespace longhaul {

// How codes lie in a stream's words. The first two are one where `bits` divides 32.
enum class CodeOrder {
  kDense,       // code i at bits i * bits of the stream: some lie across two words
  kWholeWords,  // as many as a word holds whole, the lowest bits first
  kAwq,         // of 4 bits: those of a word in the order 0 2 4 6 1 3 5 7
};

// Words that a stream of n codes takes.
constexpr int64_t words_of_codes(int64_t n, int bits, CodeOrder order = CodeOrder::kDense) {
  return order == CodeOrder::kWholeWords ? ceil_div(n, int64_t{32} / bits)
                                         : ceil_div(n * bits, int64_t{32});
}

// A view; owns nothing. Whoever makes one has checked that its words are there.
struct CodeStreams {
  const std::byte* words = nullptr;  // at any byte
  int bits = 4;                      // 1 to 8
  CodeOrder order = CodeOrder::kDense;
  int64_t stream_stride = 0;  // words from a stream to the next
  int64_t word_stride = 1;    // words from a word of a stream to the next

  // Stream after stream, each of n codes.
  static CodeStreams in_rows(const std::byte* words, int bits, int64_t n,
                             CodeOrder order = CodeOrder::kDense) {
    return {words, bits, order, words_of_codes(n, bits, order), 1};
  }
  // A word of each of n streams, then the next word of each.
  static CodeStreams in_columns(const std::byte* words, int bits, int64_t n) {
    return {words, bits, CodeOrder::kDense, 1, n};
  }

  uint8_t at(int64_t stream, int64_t i) const;
  // Codes [first, first + n) of a stream.
  void read(int64_t stream, int64_t first, int64_t n, uint8_t* codes) const;
};

}  // namespace longhaul
