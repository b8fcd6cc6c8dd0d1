#include "kernels/quantise.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/numbers.h"
#include "kernels/unroll.h"

namespace longhaul {
namespace {

constexpr size_t kGroupSize = static_cast<size_t>(kQuantGroup);
using Group = std::array<float, kGroupSize>;

float load(const std::byte* source, DType dtype, int64_t i) {
  if (dtype == DType::kF32) {
    float x;
    std::memcpy(&x, source + 4 * i, sizeof x);
    return x;
  }
  uint16_t bits;
  std::memcpy(&bits, source + 2 * i, sizeof bits);
  return dtype == DType::kBF16 ? to_f32(bf16{bits}) : to_f32(f16{bits});
}

uint8_t* block_of(std::byte* out, DType dtype, int64_t k, int64_t row, int64_t block) {
  std::byte* panel = out + row / kPanel * block_panel_bytes(dtype, k);
  return reinterpret_cast<uint8_t*>(panel + panel_header_bytes(dtype, k) + block * block_bytes(dtype));
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

// Rounding to the nearest of kQ4Levels, ties upwards: code = how many of the midpoints are at most x.
constexpr std::array<float, 15> kMidpoints = [] {
  std::array<float, 15> midpoints{};
  for (size_t i = 0; i < midpoints.size(); ++i) midpoints[i] = 0.5f * static_cast<float>(kQ4Levels[i] + kQ4Levels[i + 1]);
  return midpoints;
}();

// The bounds of the search for a scale: the group's largest magnitude falls between these.
constexpr float kLeastTopLevel = 85.0f, kLargestTopLevel = 140.0f;

// The code of every x in [-256, 256) by floor(2 x): midpoints are whole or half numbers.
constexpr float kTableReach = 256.0f;
struct Nearest {
  std::array<uint8_t, 1024> code{};
  std::array<float, 1024> level{};
};
constexpr Nearest kNearest = [] {
  Nearest nearest{};
  uint8_t code = 0;
  for (size_t i = 0; i < nearest.code.size(); ++i) {
    const float x = 0.5f * static_cast<float>(i) - kTableReach;
    while (code < kMidpoints.size() && x >= kMidpoints[code]) ++code;
    nearest.code[i] = code;
    nearest.level[i] = static_cast<float>(kQ4Levels[code]);
  }
  return nearest;
}();
static_assert(kLargestTopLevel * 1.5f < kTableReach);

size_t place(float x) { return static_cast<size_t>(static_cast<int>(2.0f * x + 2.0f * kTableReach)); }

double squared_error(const Group& w, float scale) {
  const float inverse = 1.0f / scale;
  std::array<float, 4> sums{};  // in turn: one sum would wait for itself
  for (size_t i = 0; i < kGroupSize; i += sums.size()) {
    LH_UNROLL for (size_t j = 0; j < sums.size(); ++j) {
      const float x = w[i + j] * inverse, error = x - kNearest.level[place(x)];
      sums[j] += error * error;
    }
  }
  return (double{sums[0]} + double{sums[1]} + double{sums[2]} + double{sums[3]}) * double{scale} * double{scale};
}

constexpr float kLargestQ8Code = 127.0f;

struct Scale {
  uint8_t byte = 0;
  float value = 0.0f;
};

// The smallest byte whose scale, times the row's factor, is at least `wanted` (but for a rounding of the last bit).
uint8_t byte_reaching(DType dtype, float factor, float wanted) {
  const uint32_t step = uint32_t{1} << scale_shift(dtype);
  const uint32_t byte = (std::bit_cast<uint32_t>(wanted / factor) + step - 1) / step;
  return static_cast<uint8_t>(std::clamp<uint32_t>(byte, kLeastScale, 255));
}

Scale best_q4_scale(const Group& w, float largest, float factor) {
  Scale best;
  double least = 0.0;
  for (int byte = byte_reaching(DType::kQ4, factor, largest / kLargestTopLevel); byte <= 255; ++byte) {
    const float value = factor * scale_of(DType::kQ4, static_cast<uint8_t>(byte));
    const double error = squared_error(w, value);
    if (best.byte == 0 || error < least) {
      best = {static_cast<uint8_t>(byte), value};
      least = error;
    }
    if (value * kLeastTopLevel > largest) break;
  }
  return best;
}

Scale scale_of_group(DType dtype, const Group& w, float factor) {
  float largest = 0.0f;
  for (float x : w) largest = std::max(largest, std::abs(x));
  if (largest == 0.0f || factor == 0.0f) return {};
  if (dtype == DType::kQ4) return best_q4_scale(w, largest, factor);
  const uint8_t byte = byte_reaching(dtype, factor, largest / kLargestQ8Code);
  return {byte, factor * scale_of(dtype, byte)};
}

int q8_code(float x) { return kCodeOffset + static_cast<int>(std::clamp(std::nearbyint(x), -kLargestQ8Code, kLargestQ8Code)); }

QuantError quantise_group(DType dtype, const Group& w, float factor, int64_t output, int64_t g, uint8_t* block) {
  const Scale scale = scale_of_group(dtype, w, factor);
  block[g * kPanel + output] = scale.byte;
  const float inverse = scale.byte == 0 ? 0.0f : 1.0f / scale.value;
  QuantError error;
  for (size_t i = 0; i < kGroupSize; ++i) {
    const int code = dtype == DType::kQ4 ? kNearest.code[place(w[i] * inverse)] : q8_code(w[i] * inverse);
    const int level = dtype == DType::kQ4 ? kQ4Levels[static_cast<size_t>(code)] : code - kCodeOffset;
    put_code(dtype, block + block_scale_bytes(dtype), output, g * kQuantGroup + static_cast<int64_t>(i), code);
    const double difference = double{w[i]} - double{scale.value} * level;
    error.squared_error += difference * difference;
    error.squared_weights += double{w[i]} * double{w[i]};
  }
  return error;
}

// The factor with which the largest byte is the largest scale that a group of the row may want; 0 where all of the row becomes 0.
float factor_of_row(DType dtype, float largest) {
  if (largest < kLeastInput) return 0.0f;
  const float top_level = dtype == DType::kQ4 ? kLeastTopLevel : kLargestQ8Code;
  return largest / top_level / scale_of(dtype, 255);
}

QuantError quantise_row(const float* w, DType dtype, int64_t row, int64_t k, float largest, std::byte* out) {
  const float factor = factor_of_row(dtype, largest);
  header_of(out, dtype, k, row)[row % kPanel] = factor;
  QuantError error;
  for (int64_t first = 0; first < round_up(k, kQuantBlock); first += kQuantGroup) {
    Group group{};
    if (first < k) std::copy_n(w + first, std::min(kQuantGroup, k - first), group.begin());
    uint8_t* block = block_of(out, dtype, k, row, first / kQuantBlock);
    error += quantise_group(dtype, group, factor, row % kPanel, first % kQuantBlock / kQuantGroup, block);
  }
  return error;
}

// The panels of these rows, all zero, so that codes can be put in and rows beyond the last one are zeros.
void clear_panels(DType dtype, int64_t first_row, int64_t n_rows, int64_t k, std::byte* out) {
  const int64_t bytes = block_panel_bytes(dtype, k);
  std::memset(out + first_row / kPanel * bytes, 0, static_cast<size_t>(ceil_div(n_rows, kPanel) * bytes));
}

}  // namespace

QuantError& QuantError::operator+=(const QuantError& other) {
  squared_error += other.squared_error;
  squared_weights += other.squared_weights;
  return *this;
}

Result<QuantError> quantise_rows(const void* source, DType source_dtype, int64_t first_row, int64_t n_rows, int64_t k, DType packed,
                                 std::byte* out) {
  LH_CHECK(first_row % kPanel == 0 && (packed == DType::kQ8 || packed == DType::kQ4));
  LH_CHECK(source_dtype == DType::kF32 || source_dtype == DType::kF16 || source_dtype == DType::kBF16);
  clear_panels(packed, first_row, n_rows, k, out);
  std::vector<float> row(static_cast<size_t>(k));
  QuantError error;
  for (int64_t r = 0; r < n_rows; ++r) {
    float largest = 0.0f;
    for (int64_t i = 0; i < k; ++i) {
      float& w = row[static_cast<size_t>(i)] = load(static_cast<const std::byte*>(source), source_dtype, r * k + i);
      if (!(std::abs(w) <= kLargestWeight)) {
        return corrupt("row {}, column {} holds {}, which cannot be quantised (at most {} in magnitude)", first_row + r, i, w,
                       kLargestWeight);
      }
      largest = std::max(largest, std::abs(w));
    }
    error += quantise_row(row.data(), packed, first_row + r, k, largest, out);
  }
  return error;
}

Status pack_f4_rows(const std::byte* codes, const std::byte* scales, int64_t first_row, int64_t n_rows, int64_t k, std::byte* out) {
  LH_CHECK(first_row % kPanel == 0);
  constexpr DType kFormat = DType::kF4;
  clear_panels(kFormat, first_row, n_rows, k, out);
  const int64_t code_stride = ceil_div(k, 2), scale_stride = ceil_div(k, kQuantGroup);
  for (int64_t r = 0; r < n_rows; ++r) {
    const int64_t row = first_row + r, output = row % kPanel;
    header_of(out, kFormat, k, row)[output] = 0.5f;  // the levels are doubled
    for (int64_t g = 0; g < scale_stride; ++g) {
      const auto scale = static_cast<uint8_t>(scales[r * scale_stride + g]);
      if (scale == 255) return corrupt("the scale of row {}, columns from {} is not a number", row, g * kQuantGroup);
      block_of(out, kFormat, k, row, g / kBlockGroups)[g % kBlockGroups * kPanel + output] = scale;
    }
    for (int64_t i = 0; i < k; ++i) {
      const auto byte = static_cast<uint8_t>(codes[r * code_stride + i / 2]);
      uint8_t* block = block_of(out, kFormat, k, row, i / kQuantBlock);
      put_code(kFormat, block + block_scale_bytes(kFormat), output, i % kQuantBlock, i % 2 == 0 ? byte & 15 : byte >> 4);
    }
  }
  return {};
}

Status pack_f8_rows(const std::byte* codes, std::span<const float> scales, int64_t first_row, int64_t n_rows, int64_t k, std::byte* out) {
  LH_CHECK(first_row % kPanel == 0);
  LH_CHECK(static_cast<int64_t>(scales.size()) >= ceil_div(first_row + n_rows, kQuantBlock) * blocks_of(k));
  constexpr DType kFormat = DType::kF8E4M3;
  clear_panels(kFormat, first_row, n_rows, k, out);
  for (int64_t r = 0; r < n_rows; ++r) {
    const int64_t row = first_row + r;
    std::copy_n(scales.data() + row / kQuantBlock * blocks_of(k), blocks_of(k), header_of(out, kFormat, k, row));
    for (int64_t i = 0; i < k; ++i) {
      const auto code = static_cast<uint8_t>(codes[r * k + i]);
      if ((code & 0x7f) == 0x7f) return corrupt("row {}, column {} is not a number", row, i);
      put_code(kFormat, block_of(out, kFormat, k, row, i / kQuantBlock), row % kPanel, i % kQuantBlock, code);
    }
  }
  return {};
}

void unpack_row(const PackedMatrix& m, int64_t row, float* out) {
  LH_CHECK(is_block_format(m.dtype));
  const std::byte* panel = m.data + row / kPanel * m.panel_bytes();
  const auto* header = reinterpret_cast<const float*>(panel);
  const int64_t output = row % kPanel;
  for (int64_t i = 0; i < m.k; ++i) {
    const int64_t b = i / kQuantBlock, in_block = i % kQuantBlock;
    const auto* block = reinterpret_cast<const uint8_t*>(panel + panel_header_bytes(m.dtype, m.k) + b * block_bytes(m.dtype));
    const uint8_t byte = block[block_scale_bytes(m.dtype) + code_at(m.dtype, output, in_block)];
    if (m.dtype == DType::kF8E4M3) {
      out[i] = header[b] * e4m3_to_f32(byte);
      continue;
    }
    const auto half = static_cast<size_t>(in_block % 8 < 4 ? byte & 15 : byte >> 4);
    const int level = m.dtype == DType::kQ8 ? byte - kCodeOffset : m.dtype == DType::kQ4 ? kQ4Levels[half] : kF4Levels[half];
    const float scale = header[output] * scale_of(m.dtype, block[in_block / kQuantGroup * kPanel + output]);
    out[i] = scale * static_cast<float>(level);
  }
}

}  // namespace longhaul
