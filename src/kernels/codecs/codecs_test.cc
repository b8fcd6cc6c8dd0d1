#include "kernels/codecs/codecs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/codecs/e4m3.h"
#include "kernels/codecs/q4.h"
#include "kernels/codecs/rotation.h"
#include "kernels/kernels_testing.h"

namespace longhaul {
namespace {

// Each the sum of twelve uniform numbers: close to normal.
std::vector<float> normal_floats(int64_t n, uint64_t seed) {
  const auto uniform = random_floats(12 * n, seed);
  std::vector<float> x(static_cast<size_t>(n));
  for (size_t i = 0; i < uniform.size(); ++i) x[i / 12] += 0.5f * uniform[i];
  return x;
}

std::vector<float> unpack(const AlignedBytes& packed, const Codec& codec, int64_t n, int64_t k) {
  std::vector<float> w(static_cast<size_t>(n * k));
  for (int64_t row = 0; row < n; ++row)
    codec.unpack({packed.data(), &codec, n, k}, row, w.data() + row * k);
  return w;
}

std::vector<float> padded_rows(const std::vector<float>& w, int64_t n, int64_t k, int64_t padded) {
  std::vector<float> rows(static_cast<size_t>(n * padded));
  for (int64_t row = 0; row < n; ++row)
    std::copy_n(w.begin() + row * k, k, rows.begin() + row * padded);
  return rows;
}

std::vector<float> round_trip(const std::vector<float>& w, const Codec& codec, int64_t n,
                              int64_t k) {
  AlignedBytes packed(codec.bytes(n, k));
  const auto error = pack_rows(w.data(), DType::kF32, n, k, codec, packed.data());
  EXPECT_TRUE(error.ok());
  // Of whole blocks: rotated weights err beyond k too, where they meet no input.
  const int64_t padded = round_up(k, codec.layout.block_inputs);
  double squares = 0.0;
  for (float x : w) squares += double{x} * double{x};
  EXPECT_NEAR(error->squared_weights, codec.is_plain ? 0.0 : squares, 1e-5 * squares);
  const double told = error->squared_error / (error->squared_weights + 1e-30);
  EXPECT_NEAR(
      told,
      codec.is_plain ? 0.0 : nmse(unpack(packed, codec, n, padded), padded_rows(w, n, k, padded)),
      1e-9);
  return unpack(packed, codec, n, k);
}

// Q4_0 of GGML: a scale a group, an eighth of the weight that is largest in magnitude, kept in f16;
// codes rounded, 8 for zero.
std::vector<float> q4_0(const std::vector<float>& w) {
  std::vector<float> back;
  for (size_t g = 0; g < w.size(); g += 32) {
    const auto group = std::span(w).subspan(g, 32);
    const float largest = *std::max_element(
        group.begin(), group.end(), [](float a, float b) { return std::abs(a) < std::abs(b); });
    const float scale = largest / -8.0f;
    for (float x : group)
      back.push_back(scale * (std::clamp(std::floor(x / scale + 8.5f), 0.0f, 15.0f) - 8.0f));
  }
  return back;
}

TEST(Quantise, Q4ErrsLessThanQ40) {
  const int64_t n = 64, k = 1024;
  const auto normal = normal_floats(n * k, 1);
  const double ours = nmse(round_trip(normal, kQ4Codec, n, k), normal),
               theirs = nmse(q4_0(normal), normal);
  EXPECT_LT(ours, 0.0066);
  EXPECT_LT(ours, 0.92 * theirs);
  auto heavy = normal;  // tails as of a product of two normals
  for (size_t i = 0; i < heavy.size(); ++i) heavy[i] *= normal[heavy.size() - 1 - i];
  EXPECT_LT(nmse(round_trip(heavy, kQ4Codec, n, k), heavy), 0.75 * nmse(q4_0(heavy), heavy));
}

TEST(Quantise, Q8KeepsEachWeightWithinHalfAStep) {
  const int64_t n = 20, k = 384;
  auto w = normal_floats(n * k, 2);
  for (int64_t i = 0; i < k; ++i)
    w[static_cast<size_t>(i)] *= i < kQuantBlock ? 100.0f : 0.1f;  // blocks of a row far apart
  const auto back = round_trip(w, kQ8Codec, n, k);
  EXPECT_LT(nmse(back, w), 6e-5);
  for (size_t first = 0; first < w.size(); first += kQuantBlock) {  // steps are of rotated weights
    std::array<float, kQuantBlock> rotated, kept;
    std::copy_n(w.begin() + static_cast<int64_t>(first), kQuantBlock, rotated.begin());
    std::copy_n(back.begin() + static_cast<int64_t>(first), kQuantBlock, kept.begin());
    rotate(rotated.data());
    rotate(kept.data());
    float largest = 0.0f;
    for (float x : rotated) largest = std::max(largest, std::abs(x));
    for (size_t i = 0; i < rotated.size(); ++i)
      ASSERT_NEAR(kept[i], rotated[i], largest / 127.0f * 0.501f);
  }
}

TEST(Quantise, LevelsAreKeptExactly) {  // weights that the format can express
  const int64_t n = 16, k = kQuantBlock;
  std::vector<float> w;
  for (int64_t i = 0; i < n * k; ++i)
    w.push_back(static_cast<float>(kQ4Levels[static_cast<size_t>(i * 7 % 16)]) * 0.01f);
  for (int64_t row = 0; row < n; ++row) rotate(w.data() + row * k);
  EXPECT_LT(nmse(round_trip(w, kQ4Codec, n, k), w), 1e-5);  // the scale is a bf16
  for (const Codec* codec : {&kQ4Codec, &kQ8Codec}) {
    EXPECT_EQ(round_trip(std::vector<float>(64, 0.0f), *codec, 1, 64),
              std::vector<float>(64, 0.0f));
  }
}

TEST(Quantise, ScalesOfAllSizes) {
  for (const Codec* codec : {&kQ4Codec, &kQ8Codec}) {
    for (float size : {1e-29f, 1e-6f, 1.0f, 1000.0f}) {
      auto w = random_floats(4 * 96, 6);
      for (float& x : w) x *= size;
      EXPECT_LT(nmse(round_trip(w, *codec, 4, 96), w), codec == &kQ4Codec ? 0.01 : 1e-4) << size;
    }
  }
}

TEST(Quantise, RowsTooSmallBecomeZeros) {
  for (const Codec* codec : {&kQ4Codec, &kQ8Codec}) {
    EXPECT_EQ(round_trip(std::vector<float>(64, 1e-40f), *codec, 2, 32),
              std::vector<float>(64, 0.0f));
  }
}

TEST(Quantise, PartsEqualTheWholeAndSourcesNeedNoAlignment) {
  const int64_t n = 50, k = 200;
  const auto w = normal_floats(n * k, 3);
  for (const Codec* codec : {&kQ4Codec, &kQ8Codec}) {
    AlignedBytes whole(codec->bytes(n, k)), parts(codec->bytes(n, k)),
        odd(static_cast<uint64_t>(n * k * 4 + 1));
    std::memset(parts.data(), 0xee, parts.span().size());
    std::memcpy(odd.data() + 1, w.data(), w.size() * 4);
    const auto pack = [&](const void* from, int64_t n_rows, std::byte* out) {
      return pack_rows(from, DType::kF32, n_rows, k, *codec, out).ok();
    };
    ASSERT_TRUE(pack(w.data(), n, whole.data()));
    ASSERT_TRUE(pack(odd.data() + 1, 32, parts.data()));
    ASSERT_TRUE(pack(odd.data() + 1 + 32 * k * 4, n - 32, parts.data() + codec->bytes(32, k)));
    EXPECT_EQ(std::memcmp(whole.data(), parts.data(), whole.span().size()), 0);
  }
}

TEST(Quantise, RefusesWhatHasNoScale) {
  for (float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 1e6f}) {
    std::vector<float> w(32, 1.0f);
    w[7] = bad;
    AlignedBytes packed(kQ4Codec.bytes(1, 32));
    const auto result = pack_rows(w.data(), DType::kF32, 1, 32, kQ4Codec, packed.data());
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code, ErrorCode::kCorruptFile);
    EXPECT_NE(result.error().text().find("column 7"), std::string::npos);
  }
}

