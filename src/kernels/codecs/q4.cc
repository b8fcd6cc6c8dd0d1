#include "kernels/codecs/q4.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/codecs/codecs.h"
#include "kernels/codecs/integer_blocks.h"
#include "kernels/codecs/rounding.h"
#include "kernels/unroll.h"

namespace longhaul {
namespace {

using rounding::Block;
using rounding::Group;
using rounding::kGroups;
using rounding::largest_of;

constexpr size_t kGroupSize = static_cast<size_t>(kQuantGroup);

// Rounding to the nearest of kQ4Levels, ties upwards, by floor(2 x): midpoints are whole or half
// numbers.
constexpr float kTableReach = 32.0f;  // for |x| below this
struct Nearest {
  std::array<uint8_t, 128> code{};
  std::array<float, 128> level{};
};
constexpr Nearest kNearest = [] {
  Nearest nearest{};
  size_t code = 0;
  for (size_t i = 0; i < nearest.code.size(); ++i) {
    const float x = 0.5f * static_cast<float>(i) - kTableReach;
    while (code + 1 < kQ4Levels.size() &&
           x >= 0.5f * static_cast<float>(kQ4Levels[code] + kQ4Levels[code + 1]))
      ++code;
    nearest.code[i] = static_cast<uint8_t>(code);
    nearest.level[i] = static_cast<float>(kQ4Levels[code]);
  }
  return nearest;
}();

size_t place(float x) {
  return static_cast<size_t>(static_cast<int>(2.0f * x + 2.0f * kTableReach));
}

// Of rounding a group with this scale, which must reach its weights. At scale 0 all of it is lost.
float squared_error(const Group& w, float scale) {
  const float inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
  std::array<float, 4> sums{};  // in turn: one sum would wait for itself
  for (size_t i = 0; i < kGroupSize; i += sums.size()) {
    LH_UNROLL for (size_t j = 0; j < sums.size(); ++j) {
      const float error = w[i + j] - scale * kNearest.level[place(w[i + j] * inverse)];
      sums[j] += error * error;
    }
  }
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

// A group's error at scales from a fine to a coarse one, a constant factor apart, so that many
// scales of the block can be weighed at once.
class ErrorCurve {
 public:
  ErrorCurve(const Group& w, float largest)
      : log_finest_(std::log2(largest / kFinestTop)), all_lost_(squared_error(w, 0.0f)) {
    float scale = largest / kFinestTop;
    for (float& error : errors_) {
      error = squared_error(w, scale);
      scale *= kStep;
    }
  }

  // Between the points it is a straight line; scales that are finer or coarser than all of them are
  // never best.
  float at(float log_scale) const {
    const float x = (log_scale - log_finest_) * kPointsPerOctave;
    if (!(x >= 0.0f)) return std::numeric_limits<float>::infinity();
    const auto i = static_cast<size_t>(x);
    if (i + 1 >= errors_.size()) return all_lost_;
    return errors_[i] + (x - static_cast<float>(i)) * (errors_[i + 1] - errors_[i]);
  }

  float all_lost() const { return all_lost_; }

 private:
  // The level that the largest weight of the group falls on, at the finest scale.
  static constexpr float kFinestTop = 12.0f, kStep = 1.0905077f,
                         kPointsPerOctave = 8.0f;  // 2^(1/8)
  std::array<float, 12> errors_;
  float log_finest_, all_lost_;
};

// A scale on which the largest weight of a group is beyond this is not tried; from there to the
// table's reach a scale may still be refitted.
constexpr float kFarthest = 20.0f;

struct Q4Choice {
  bf16 scale{0};
  std::array<int, kGroups> multipliers{};
};

// log2 of each multiplier; of 0 there is none.
constexpr std::array<float, kLargestQ4Multiplier + 1> kLog2Multiplier = {
    0.0f,       0.0f, 1.0f,      1.5849625f, 2.0f,       2.3219281f, 2.5849625f,
    2.8073549f, 3.0f, 3.169925f, 3.3219281f, 3.4594316f, 3.5849625f};

// The multiplier with the least error on the curve, and that error.
std::pair<int, float> best_multiplier(const ErrorCurve& curve, float log_scale) {
  std::pair<int, float> best{0, curve.all_lost()};
  for (int m = 1; m <= kLargestQ4Multiplier; ++m) {
    const float error = curve.at(log_scale + kLog2Multiplier[static_cast<size_t>(m)]);
    if (error < best.second) best = {m, error};
  }
  return best;
}

float squared_error(const Block& w, const Q4Choice& choice) {
  float error = 0.0f;
  for (size_t g = 0; g < kGroups; ++g)
    error += squared_error(w[g], to_f32(choice.scale) * static_cast<float>(choice.multipliers[g]));
  return error;
}

// With the scale that suits the codes best, by least squares, if the block errs less for it.
Q4Choice refit(const Block& w, const Q4Choice& choice) {
  float products = 0.0f, squares = 0.0f;
  for (size_t g = 0; g < kGroups; ++g) {
    const auto m = static_cast<float>(choice.multipliers[g]);
    const float scale = to_f32(choice.scale) * m, inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
    for (float x : w[g]) {
      const float integer = m * kNearest.level[place(x * inverse)];
      products += x * integer;
      squares += integer * integer;
    }
  }
  if (squares == 0.0f) return choice;
  const Q4Choice refitted{to_bf16(products / squares), choice.multipliers};
  if (to_f32(refitted.scale) < to_f32(choice.scale) * (kFarthest / kTableReach))
    return choice;  // the table would not reach
  return squared_error(w, refitted) < squared_error(w, choice) ? refitted : choice;
}

// The scale with which the block's groups, each with its best multiplier, err least together; then
// each multiplier once more beside its neighbours, exactly.
Q4Choice choose_q4(const Block& w, float largest) {
  // From the finest scale of the group with the largest weight, which takes the largest multiplier,
  // in steps to one with which it takes a smaller one.
  constexpr float kFirstTop = 11.5f, kStep = 1.0307f;
  constexpr int kTries = 24;
  const auto curve_of = [&](size_t g) {
    return ErrorCurve(w[g], std::max(largest_of(w[g]), largest * 1e-6f));
  };
  const std::array<ErrorCurve, kGroups> curves = {curve_of(0), curve_of(1), curve_of(2),
                                                  curve_of(3)};
  bf16 best{0};
  float least = std::numeric_limits<float>::infinity(),
        wanted = largest / (kFirstTop * kLargestQ4Multiplier);
  for (int i = 0; i < kTries; ++i, wanted *= kStep) {
    const bf16 scale = to_bf16(wanted);
    const float log_scale = std::log2(to_f32(scale));
    float error = 0.0f;
    for (const ErrorCurve& curve : curves) error += best_multiplier(curve, log_scale).second;
    if (error < least) {
      least = error;
      best = scale;
    }
  }
  Q4Choice choice{.scale = best};
  for (size_t g = 0; g < kGroups; ++g) {
    const int near = best_multiplier(curves[g], std::log2(to_f32(best))).first;
    float least_of_group = std::numeric_limits<float>::infinity();
    for (int m = std::max(near - 1, 0); m <= std::min(near + 1, kLargestQ4Multiplier); ++m) {
      const float scale = to_f32(best) * static_cast<float>(m);
      const bool reaches = m == 0 || largest_of(w[g]) < kFarthest * scale;
      const float error = reaches ? squared_error(w[g], scale) : least_of_group;
      if (error >= least_of_group) continue;
      least_of_group = error;
      choice.multipliers[g] = m;
    }
  }
  return refit(w, choice);
}

QuantError round_block(const Block& w, float largest, int64_t output, uint8_t* block) {
  const Q4Choice choice = largest < kLeastInput ? Q4Choice{} : choose_q4(w, largest);
  auto& scales = *reinterpret_cast<Q4Scales*>(block);
  scales.scale[static_cast<size_t>(output)] = choice.scale;
  uint16_t multipliers = 0;
  QuantError error;
  for (size_t g = 0; g < kGroups; ++g) {
    multipliers = static_cast<uint16_t>(multipliers | choice.multipliers[g] << (4 * g));
    const float scale = to_f32(choice.scale) * static_cast<float>(choice.multipliers[g]);
    const float inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
    for (size_t i = 0; i < kGroupSize; ++i) {
      const size_t at = place(w[g][i] * inverse);
      const auto input = static_cast<int64_t>(g * kGroupSize + i);
      put_nibble(block + Q4Blocks::kScaleBytes, output, input, kNearest.code[at]);
      rounding::add_error(error, w[g][i], scale * kNearest.level[at]);
    }
  }
  scales.multipliers[static_cast<size_t>(output)] = multipliers;
  return error;
}

Result<QuantError> pack(const SourceRows& rows, int64_t n_rows, int64_t k, std::byte* out) {
  return rounding::round_rows(Q4Blocks::kLayout, rows, n_rows, k, out, round_block);
}

}  // namespace

// A block gets the scale, and its groups the multipliers, with the least squared error of those
// tried.
constinit const Codec kQ4Codec = {
    .name = "Q4",
    .suffix = "q4",
    .option = "q4",
    .layout = Q4Blocks::kLayout,
    .inputs = Q4Blocks::kInputs,
    .rms_error = 0.082,
    .finer = &kQ8Codec,
    .unrounded = &kBf16Codec,
    .pack = pack,
    .unpack = integer_blocks::unpack<Q4Blocks>,
    .product = integer_blocks::multiply<Q4Blocks>,
};

}  // namespace longhaul
