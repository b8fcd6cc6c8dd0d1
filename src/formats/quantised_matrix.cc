#include "formats/quantised_matrix.h"

#include <algorithm>
#include <array>

#include "base/numbers.h"
#include "tensor/float_at.h"

namespace longhaul {
namespace {

constexpr int64_t kPiece = 256;  // codes that are read at a time

void read_codes(const IntegerMatrix& m, int64_t row, int64_t first, int64_t n, uint8_t* codes) {
  if (m.streams_are_outputs) return m.codes.read(row, first, n, codes);
  for (int64_t i = 0; i < n; ++i) codes[i] = m.codes.at(first + i, row);
}

// Products before sums, each rounded: this file is compiled without fused multiply-adds.
void decode_group(const IntegerMatrix& m, int64_t row, int64_t group, float* out) {
  const float scale = m.scales.at(row, group);
  const int zero = m.zero + (m.zeros.words != nullptr ? m.zeros.at(group, row) : 0);
  const bool has_bias = m.biases.data != nullptr;
  const float bias = has_bias ? m.biases.at(row, group) : 0.0f;
  std::array<uint8_t, kPiece> codes;
  const int64_t end = std::min(m.n_inputs, (group + 1) * m.group_inputs);
  for (int64_t first = group * m.group_inputs; first < end; first += kPiece) {
    const int64_t n = std::min(kPiece, end - first);
    read_codes(m, row, first, n, codes.data());
    float* piece = out + first;
    if (has_bias) {
      for (int64_t i = 0; i < n; ++i)
        piece[i] = scale * static_cast<float>(codes[static_cast<size_t>(i)]) + bias;
    } else {
      for (int64_t i = 0; i < n; ++i)
        piece[i] = scale * static_cast<float>(codes[static_cast<size_t>(i)] - zero);
    }
  }
}

float group_scale(const Fp4Matrix& m, int64_t i) {
  const auto byte = static_cast<uint8_t>(m.scales[i]);
  const float scale = m.scale_type == DType::kF8E4M3 ? to_f32(e4m3{byte}) : to_f32(e8m0{byte});
  return m.divides ? scale / m.factor : scale * m.factor;
}

}  // namespace

float GroupScales::at(int64_t output, int64_t group) const {
  return float_at(data, type, output * output_stride + group * group_stride);
}

void decode_rows(const IntegerMatrix& matrix, int64_t first_row, int64_t n_rows, float* out) {
  const int64_t n_groups = ceil_div(matrix.n_inputs, matrix.group_inputs);
  for (int64_t r = 0; r < n_rows; ++r) {
    for (int64_t g = 0; g < n_groups; ++g)
      decode_group(matrix, first_row + r, g, out + r * matrix.n_inputs);
  }
}

bool has_all_ones(const CodeStreams& streams, int64_t n_streams, int64_t n) {
  const int all_ones = (1 << streams.bits) - 1;
  for (int64_t s = 0; s < n_streams; ++s) {
    for (int64_t i = 0; i < n; ++i) {
      if (streams.at(s, i) == all_ones) return true;
    }
  }
  return false;
}

void decode_rows(const Fp4Matrix& matrix, int64_t first_row, int64_t n_rows, float* out) {
  const int64_t n_groups = matrix.n_inputs / matrix.group_inputs;
  for (int64_t r = first_row; r < first_row + n_rows; ++r) {
    for (int64_t g = 0; g < n_groups; ++g) {
      const float scale = group_scale(matrix, r * n_groups + g);
      const std::byte* codes = matrix.codes + (r * matrix.n_inputs + g * matrix.group_inputs) / 2;
      for (int64_t i = 0; i < matrix.group_inputs / 2; ++i, out += 2) {
        const auto pair = static_cast<uint8_t>(codes[i]);
        out[0] = e2m1_to_f32(pair & 15u) * scale;
        out[1] = e2m1_to_f32(pair >> 4) * scale;
      }
    }
  }
}

}  // namespace longhaul
