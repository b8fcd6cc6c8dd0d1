#include "formats/block_encoder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/numbers.h"
#include "tensor/code_levels.h"

namespace longhaul {
namespace {

using Block = std::array<float, kEncodedBlock>;

float largest_of(const float* x) {
  float largest = 0.0f;
  for (int64_t i = 0; i < kEncodedBlock; ++i) largest = std::max(largest, std::abs(x[i]));
  return largest;
}

// d, 32 signed bytes
void encode_q8_0(const float* x, std::byte* out) {
  const f16 d = to_f16(largest_of(x) / 127.0f);
  std::memcpy(out, &d, sizeof d);
  const float scale = to_f32(d), inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  for (int64_t i = 0; i < kEncodedBlock; ++i) {
    const float code = std::clamp(std::nearbyint(x[i] * inverse), -127.0f, 127.0f);
    out[2 + i] = static_cast<std::byte>(static_cast<int8_t>(code));
  }
}

// The code of the level nearest to an integer from -128 to 127.
constexpr std::array<uint8_t, 256> kNearestLevel = [] {
  std::array<uint8_t, 256> codes{};
  for (int i = 0; i < 256; ++i) {
    int best = 1 << 20;
    for (size_t code = 0; code < kIq4Levels.size(); ++code) {
      const int away = i - 128 - kIq4Levels[code];
      if (away * away >= best) continue;
      best = away * away;
      codes[static_cast<size_t>(i)] = static_cast<uint8_t>(code);
    }
  }
  return codes;
}();

// Codes for a scale, and the sums that tell which scale suits them best.
struct Fit {
  std::array<uint8_t, kEncodedBlock> codes;
  float products = 0, squares = 0;  // of weights with levels, and of levels

  float gain() const { return squares > 0 ? products * products / squares : 0.0f; }
  float scale() const { return squares > 0 ? products / squares : 0.0f; }
};

Fit fit_of(const float* x, float inverse) {
  Fit fit;
  for (int64_t i = 0; i < kEncodedBlock; ++i) {
    const float level = std::clamp(std::nearbyint(x[i] * inverse), -128.0f, 127.0f);
    const uint8_t code = kNearestLevel[static_cast<size_t>(static_cast<int>(level) + 128)];
    const auto own = static_cast<float>(kIq4Levels[code]);
    fit.codes[static_cast<size_t>(i)] = code;
    fit.products += x[i] * own;
    fit.squares += own * own;
  }
  return fit;
}

// d, 16 bytes: weights 0 to 15 in low halves, 16 to 31 in high ones. The squared error of codes
// with their best scale is that of the weights less gain().
void encode_iq4_nl(const float* x, std::byte* out) {
  // What the largest weight becomes; levels are not symmetric, so of either sign.
  constexpr std::array kPeaks = {-127.0f, -113.0f, -100.0f, -90.0f, 90.0f, 100.0f, 113.0f, 121.0f};
  const float largest = largest_of(x);
  Fit best;
  for (const float peak : kPeaks) {
    const Fit fit = fit_of(x, largest > 0.0f ? peak / largest : 0.0f);
    if (&peak == kPeaks.data() || fit.gain() > best.gain()) best = fit;
  }
  const f16 d = to_f16(best.scale());
  std::memcpy(out, &d, sizeof d);
  constexpr size_t kHalf = kEncodedBlock / 2;
  for (size_t i = 0; i < kHalf; ++i)
    out[2 + i] = static_cast<std::byte>(best.codes[i] | best.codes[i + kHalf] << 4);
}

}  // namespace

void encode_blocks(DType type, const float* x, int64_t n_blocks, std::byte* out) {
  LH_CHECK(type == DType::kQ8_0 || type == DType::kIQ4_NL);
  const auto encode = type == DType::kQ8_0 ? encode_q8_0 : encode_iq4_nl;
  for (int64_t b = 0; b < n_blocks; ++b)
    encode(x + b * kEncodedBlock, out + b * block_of(type).bytes);
}

}  // namespace longhaul
