#include "kernels/codecs/quantise.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/check.h"
#include "base/numbers.h"
#include "kernels/unroll.h"
#include "tensor/float_at.h"

namespace longhaul {
namespace {

constexpr size_t kGroupSize = static_cast<size_t>(kQuantGroup);
using Group = std::array<float, kGroupSize>;

uint8_t* block_of(std::byte* out, DType dtype, int64_t k, int64_t row, int64_t block) {
  std::byte* panel = out + row / kPanel * block_panel_bytes(dtype, k);
  return reinterpret_cast<uint8_t*>(panel + panel_header_bytes(dtype, k) +
                                    block * block_bytes(dtype));
}

float* header_of(std::byte* out, DType dtype, int64_t k, int64_t row) {
  return reinterpret_cast<float*>(out + row / kPanel * block_panel_bytes(dtype, k));
}

// `codes` are those of a block whose 4-bit halves were zero.
void put_code(DType dtype, uint8_t* codes, int64_t output, int64_t input, int code) {
  uint8_t& byte = codes[code_at(dtype, output, input)];
  const bool is_whole = dtype == DType::kQ8 || dtype == DType::kF8E4M3;
  byte = static_cast<uint8_t>(is_whole ? code : byte | (input % 8 < 4 ? code : code << 4));
}

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

float largest_of(std::span<const float> w) {
  float largest = 0.0f;
  for (float x : w) largest = std::max(largest, std::abs(x));
  return largest;
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

constexpr size_t kGroups = static_cast<size_t>(kBlockGroups);
using BlockWeights = std::array<Group, kGroups>;

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

float squared_error(const BlockWeights& w, const Q4Choice& choice) {
  float error = 0.0f;
  for (size_t g = 0; g < kGroups; ++g)
    error += squared_error(w[g], to_f32(choice.scale) * static_cast<float>(choice.multipliers[g]));
  return error;
}

// With the scale that suits the codes best, by least squares, if the block errs less for it.
Q4Choice refit(const BlockWeights& w, const Q4Choice& choice) {
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
Q4Choice choose_q4(const BlockWeights& w, float largest) {
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

void add_error(QuantError& error, float w, float rounded) {
  error.squared_error += (double{w} - double{rounded}) * (double{w} - double{rounded});
  error.squared_weights += double{w} * double{w};
}

QuantError quantise_q4_block(const BlockWeights& w, float largest, int64_t output, uint8_t* block) {
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
      put_code(DType::kQ4, block + block_scale_bytes(DType::kQ4), output, input, kNearest.code[at]);
      add_error(error, w[g][i], scale * kNearest.level[at]);
    }
  }
  scales.multipliers[static_cast<size_t>(output)] = multipliers;
  return error;
}

QuantError quantise_q8_block(const BlockWeights& w, float largest, int64_t output, uint8_t* block) {
  constexpr float kLargestCode = 127.0f;
  const float scale = largest < kLeastInput ? 0.0f : largest / kLargestCode,
              inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
  reinterpret_cast<float*>(block)[output] = scale;
  QuantError error;
  for (size_t g = 0; g < kGroups; ++g) {
    for (size_t i = 0; i < kGroupSize; ++i) {
      const float code = std::clamp(std::nearbyint(w[g][i] * inverse), -kLargestCode, kLargestCode);
      const auto input = static_cast<int64_t>(g * kGroupSize + i);
      put_code(DType::kQ8, block + block_scale_bytes(DType::kQ8), output, input,
               kCodeOffset + static_cast<int>(code));
      add_error(error, w[g][i], scale * code);
    }
  }
  return error;
}

QuantError quantise_row(const float* w, DType dtype, int64_t row, int64_t k, std::byte* out) {
  QuantError error;
  for (int64_t first = 0; first < k; first += kQuantBlock) {
    BlockWeights weights{};
    for (int64_t i = first; i < std::min(first + kQuantBlock, k); ++i) {
      weights[static_cast<size_t>((i - first) / kQuantGroup)]
             [static_cast<size_t>(i % kQuantGroup)] = w[i];
    }
    const float largest =
        largest_of({w + first, static_cast<size_t>(std::min(kQuantBlock, k - first))});
    uint8_t* block = block_of(out, dtype, k, row, first / kQuantBlock);
    error += dtype == DType::kQ4 ? quantise_q4_block(weights, largest, row % kPanel, block)
                                 : quantise_q8_block(weights, largest, row % kPanel, block);
  }
  return error;
}

// The panels of these rows, all zero, so that codes can be put in and rows beyond the last one are
// zeros.
void clear_panels(DType dtype, int64_t first_row, int64_t n_rows, int64_t k, std::byte* out) {
  const int64_t bytes = block_panel_bytes(dtype, k);
  std::memset(out + first_row / kPanel * bytes, 0,
              static_cast<size_t>(ceil_div(n_rows, kPanel) * bytes));
}

}  // namespace

QuantError& QuantError::operator+=(const QuantError& other) {
  squared_error += other.squared_error;
  squared_weights += other.squared_weights;
  return *this;
}

Result<QuantError> quantise_rows(const void* source, DType source_dtype, int64_t first_row,
                                 int64_t n_rows, int64_t k, DType packed, std::byte* out) {
  LH_CHECK(first_row % kPanel == 0 && (packed == DType::kQ8 || packed == DType::kQ4));
  LH_CHECK(source_dtype == DType::kF32 || source_dtype == DType::kF16 ||
           source_dtype == DType::kBF16);
  clear_panels(packed, first_row, n_rows, k, out);
  std::vector<float> row(static_cast<size_t>(k));
  QuantError error;
  for (int64_t r = 0; r < n_rows; ++r) {
    for (int64_t i = 0; i < k; ++i) {
      float& w = row[static_cast<size_t>(i)] = float_at(source, source_dtype, r * k + i);
      if (!(std::abs(w) <= kLargestWeight)) {
        return corrupt(
            "row {}, column {} holds {}, which cannot be quantised (at most {} in magnitude); "
            "download the checkpoint again",
            first_row + r, i, w, kLargestWeight);
      }
    }
    error += quantise_row(row.data(), packed, first_row + r, k, out);
  }
  return error;
}

Status pack_f4_rows(const std::byte* codes, const std::byte* scales, int64_t first_row,
                    int64_t n_rows, int64_t k, std::byte* out) {
  LH_CHECK(first_row % kPanel == 0);
  constexpr DType kFormat = DType::kF4;
  clear_panels(kFormat, first_row, n_rows, k, out);
  const int64_t code_stride = ceil_div(k, 2), scale_stride = ceil_div(k, kQuantGroup);
  for (int64_t r = 0; r < n_rows; ++r) {
    const int64_t row = first_row + r, output = row % kPanel;
    header_of(out, kFormat, k, row)[output] = 0.5f;  // the levels are doubled
    for (int64_t g = 0; g < scale_stride; ++g) {
      const auto scale = static_cast<uint8_t>(scales[r * scale_stride + g]);
      if (scale == 255)
        return corrupt(
            "the scale of row {}, columns from {} is not a number; download the checkpoint again",
            row, g * kQuantGroup);
      block_of(out, kFormat, k, row, g / kBlockGroups)[g % kBlockGroups * kPanel + output] = scale;
    }
    for (int64_t i = 0; i < k; ++i) {
      const auto byte = static_cast<uint8_t>(codes[r * code_stride + i / 2]);
      uint8_t* block = block_of(out, kFormat, k, row, i / kQuantBlock);
      put_code(kFormat, block + block_scale_bytes(kFormat), output, i % kQuantBlock,
               i % 2 == 0 ? byte & 15 : byte >> 4);
    }
  }
  return {};
}

Status pack_f8_rows(const std::byte* codes, std::span<const float> scales, int64_t first_row,
                    int64_t n_rows, int64_t k, std::byte* out) {
  LH_CHECK(first_row % kPanel == 0);
  LH_CHECK(static_cast<int64_t>(scales.size()) >=
           ceil_div(first_row + n_rows, kQuantBlock) * blocks_of(k));
  constexpr DType kFormat = DType::kF8E4M3;
  clear_panels(kFormat, first_row, n_rows, k, out);
  for (int64_t r = 0; r < n_rows; ++r) {
    const int64_t row = first_row + r;
    std::copy_n(scales.data() + row / kQuantBlock * blocks_of(k), blocks_of(k),
                header_of(out, kFormat, k, row));
    for (int64_t i = 0; i < k; ++i) {
      const auto code = static_cast<uint8_t>(codes[r * k + i]);
      if ((code & 0x7f) == 0x7f)
        return corrupt("row {}, column {} is not a number; download the checkpoint again", row, i);
      put_code(kFormat, block_of(out, kFormat, k, row, i / kQuantBlock), row % kPanel,
               i % kQuantBlock, code);
    }
  }
  return {};
}

void unpack_row(const PackedMatrix& m, int64_t row, float* out) {
  LH_CHECK(is_block_format(m.dtype));
  const std::byte* panel = m.data + row / kPanel * m.panel_bytes();
  const int64_t output = row % kPanel;
  for (int64_t i = 0; i < m.k; ++i) {
    const int64_t b = i / kQuantBlock, in_block = i % kQuantBlock;
    const auto* block = reinterpret_cast<const uint8_t*>(panel + panel_header_bytes(m.dtype, m.k) +
                                                         b * block_bytes(m.dtype));
    const uint8_t byte = block[block_scale_bytes(m.dtype) + code_at(m.dtype, output, in_block)];
    if (m.dtype == DType::kF8E4M3) {
      out[i] = reinterpret_cast<const float*>(panel)[b] * e4m3_to_f32(byte);
      continue;
    }
    out[i] = group_scale(m.dtype, panel, block, output, in_block / kQuantGroup) *
             static_cast<float>(level_of(m.dtype, byte, in_block));
  }
}

}  // namespace longhaul