TEST(PackF4, KeepsEveryValueOfTheFile) {
  constexpr float kValues[] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  for (const auto& [n, k] : {std::pair<int64_t, int64_t>{3, 160}, {17, 32}, {40, 257}}) {
    std::vector<std::byte> codes, scales;
    const auto noise = random_floats(n * k, 8);
    const int64_t code_stride = ceil_div(k, 2), scale_stride = ceil_div(k, 32);
    for (int64_t i = 0; i < n * code_stride; ++i)
      codes.push_back(std::byte{
          static_cast<uint8_t>(static_cast<int>(noise[static_cast<size_t>(i)] * 128.0f))});
    for (int64_t i = 0; i < n * scale_stride; ++i)
      scales.push_back(std::byte{static_cast<uint8_t>(100 + i % 50)});
    AlignedBytes packed(kMxfp4Codec.bytes(n, k));
    ASSERT_TRUE(
        kMxfp4Codec
            .pack({codes.data(), {DType::kF4, DType::kF8E8M0}, scales.data()}, n, k, packed.data())
            .ok());
    const auto w = unpack(packed, kMxfp4Codec, n, k);
    for (int64_t row = 0; row < n; ++row) {
      for (int64_t i = 0; i < k; ++i) {
        const int code =
            static_cast<int>(codes[static_cast<size_t>(row * code_stride + i / 2)]) >> (i % 2 * 4) &
            15;
        const int exponent =
            static_cast<int>(scales[static_cast<size_t>(row * scale_stride + i / 32)]) - 127;
        const float value = std::ldexp(kValues[code & 7], exponent);
        ASSERT_EQ(w[static_cast<size_t>(row * k + i)], code >= 8 ? -value : value)
            << row << ", " << i;
      }
    }
  }
}

