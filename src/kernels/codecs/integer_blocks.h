// What the integer block formats share, told by a struct of each format:
//   kLayout, kScaleBytes      of a block, before its codes
//   code_at(o, i)             the byte among a block's codes that holds a code
//   level(byte, i)            the integer that the code means
//   group_scale(panel, block, o, g)   what a group's integers are multiplied by
//   kInputs                   how inputs are coded: kRotatedInt8 where weights are rotated
// Sums of integers are exact; unpacking rotated weights rounds in the sums of the rotation.
#pragma once

#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/codecs/codec.h"
#include "kernels/codecs/quant_blocks.h"
#include "kernels/codecs/rotation.h"

namespace longhaul::integer_blocks {

template <class Format>
const uint8_t* block_of(const std::byte* panel, int64_t block) {
  return reinterpret_cast<const uint8_t*>(panel) + Format::kLayout.header(0) +
         block * Format::kLayout.block_bytes;
}

template <class Format>
void unpack(const PackedMatrix& m, int64_t row, float* out) {
  const std::byte* panel = m.data + row / kPanel * m.panel_bytes();
  const int64_t output = row % kPanel;
  for (int64_t first = 0; first < m.k; first += kQuantBlock) {
    const uint8_t* block = block_of<Format>(panel, first / kQuantBlock);
    std::array<float, kQuantBlock> w;
    for (int64_t i = 0; i < kQuantBlock; ++i) {
      const uint8_t byte = block[Format::kScaleBytes + Format::code_at(output, i)];
      w[static_cast<size_t>(i)] = Format::group_scale(panel, block, output, i / kQuantGroup) *
                                  static_cast<float>(Format::level(byte, i));
    }
    if constexpr (Format::kInputs == InputCoding::kRotatedInt8) rotate_back(w.data());
    std::copy_n(w.begin(), std::min(kQuantBlock, m.k - first), out + first);
  }
}

template <class Format>
int32_t group_product(const uint8_t* codes, int64_t output, const InputBlock& in, int64_t g) {
  int32_t dot = 0;
  for (int64_t i = g * kQuantGroup; i < (g + 1) * kQuantGroup; ++i)
    dot += Format::level(codes[Format::code_at(output, i)], i) * in.codes[static_cast<size_t>(i)];
  return dot;
}

// Integer sums are exact, the rest in f64.
template <class Format>
double output_product(const std::byte* panel, int64_t output, const InputBlock* inputs,
                      int64_t n_blocks) {
  double sum = 0.0;
  for (int64_t b = 0; b < n_blocks; ++b) {
    const uint8_t* block = block_of<Format>(panel, b);
    for (int64_t g = 0; g < kBlockGroups; ++g) {
      const double scale = double{Format::group_scale(panel, block, output, g)} *
                           double{inputs[b].scale[static_cast<size_t>(g)]};
      sum += scale * group_product<Format>(block + Format::kScaleBytes, output, inputs[b], g);
    }
  }
  return sum;
}

// Calls product(panel, output, inputs) for each row of inputs and each output of a panel: their
// product in f64, rounded where it has been added to what C holds.
template <class OutputProduct>
void multiply_outputs(const MatmulTile& t, const OutputProduct& product) {
  for (int64_t m = 0; m < t.m; ++m) {
    const auto* inputs =
        reinterpret_cast<const InputBlock*>(static_cast<const std::byte*>(t.a) + m * t.a_stride);
    for (int64_t n = 0; n < t.n; ++n) {
      const std::byte* panel = t.b.data + n / kPanel * t.b.panel_stride;
      float& c = t.c[m * t.c_stride + n];
      const double before = t.accumulate ? double{c} : 0.0;
      c = static_cast<float>(before + product(panel, n % kPanel, inputs));
    }
  }
}

template <class Format>
void multiply(const MatmulTile& t) {
  multiply_outputs(t, [&](const std::byte* panel, int64_t output, const InputBlock* inputs) {
    return output_product<Format>(panel, output, inputs, blocks_of(t.k));
  });
}

}  // namespace longhaul::integer_blocks
