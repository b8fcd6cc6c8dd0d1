#include "formats/quantised_matrix.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "base/numbers.h"
#include "tensor/float_at.h"

namespace longhaul {
namespace {

constexpr int64_t kPiece = 256;  // codes that are read at a time

void read_codes(const IntegerMatrix& m, int64_t row, int64_t first, int64_t n, uint8_t* codes) {
  if (m.row_codes > 0) {
    m.codes.read(0, row * m.row_codes + first, n, codes);
  } else if (m.streams_are_outputs) {
    m.codes.read(row, first, n, codes);
  } else {
    for (int64_t i = 0; i < n; ++i) codes[i] = m.codes.at(first + i, row);
  }
  constexpr uint8_t kSign = 0x80;
  for (int64_t i = 0; m.is_signed && i < n; ++i) codes[i] ^= kSign;
}

int64_t group_of(const IntegerMatrix& m, int64_t input) {
  if (m.groups == nullptr) return input / m.group_inputs;
  int32_t group;
  std::memcpy(&group, m.groups + 4 * input, sizeof group);
  return group;
}

// What the inputs of a group share.
struct GroupTerms {
  float scale, bias;
  int zero;
};
GroupTerms terms_of(const IntegerMatrix& m, int64_t row, int64_t group) {
  return {m.scales.at(row, group), m.biases.data != nullptr ? m.biases.at(row, group) : 0.0f,
          m.zero + (m.zeros.words != nullptr ? m.zeros.at(group, row) : 0)};
}

// Products before sums, each rounded: this file is compiled without fused multiply-adds.
void decode_codes(const IntegerMatrix& m, const GroupTerms& t, std::span<const uint8_t> codes,
                  float* out) {
  if (m.biases.data != nullptr) {
    for (const uint8_t code : codes) *out++ = t.scale * static_cast<float>(code) + t.bias;
  } else {
    for (const uint8_t code : codes) *out++ = t.scale * static_cast<float>(code - t.zero);
  }
}

// How many of n inputs from `first` on are of its group.
int64_t run_of_group(const IntegerMatrix& m, int64_t first, int64_t n) {
  const int64_t group = group_of(m, first);
  if (m.groups == nullptr) return std::min(n, (group + 1) * m.group_inputs - first);
  int64_t run = 1;
  while (run < n && group_of(m, first + run) == group) ++run;
  return run;
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

void decode_range(const IntegerMatrix& m, int64_t row, int64_t first, int64_t n, float* out) {
  std::array<uint8_t, kPiece> codes;
  for (const int64_t end = first + n; first < end;) {
    const int64_t piece = std::min(kPiece, end - first);
    read_codes(m, row, first, piece, codes.data());
    for (int64_t done = 0; done < piece;) {
      const int64_t run = run_of_group(m, first + done, piece - done);
      decode_codes(m, terms_of(m, row, group_of(m, first + done)),
                   std::span(codes).subspan(static_cast<size_t>(done), static_cast<size_t>(run)),
                   out);
      out += run;
      done += run;
    }
    first += piece;
  }
}

bool read_grouped(const IntegerMatrix& m, int64_t row, int64_t first, int64_t n,
                  GroupedCodes& codes) {
  const GroupTerms terms = terms_of(m, row, group_of(m, first));
  const bool has_bias = m.biases.data != nullptr;
  // A level is in a byte with a sign.
  if (m.codes.bits == 8 && (has_bias || terms.zero != 128)) return false;
  std::array<uint8_t, GroupedCodes::kMaxWeights> raw;
  read_codes(m, row, first, n, raw.data());
  for (size_t i = 0; i < static_cast<size_t>(n); ++i)
    codes.levels[i] = static_cast<int8_t>(raw[i] - (has_bias ? 0 : terms.zero));
  codes.multipliers.fill(1);
  codes.mins.fill(1);
  codes.scales.fill(terms.scale);
  codes.min_scale = -terms.bias;
  return true;
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

void decode_range(const Fp4Matrix& m, int64_t row, int64_t first, int64_t n, float* out) {
  const int64_t n_groups = m.n_inputs / m.group_inputs;
  const std::byte* codes = m.codes + row * m.n_inputs / 2;
  for (const int64_t end = first + n; first < end;) {
    const int64_t group = first / m.group_inputs;
    const float scale = group_scale(m, row * n_groups + group);
    for (const int64_t last = std::min(end, (group + 1) * m.group_inputs); first < last; ++first) {
      const auto pair = static_cast<uint8_t>(codes[first / 2]);
      *out++ = e2m1_to_f32(first % 2 == 0 ? pair & 15u : pair >> 4) * scale;
    }
  }
}

void decode_range(const Fp8Matrix& m, int64_t row, int64_t first, int64_t n, float* out) {
  const int64_t n_blocks = ceil_div(m.n_inputs, m.block_inputs);
  const std::byte* codes = m.codes + row * m.n_inputs;
  for (const int64_t end = first + n; first < end;) {
    const int64_t block = first / m.block_inputs;
    const float scale = float_at(m.scales, m.scale_type, row / m.block_rows * n_blocks + block);
    for (const int64_t last = std::min(end, (block + 1) * m.block_inputs); first < last; ++first)
      *out++ = to_f32(e4m3{static_cast<uint8_t>(codes[first])}) * scale;
  }
}

void decode_range(const FloatMatrix& m, int64_t row, int64_t first, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = float_at(m.elements, m.type, row * m.n_inputs + first + i);
}

void add_range(const LowRank& m, int64_t row, int64_t first, int64_t n, float* out) {
  std::array<double, kPiece> sums;
  for (int64_t done = 0; done < n; done += kPiece) {
    const int64_t piece = std::min(kPiece, n - done);
    sums.fill(0.0);
    for (int64_t k = 0; k < m.rank; ++k) {
      const double b = float_at(m.b, m.b_type, row * m.rank + k);
      const int64_t at = k * m.n_inputs + first + done;
      for (int64_t i = 0; i < piece; ++i)
        sums[static_cast<size_t>(i)] += b * double{float_at(m.a, m.a_type, at + i)};
    }
    for (int64_t i = 0; i < piece; ++i)
      out[done + i] =
          static_cast<float>(double{out[done + i]} + m.scale * sums[static_cast<size_t>(i)]);
  }
}

}  // namespace longhaul
