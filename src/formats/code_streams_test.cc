#include "formats/code_streams.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "formats/quantised_matrix.h"

namespace longhaul {
namespace {

// The words that hold `codes` as one dense stream.
std::vector<uint32_t> packed(const std::vector<uint8_t>& codes, int bits) {
  std::vector<uint32_t> words(static_cast<size_t>(words_of_codes(std::ssize(codes), bits)));
  for (size_t bit = 0; bit < codes.size() * static_cast<size_t>(bits); ++bit) {
    const size_t i = bit / static_cast<size_t>(bits), in_code = bit % static_cast<size_t>(bits);
    words[bit / 32] |= (codes[i] >> in_code & 1u) << (bit % 32);
  }
  return words;
}

std::vector<uint8_t> counting(size_t n, int bits) {
  std::vector<uint8_t> codes(n);
  for (size_t i = 0; i < n; ++i) codes[i] = static_cast<uint8_t>(i * 37 % 251 % (1u << bits));
  return codes;
}

const std::byte* bytes_of(const std::vector<uint32_t>& words) {
  return reinterpret_cast<const std::byte*>(words.data());
}

TEST(CodeStreams, ReadAnyRangeOfAnyWidth) {
  for (int bits = 1; bits <= 8; ++bits) {
    const auto codes = counting(75, bits);
    const auto words = packed(codes, bits);
    const auto streams = CodeStreams::in_rows(bytes_of(words), bits, std::ssize(codes));
    for (size_t first = 0; first < codes.size(); ++first) {
      ASSERT_EQ(streams.at(0, static_cast<int64_t>(first)), codes[first]) << bits << " bits";
      for (size_t n = 0; first + n <= codes.size(); ++n) {
        std::vector<uint8_t> read(n + 1, 0xee),
            expected(codes.begin() + static_cast<long>(first),
                     codes.begin() + static_cast<long>(first + n));
        streams.read(0, static_cast<int64_t>(first), static_cast<int64_t>(n), read.data());
        expected.push_back(0xee);
        ASSERT_EQ(read, expected) << bits << " bits from " << first;
      }
    }
  }
}

// Three streams whose words stand beside one another.
TEST(CodeStreams, ReadColumnsOfWords) {
  const auto a = packed(counting(40, 3), 3), b = packed(counting(40, 5), 3),
             c = packed(counting(40, 2), 3);
  std::vector<uint32_t> words;
  for (size_t w = 0; w < a.size(); ++w) words.insert(words.end(), {a[w], b[w], c[w]});
  const auto columns = CodeStreams::in_columns(bytes_of(words), 3, 3);
  const auto alone = CodeStreams::in_rows(bytes_of(b), 3, 40);
  for (int64_t i = 0; i < 40; ++i) EXPECT_EQ(columns.at(1, i), alone.at(0, i)) << i;
}

TEST(CodeStreams, ReadRangesOfColumns) {
  for (const int bits : {1, 2, 4, 8}) {
    const auto words = packed(counting(192, bits), bits);
    const auto columns = CodeStreams::in_columns(bytes_of(words), bits, 3);
    for (int64_t first = 0; first < 40; ++first) {
      std::vector<uint8_t> read(24);
      columns.read(2, first, 24, read.data());
      for (int64_t i = 0; i < 24; ++i)
        ASSERT_EQ(read[static_cast<size_t>(i)], columns.at(2, first + i)) << bits << " bits";
    }
  }
}

// What older writers did with 3, 5, 6 and 7 bits.
TEST(CodeStreams, MayLeaveTheEndsOfWordsEmpty) {
  const std::vector<uint32_t> words = {0x3fffffff & ~7u, 5};  // ten codes of 3 bits, then one
  const auto streams = CodeStreams::in_rows(bytes_of(words), 3, 11, CodeOrder::kWholeWords);
  EXPECT_EQ(streams.stream_stride, 2);
  EXPECT_EQ(streams.at(0, 0), 0);
  EXPECT_EQ(streams.at(0, 9), 7);
  EXPECT_EQ(streams.at(0, 10), 5);
}

TEST(CodeStreams, ReadAwqsOrder) {
  const std::vector<uint32_t> words = {0x75316420};  // output k in the nibble that holds k
  const auto streams = CodeStreams::in_rows(bytes_of(words), 4, 8, CodeOrder::kAwq);
  for (int64_t k = 0; k < 8; ++k) EXPECT_EQ(streams.at(0, k), k);
}

TEST(CodeStreams, CountTheWordsOfAStream) {
  EXPECT_EQ(words_of_codes(80, 3), 8);
  EXPECT_EQ(words_of_codes(80, 3, CodeOrder::kWholeWords), 8);
  EXPECT_EQ(words_of_codes(96, 3), 9);
  EXPECT_EQ(words_of_codes(96, 3, CodeOrder::kWholeWords), 10);
  EXPECT_EQ(words_of_codes(1, 8), 1);
}

TEST(CodeStreams, TellWhereGptqsZerosHaveWrapped) {
  std::vector<uint32_t> words = {0x77777777, 0x7777f777};
  const auto streams = CodeStreams::in_rows(bytes_of(words), 4, 8);
  EXPECT_FALSE(has_all_ones(streams, 1, 8));
  EXPECT_TRUE(has_all_ones(streams, 2, 8));
}

}  // namespace
}  // namespace longhaul
