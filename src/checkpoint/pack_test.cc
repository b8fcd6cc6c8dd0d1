// Matrices that are stored with scales, into panels piece by piece: scratch of one panel is enough
// for any shape.
#include "checkpoint/pack.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "base/numbers.h"
#include "kernels/codecs/quant_blocks.h"

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
  std::vector<std::byte> out(kE4m3Codec.bytes(rows, cols));
  const SourceRows source{m.codes.data(), {DType::kF8E4M3, DType::kF32}, m.scale.bytes.data()};
  EXPECT_TRUE(kE4m3Codec.pack(source, rows, cols, out.data()).ok());
  return out;
}

TEST(Pack, KeepingCodesTakesNoScratch) {
  constexpr int64_t kRows = 5000, kCols = 1;
  const Fp8 m(kRows, kCols);
  std::vector<std::byte> out(kE4m3Codec.bytes(kRows, kCols));
  ASSERT_TRUE(pack(m.matrix(0, kRows), 0, kRows, kE4m3Codec, out.data(), nullptr).ok());
  EXPECT_TRUE(out == packed_at_once(m));
}

// Widened a panel at a time, whatever the shape.
TEST(Pack, ScratchOfOnePanelWidensAnyMatrix) {
  constexpr int64_t kRows = 5000, kCols = 1;
  const Fp8 m(kRows, kCols);
  std::vector<float> scratch(kPanel * kCols + 64, -1.0f), row(kCols);
  std::vector<std::byte> out(kF32Codec.bytes(kRows, kCols));
  ASSERT_TRUE(pack(m.matrix(0, kRows), 0, kRows, kF32Codec, out.data(), scratch.data()).ok());
  for (const int64_t r : {0, 127, 128, 4999}) {
    kF32Codec.unpack({out.data(), &kF32Codec, kRows, kCols}, r, row.data());
    const e4m3 code{static_cast<uint8_t>(m.codes[static_cast<size_t>(r)])};
    EXPECT_EQ(row[0], to_f32(code) * m.scales[static_cast<size_t>(r / 128)]) << r;
  }
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
      std::byte* place = in_place.data() + kE4m3Codec.bytes(row, kCols);
      ASSERT_TRUE(pack(m.matrix(0, kRows), row, n, kE4m3Codec, place, scratch.data()).ok());
      std::vector<std::byte> own(kE4m3Codec.bytes(n, kCols));
      ASSERT_TRUE(pack(m.matrix(row, n), 0, n, kE4m3Codec, own.data(), scratch.data()).ok());
      apart.insert(apart.end(), own.begin(), own.end());
    }
    EXPECT_TRUE(in_place == expected) << piece;
    EXPECT_TRUE(apart == expected) << piece;
  }
}

}  // namespace
}  // namespace longhaul
