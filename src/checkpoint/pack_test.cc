// Matrices that are stored with scales, into panels piece by piece: scratch of one panel is enough
// for any shape.
#include "checkpoint/pack.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace longhaul {
namespace {

// An E4M3 matrix with a scale a block, all different.
struct Fp8 {
  Fp8(int64_t rows, int64_t cols)
      : codes(static_cast<size_t>(rows * cols)),
        scales(static_cast<size_t>(blocks_of(rows) * blocks_of(cols))) {
    std::mt19937 random(1);
    for (std::byte& code : codes) code = static_cast<std::byte>(random() % 0x70);
    for (size_t i = 0; i < scales.size(); ++i) scales[i] = 1.0f + static_cast<float>(i);
    weight = {"w", DType::kF8E4M3, {rows, cols}, codes};
    scale = {
        "s", DType::kF32, {blocks_of(rows), blocks_of(cols)}, std::as_bytes(std::span(scales))};
  }
  StoredMatrix matrix(int64_t first_row, int64_t rows) const {
    return {{&weight, &scale}, first_row, rows, weight.shape[1]};
  }

  std::vector<std::byte> codes;
  std::vector<float> scales;
  TensorInfo weight, scale;
};

std::vector<std::byte> packed_at_once(const Fp8& m) {
  const int64_t rows = m.weight.shape[0], cols = m.weight.shape[1];
  std::vector<std::byte> out(packed_bytes(DType::kF8E4M3, rows, cols));
  EXPECT_TRUE(pack_f8_rows(m.codes.data(), m.scales, 0, rows, cols, out.data()).ok());
  return out;
}

TEST(Pack, ScratchOfOnePanelHoldsTheScalesOfAnyMatrix) {
  constexpr int64_t kRows = 5000, kCols = 1;
  const Fp8 m(kRows, kCols);
  std::vector<float> scratch(kPanel * kCols + 64, -1.0f);
  std::vector<std::byte> out(packed_bytes(DType::kF8E4M3, kRows, kCols));
  ASSERT_TRUE(pack(m.matrix(0, kRows), 0, kRows, DType::kF8E4M3, out.data(), scratch.data()).ok());
  EXPECT_TRUE(out == packed_at_once(m));
  for (size_t i = kPanel * kCols; i < scratch.size(); ++i)
    ASSERT_EQ(scratch[i], -1.0f) << "float " << i << " is behind the scratch";
}

// Pieces begin at panels, whether a block of scales begins there or not.
TEST(Pack, PiecesOfAnFp8MatrixAreThoseOfTheWhole) {
  constexpr int64_t kRows = 400, kCols = 200;
  const Fp8 m(kRows, kCols);
  const std::vector<std::byte> expected = packed_at_once(m);
  std::vector<float> scratch(kPanel * kCols);
  for (const int64_t piece : {16, 48, 144, 400}) {
    std::vector<std::byte> in_place(expected.size()), apart;
    for (int64_t row = 0; row < kRows; row += piece) {
      const int64_t n = std::min(piece, kRows - row);
      ASSERT_TRUE(
          pack(m.matrix(0, kRows), row, n, DType::kF8E4M3, in_place.data(), scratch.data()).ok());
      std::vector<std::byte> own(packed_bytes(DType::kF8E4M3, n, kCols));
      ASSERT_TRUE(pack(m.matrix(row, n), 0, n, DType::kF8E4M3, own.data(), scratch.data()).ok());
      apart.insert(apart.end(), own.begin(), own.end());
    }
    EXPECT_TRUE(in_place == expected) << piece;
    EXPECT_TRUE(apart == expected) << piece;
  }
}

}  // namespace
}  // namespace longhaul