TEST(PackF4, RefusesNanScales) {
  const std::vector<std::byte> codes(16), scales(1, std::byte{255});
  AlignedBytes packed(kMxfp4Codec.bytes(1, 32));
  EXPECT_FALSE(
      kMxfp4Codec
          .pack({codes.data(), {DType::kF4, DType::kF8E8M0}, scales.data()}, 1, 32, packed.data())
          .ok());
}

TEST(PackF8, KeepsEveryValueOfTheFile) {
  const int64_t n = 150, k = 300;
  std::vector<std::byte> codes;
  for (int64_t i = 0; i < n * k; ++i)
    codes.push_back(
        std::byte{static_cast<uint8_t>((i * 37 + i / 255) % 255 % 127 + (i % 2) * 128)});
  const auto scales = random_floats(2 * 3, 9);
  AlignedBytes packed(kE4m3Codec.bytes(n, k));
  SourceRows rows{
      codes.data(), {DType::kF8E4M3, DType::kF32}, std::as_bytes(std::span(scales)).data()};
  ASSERT_TRUE(kE4m3Codec.pack(rows, 64, k, packed.data()).ok());
  rows.data += 64 * k;
  rows.first_row = 64;
  ASSERT_TRUE(kE4m3Codec.pack(rows, n - 64, k, packed.data() + kE4m3Codec.bytes(64, k)).ok());
  const auto w = unpack(packed, kE4m3Codec, n, k);
  for (int64_t row = 0; row < n; ++row) {
    for (int64_t i = 0; i < k; ++i) {
      const auto at = static_cast<size_t>(row * k + i);
      ASSERT_EQ(w[at], scales[static_cast<size_t>(row / 128 * 3 + i / 128)] *
                           e4m3_to_f32(static_cast<uint8_t>(codes[at])));
    }
  }
}

TEST(PackF8, RefusesNan) {
  std::vector<std::byte> codes(16, std::byte{1});
  codes[3] = std::byte{0xff};
  AlignedBytes packed(kE4m3Codec.bytes(1, 16));
  const float scale = 1.0f;
  const SourceRows rows{
      codes.data(), {DType::kF8E4M3, DType::kF32}, reinterpret_cast<const std::byte*>(&scale)};
  EXPECT_FALSE(kE4m3Codec.pack(rows, 1, 16, packed.data()).ok());
}

// Of every codec that floats are rounded to.
TEST(Codecs, NormalWeightsErrNoMoreThanTheTableSays) {
  const int64_t n = 64, k = 1024;
  const auto w = normal_floats(n * k, 4);
  for (const Codec* codec : codecs()) {
    if (codec->option == nullptr) continue;
    const double error = std::sqrt(nmse(round_trip(w, *codec, n, k), w));
    EXPECT_LE(error, codec->rms_error) << codec->name;
    EXPECT_GE(error, 0.8 * codec->rms_error) << codec->name << ": the bound is loose";
  }
}

TEST(Codecs, AreFoundByTheirNames) {
  for (const Codec* codec : codecs()) {
    EXPECT_EQ(codec_of_suffix(codec->suffix), codec);
    if (codec->option == nullptr) continue;
    EXPECT_EQ(codec_of_option(codec->option), codec);
  }
  EXPECT_EQ(codec_of_option("q5"), nullptr);
  EXPECT_EQ(codec_that_keeps({DType::kF16}), &kF32Codec);
  EXPECT_EQ(codec_that_keeps({DType::kU8, DType::kF8E8M0}), &kMxfp4Codec);
  EXPECT_EQ(codec_that_keeps({DType::kU8, DType::kF32}), nullptr);
  EXPECT_EQ(codec_that_keeps({DType::kF8E4M3}), nullptr);
}

TEST(E4m3, ValuesOfTheFormat) {
  EXPECT_EQ(e4m3_to_f32(0x00), 0.0f);
  EXPECT_EQ(e4m3_to_f32(0x01), 0x1p-9f);
  EXPECT_EQ(e4m3_to_f32(0x07), 7 * 0x1p-9f);
  EXPECT_EQ(e4m3_to_f32(0x08), 0x1p-6f);
  EXPECT_EQ(e4m3_to_f32(0x38), 1.0f);
  EXPECT_EQ(e4m3_to_f32(0x7e), 448.0f);
  EXPECT_EQ(e4m3_to_f32(0xfe), -448.0f);
  EXPECT_TRUE(std::isnan(e4m3_to_f32(0x7f)));
  for (int code = 0; code < 0x7f; ++code)
    EXPECT_EQ(to_f32(to_bf16(e4m3_to_f32(static_cast<uint8_t>(code)))),
              e4m3_to_f32(static_cast<uint8_t>(code)));
}

}  // namespace
}  // namespace longhaul
