// Rounding rows of floats into blocks of 128 inputs: what formats that round share.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>

#include "base/check.h"
#include "kernels/codecs/codec.h"
#include "kernels/codecs/rotation.h"
#include "tensor/float_at.h"

namespace longhaul::rounding {

// Weights beyond this are refused: they are damaged, and products with them would leave f32's
// range.
inline constexpr float kLargestWeight = 65536.0f;

inline constexpr size_t kGroups = static_cast<size_t>(kBlockGroups);
using Group = std::array<float, static_cast<size_t>(kQuantGroup)>;
using Block = std::array<Group, kGroups>;  // of one output; zeros beyond K

inline float largest_of(std::span<const float> w) {
  float largest = 0.0f;
  for (float x : w) largest = std::max(largest, std::abs(x));
  return largest;
}

inline float largest_of(const Block& w) {
  float largest = 0.0f;
  for (const Group& group : w) largest = std::max(largest, largest_of(std::span(group)));
  return largest;
}

inline void add_error(QuantError& error, float w, float rounded) {
  error.squared_error += (double{w} - double{rounded}) * (double{w} - double{rounded});
  error.squared_weights += double{w} * double{w};
}

// The panels of these rows, all zero, so that codes can be put in and rows beyond the last one are
// zeros.
inline void clear_panels(const PanelLayout& layout, int64_t n_rows, int64_t k, std::byte* out) {
  std::memset(out, 0, static_cast<size_t>(ceil_div(n_rows, kPanel) * layout.panel_bytes(k)));
}

// Where a block of the row stands.
inline uint8_t* block_of(const PanelLayout& layout, std::byte* out, int64_t k, int64_t row,
                         int64_t block) {
  return reinterpret_cast<uint8_t*>(out + row / kPanel * layout.panel_bytes(k) + layout.header(k) +
                                    block * layout.block_bytes);
}

// Weights [first, first + kQuantBlock) of row r of the source.
inline Status read_block(const SourceRows& rows, int64_t r, int64_t first, int64_t k,
                         Block& block) {
  for (int64_t i = first; i < std::min(first + kQuantBlock, k); ++i) {
    const float w = float_at(rows.data, rows.type.elements, r * k + i);
    if (!(std::abs(w) <= kLargestWeight)) {
      return corrupt(
          "row {}, column {} holds {}, which cannot be quantised (at most {} in magnitude); "
          "download the checkpoint again",
          rows.first_row + r, i, w, kLargestWeight);
    }
    block[static_cast<size_t>((i - first) / kQuantGroup)][static_cast<size_t>(i % kQuantGroup)] = w;
  }
  return {};
}

// Packs rows as Codec::pack does, rotated, by round_block(weights, largest, output, block), which
// writes one output's share of a block that was zero and returns the error it made.
template <class RoundBlock>
Result<QuantError> round_rows(const PanelLayout& layout, const SourceRows& rows, int64_t n_rows,
                              int64_t k, std::byte* out, const RoundBlock& round_block) {
  LH_CHECK(is_float(rows.type.elements) && rows.scales == nullptr);
  clear_panels(layout, n_rows, k, out);
  QuantError error;
  for (int64_t r = 0; r < n_rows; ++r) {
    QuantError of_row;
    for (int64_t first = 0; first < k; first += kQuantBlock) {
      Block weights{};
      LH_RETURN_IF_ERROR(read_block(rows, r, first, k, weights));
      rotate(weights.front().data());
      of_row += round_block(weights, largest_of(weights), r % kPanel,
                            block_of(layout, out, k, r, first / kQuantBlock));
    }
    error += of_row;
  }
  // Of the weights themselves: H H = 128.
  error.squared_error *= double{kRotationScale};
  error.squared_weights *= double{kRotationScale};
  return error;
}

}  // namespace longhaul::rounding
