#include "formats/quantised_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "base/numbers.h"

namespace longhaul {
namespace {

std::vector<std::byte> random_bytes(size_t n) {
  std::mt19937 random(7);
  std::vector<std::byte> bytes(n);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

std::vector<float> small_floats(size_t n) {
  std::vector<float> floats(n);
  for (size_t i = 0; i < n; ++i) floats[i] = 0.01f * static_cast<float>(i % 7 + 1);
  return floats;
}

const std::byte* data_of(const std::vector<float>& floats) {
  return reinterpret_cast<const std::byte*>(floats.data());
}

template <class Matrix>
void expect_ranges_of_rows(const Matrix& m, int64_t n_rows) {
  std::vector<float> row(static_cast<size_t>(m.n_inputs)), part(row.size() + 1);
  for (int64_t r = 0; r < n_rows; ++r) {
    decode_rows(m, r, 1, row.data());
    for (int64_t first = 0; first < m.n_inputs; first += 5) {
      for (int64_t n = 1; first + n <= m.n_inputs; n += 11) {
        std::fill(part.begin(), part.end(), 77.0f);
        decode_range(m, r, first, n, part.data());
        for (int64_t i = 0; i < n; ++i)
          ASSERT_EQ(part[static_cast<size_t>(i)], row[static_cast<size_t>(first + i)])
              << "row " << r << ", " << n << " from " << first;
        ASSERT_EQ(part[static_cast<size_t>(n)], 77.0f);
      }
    }
  }
}

constexpr int64_t kRows = 3, kInputs = 96, kGroup = 32, kGroups = kInputs / kGroup;

TEST(QuantisedMatrix, GivesAnyRangeOfARow) {
  const auto words = random_bytes(kRows * kInputs);
  const auto scales = small_floats(kRows * kInputs);
  IntegerMatrix integers{.n_inputs = kInputs,
                         .group_inputs = kGroup,
                         .codes = CodeStreams::in_rows(words.data(), 5, kInputs),
                         .scales = GroupScales::by_output(data_of(scales), DType::kF32, kGroups),
                         .zero = 16};
  expect_ranges_of_rows(integers, kRows);
  integers.codes = CodeStreams::in_rows(words.data(), 4, kRows * 8, CodeOrder::kAwq);
  integers.streams_are_outputs = false;
  expect_ranges_of_rows(integers, kRows);
  std::vector<std::byte> e4m3s = words;
  for (std::byte& b : e4m3s) b &= std::byte{0x77};  // none is NaN
  expect_ranges_of_rows(
      Fp4Matrix{kInputs, 16, words.data(), e4m3s.data(), DType::kF8E4M3, 3.0f, true}, kRows);
  expect_ranges_of_rows(Fp8Matrix{kInputs, 2, 40, e4m3s.data(), data_of(scales), DType::kF32},
                        kRows);
}

TEST(QuantisedMatrix, ReadsTheGroupOfEachInput) {
  const auto words = random_bytes(kRows * kInputs);
  const auto scales = small_floats(kRows * kGroups);
  std::vector<int32_t> groups(kInputs);
  for (size_t i = 0; i < groups.size(); ++i) groups[i] = static_cast<int32_t>(i * 7 % kGroups);
  const IntegerMatrix m{.n_inputs = kInputs,
                        .group_inputs = kGroup,
                        .groups = reinterpret_cast<const std::byte*>(groups.data()),
                        .codes = CodeStreams::in_rows(words.data(), 4, kInputs),
                        .scales = GroupScales::by_output(data_of(scales), DType::kF32, kGroups),
                        .zero = 8};
  std::vector<float> row(kInputs);
  for (int64_t r = 0; r < kRows; ++r) {
    decode_rows(m, r, 1, row.data());
    for (int64_t i = 0; i < kInputs; ++i) {
      const float scale = scales[static_cast<size_t>(r * kGroups + groups[static_cast<size_t>(i)])];
      ASSERT_EQ(row[static_cast<size_t>(i)], scale * static_cast<float>(m.codes.at(r, i) - 8));
    }
  }
  expect_ranges_of_rows(m, kRows);
}

TEST(QuantisedMatrix, ReadsBytesWithASign) {
  const std::vector<std::byte> codes = {std::byte{0x80}, std::byte{0xff}, std::byte{0},
                                        std::byte{0x7f}};
  const std::vector<float> scale = {2.0f};
  const IntegerMatrix m{.n_inputs = 4,
                        .group_inputs = 4,
                        .codes = CodeStreams::in_rows(codes.data(), 8, 4),
                        .is_signed = true,
                        .scales = GroupScales::by_output(data_of(scale), DType::kF32, 1),
                        .zero = 128};
  std::vector<float> row(4);
  decode_rows(m, 0, 1, row.data());
  EXPECT_EQ(row, (std::vector<float>{-256, -2, 0, 254}));
}

// Rows of bytes that are no whole words.
TEST(QuantisedMatrix, ReadsRowsThatAreOneStream) {
  std::vector<std::byte> codes;
  for (int i = 0; i < 15; ++i) codes.push_back(static_cast<std::byte>(i));
  const std::vector<float> scales = {1, 10, 100};
  IntegerMatrix m{.n_inputs = 5,
                  .group_inputs = 5,
                  .codes = CodeStreams::in_rows(codes.data(), 8, 5),
                  .row_codes = 5,
                  .scales = GroupScales::by_output(data_of(scales), DType::kF32, 1)};
  std::vector<float> all(15);
  decode_rows(m, 0, 3, all.data());
  for (size_t i = 0; i < 15; ++i) EXPECT_EQ(all[i], scales[i / 5] * static_cast<float>(i));
  expect_ranges_of_rows(m, 3);
  // Of 4 bits, ten to a row.
  m.n_inputs = m.group_inputs = m.row_codes = 10;
  m.codes = CodeStreams::in_rows(codes.data(), 4, 10);
  std::vector<float> nibbles(30);
  decode_rows(m, 0, 3, nibbles.data());
  EXPECT_EQ(nibbles[10], 10.0f * 5.0f);
  EXPECT_EQ(nibbles[11], 0.0f);
  EXPECT_EQ(nibbles[28], 100.0f * 14.0f);
}

TEST(QuantisedMatrix, ScalesBlocksOfE4m3ThatAreCutShort) {
  const std::vector<std::byte> ones(5 * 3, std::byte{0x38});
  const std::vector<float> scales = {1, 2, 3, 4, 5, 6};  // blocks of 2 x 2 in 5 x 3
  const Fp8Matrix m{.n_inputs = 3,
                    .block_rows = 2,
                    .block_inputs = 2,
                    .codes = ones.data(),
                    .scales = data_of(scales)};
  std::vector<float> all(15);
  decode_rows(m, 0, 5, all.data());
  EXPECT_EQ(all, (std::vector<float>{1, 1, 2, 1, 1, 2, 3, 3, 4, 3, 3, 4, 5, 5, 6}));
}

// The neutral form has the values to the bit.
TEST(QuantisedMatrix, GivesIntegersAndScalesOfAGroup) {
  const auto words = random_bytes(kRows * kInputs);
  const auto scales = small_floats(kRows * kGroups), biases = small_floats(kRows * kGroups);
  const auto zeros = random_bytes(kGroups * 4);
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    for (const bool has_bias : {false, true}) {
      IntegerMatrix m{.n_inputs = kInputs,
                      .group_inputs = kGroup,
                      .codes = CodeStreams::in_rows(words.data(), bits, kInputs),
                      .scales = GroupScales::by_output(data_of(scales), DType::kF32, kGroups)};
      if (has_bias) m.biases = GroupScales::by_output(data_of(biases), DType::kF32, kGroups);
      if (bits < 8 && !has_bias) m.zeros = CodeStreams::in_rows(zeros.data(), bits, 3);
      if (bits == 8 && !has_bias) m.zero = 128;
      GroupedCodes codes;
      std::vector<float> row(kInputs);
      for (int64_t r = 0; r < kRows; ++r) {
        decode_rows(m, r, 1, row.data());
        for (int64_t g = 0; g < kGroups; ++g) {
          const bool is_read = read_grouped(m, r, g * kGroup, kGroup, codes);
          ASSERT_EQ(is_read, bits < 8 || !has_bias);
          for (int64_t i = 0; is_read && i < kGroup; ++i) {
            const float value = codes.scales[0] * codes.multipliers[0] *
                                static_cast<float>(codes.levels[static_cast<size_t>(i)]);
            ASSERT_EQ(has_bias ? value - codes.min_scale * codes.mins[0] : value,
                      row[static_cast<size_t>(g * kGroup + i)])
                << bits << " bits, group " << g << ", input " << i;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace longhaul
