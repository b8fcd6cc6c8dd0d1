// Products, rows, tables, positions.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/op_scratch.h"

namespace longhaul {
namespace {

// log(1 + exp(x)); for large x the reference returns x itself.
float softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }

// Elements of a tensor in a file need not be aligned.
void widen(const std::byte* from, DType dtype, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    if (dtype == DType::kF32) {
      std::memcpy(out + i, from + 4 * i, 4);
    } else {
      uint16_t bits;
      std::memcpy(&bits, from + 2 * i, 2);
      out[i] = dtype == DType::kBF16 ? to_f32(bf16{bits}) : to_f32(f16{bits});
    }
  }
}

// The pairs are the channels of x, one after another. direction: 1, or -1 to turn back.
void turn_neighbours(float* x, const float* cos, const float* sin, int64_t n_pairs,
                     float direction) {
  for (int64_t i = 0; i < n_pairs; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1], s = direction * sin[i];
    x[2 * i] = a * cos[i] - b * s;
    x[2 * i + 1] = b * cos[i] + a * s;
  }
}

}  // namespace

void CpuOps::matmul(std::span<Matmul> products, Arena& scratch) {
  const ArenaScope scope(scratch);
  longhaul::matmul(compute_, products, take_matmul(scratch, products));
}

void CpuOps::grouped_matmul(const PackedMatrix& first, int64_t n_groups, Rows<const float> x,
                            Rows<float> y, Arena& scratch) {
  LH_DCHECK(x.width == n_groups * first.k && y.width == n_groups * first.n && x.n == y.n);
  LH_DCHECK(x.is_dense() && y.is_dense());
  const ArenaScope scope(scratch);
  const GroupScratch group = take_group(scratch, first, n_groups, x.n);
  const uint64_t matrix_bytes = first.codec->bytes(first.n, first.k);
  for (int64_t g = 0; g < n_groups; ++g) {
    PackedMatrix w = first;
    w.data += static_cast<uint64_t>(g) * matrix_bytes;
    group.products[static_cast<size_t>(g)] = {.x = x.data + g * w.k,
                                              .x_stride = x.width,
                                              .w = w,
                                              .y = y.data + g * w.n,
                                              .y_stride = y.width,
                                              .m = x.n};
  }
  longhaul::matmul(compute_, group.products, group.inputs);
}

void CpuOps::copy(Rows<const float> x, Rows<float> out) {
  LH_DCHECK(same_shape(x, out));
  for_rows(x.n, x.width, [&](int64_t i) { std::copy_n(x.row(i), x.width, out.row(i)); });
}

void CpuOps::clear(Rows<float> out) {
  for_rows(out.n, out.width, [&](int64_t i) { std::fill_n(out.row(i), out.width, 0.0f); });
}

void CpuOps::gather(Rows<const float> x, std::span<const int64_t> rows, Rows<float> out) {
  LH_DCHECK(out.n == static_cast<int64_t>(rows.size()) && out.width == x.width);
  for_rows(out.n, out.width, [&](int64_t i) {
    std::copy_n(x.row(rows[static_cast<size_t>(i)]), x.width, out.row(i));
  });
}

// Each row moves to a place at or before its own, so one after another none is lost.
void CpuOps::keep(std::span<const int64_t> rows, Rows<float> x) {
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto to = static_cast<int64_t>(i);
    LH_DCHECK(rows[i] >= to);
    if (rows[i] != to) std::copy_n(x.row(rows[i]), x.width, x.row(to));
  }
}

void CpuOps::repeat(Rows<const float> x, int64_t times, Rows<float> out) {
  LH_DCHECK(out.n == x.n && out.width == times * x.width);
  for_rows(x.n, out.width, [&](int64_t i) {
    for (int64_t t = 0; t < times; ++t) {
      std::copy_n(x.row(i), x.width, out.row(i) + t * x.width);
    }
  });
}

void CpuOps::add(Rows<const float> y, Rows<float> x) {
  LH_DCHECK(same_shape(x, y));
  for_rows(x.n, x.width, [&](int64_t i) { kernels().add(x.row(i), y.row(i), x.width); });
}

void CpuOps::add_vector(Vector v, Rows<float> x) {
  LH_DCHECK(static_cast<int64_t>(v.size()) == x.width);
  for_rows(x.n, x.width, [&](int64_t i) { kernels().add(x.row(i), v.data(), x.width); });
}

void CpuOps::scale(float factor, Rows<float> x) {
  for_rows(x.n, x.width, [&](int64_t i) { kernels().scale(x.row(i), factor, x.width); });
}

void CpuOps::scale_by(Vector factors, Rows<float> x) {
  LH_DCHECK(static_cast<int64_t>(factors.size()) == x.width);
  for_rows(x.n, x.width, [&](int64_t i) { kernels().scale_by(x.row(i), factors.data(), x.width); });
}

// Of few long rows, each is cut.
void CpuOps::softcap(float cap, Rows<float> x) {
  LH_DCHECK(x.is_dense());
  constexpr int64_t kChunk = 16384;
  const int64_t n = x.size();
  compute_.pool->run(ceil_div(n, kChunk), [&](int64_t chunk, int) {
    const int64_t begin = chunk * kChunk;
    kernels().softcap(x.data + begin, std::min(kChunk, n - begin), cap);
  });
}

void CpuOps::gelu(Rows<float> x) {
  for_rows(x.n, 16 * x.width, [&](int64_t i) {
    float* v = x.row(i);
    for (int64_t c = 0; c < x.width; ++c) {
      v[c] = 0.5f * v[c] * (1.0f + std::erf(v[c] * static_cast<float>(M_SQRT1_2)));
    }
  });
}

void CpuOps::norm(Rows<const float> x, Vector w, float eps, Rows<float> out) {
  LH_DCHECK(same_shape(x, out) && (w.empty() || static_cast<int64_t>(w.size()) == x.width));
  for_rows(x.n, x.width,
           [&](int64_t i) { kernels().rms_norm(x.row(i), w.data(), eps, x.width, out.row(i)); });
}

void CpuOps::activate(const GatedActivation& how, Rows<float> gate, Rows<float> up) {
  LH_DCHECK(same_shape(gate, up));
  for_rows(gate.n, gate.width, [&](int64_t i) {
    float *g = gate.row(i), *u = up.row(i);
    if (how.limit) {
      kernels().clamp(g, -std::numeric_limits<float>::infinity(), *how.limit, gate.width);
      kernels().clamp(u, -*how.limit, *how.limit, gate.width);
    }
    kernels().gated_activation(how.activation, g, u, gate.width, g);
  });
}

void CpuOps::gate_heads(int64_t n_heads, Rows<float> gate, Rows<float> x) {
  LH_DCHECK(gate.n == x.n && (gate.width == x.width || gate.width == n_heads));
  const int64_t head = x.width / n_heads;
  for_rows(x.n, 8 * gate.width + x.width, [&](int64_t i) {
    float *g = gate.row(i), *to = x.row(i);
    for (int64_t c = 0; c < gate.width; ++c) g[c] = softplus(g[c]);
    if (gate.width == x.width) {
      kernels().scale_by(to, g, x.width);
    } else {
      for (int64_t h = 0; h < n_heads; ++h) kernels().scale(to + h * head, g[h], head);
    }
  });
}

void CpuOps::hand_on(Vector scale, Rows<float> x, Rows<float> state) {
  LH_DCHECK(same_shape(x, state));
  for_rows(x.n, x.width, [&](int64_t i) {
    float *now = x.row(i), *handed = state.row(i);
    for (size_t c = 0; c < scale.size(); ++c) now[c] += handed[c] * scale[c];
    std::copy_n(now, x.width, handed);
  });
}

namespace {

// Elements [first, first + n) of a table in blocks, of a row. A block that is needed in part is
// unpacked beside them.
void unpack_elements(const LookupTable& t, int64_t first, int64_t n, float* out) {
  constexpr int64_t kMost = 256;
  const ElementBlock block = block_of(t.dtype);
  LH_DCHECK(t.unpack != nullptr && block.elements <= kMost);
  float whole[kMost];
  for (int64_t done = 0; done < n;) {
    const int64_t from = (first + done) % block.elements;
    const int64_t taken = std::min(block.elements - from, n - done);
    const std::byte* at = t.data + (first + done) / block.elements * block.bytes;
    const bool is_whole = taken == block.elements;
    t.unpack(at, 1, is_whole ? out + done : whole);
    if (!is_whole) std::copy_n(whole + from, taken, out + done);
    done += taken;
  }
}

}  // namespace

void CpuOps::lookup(const LookupTable& table, std::span<const int32_t> tokens, int64_t column,
                    float scale, Rows<float> out) {
  LH_DCHECK(out.n == static_cast<int64_t>(tokens.size()) && column + out.width <= table.cols);
  for_rows(out.n, out.width, [&](int64_t i) {
    const int64_t token = tokens[static_cast<size_t>(i)];
    const int64_t row = token < 0 || token >= table.rows ? 0 : token;
    const int64_t element = row * table.cols + column;
    if (table.decoded != nullptr) {
      table.decoded->read(row, column, out.width, out.row(i));
    } else if (is_quantised(table.dtype)) {
      unpack_elements(table, element, out.width, out.row(i));
    } else {
      widen(table.data + stored_bytes(table.dtype, element), table.dtype, out.width, out.row(i));
    }
    kernels().scale(out.row(i), scale, out.width);
  });
}

void CpuOps::rope_angles(std::span<const int64_t> positions, std::span<const float> frequencies,
                         float factor, Rows<float> cos, Rows<float> sin) {
  const auto pairs = static_cast<int64_t>(frequencies.size());
  LH_DCHECK(same_shape(cos, sin) && cos.width == pairs);
  for_rows(static_cast<int64_t>(positions.size()), 16 * pairs, [&](int64_t row) {
    const auto position = static_cast<float>(positions[static_cast<size_t>(row)]);
    float *c = cos.row(row), *s = sin.row(row);
    for (int64_t i = 0; i < pairs; ++i) {
      const float angle = position * frequencies[static_cast<size_t>(i)];
      c[i] = std::cos(angle) * factor;
      s[i] = std::sin(angle) * factor;
    }
  });
}

void CpuOps::rope(RopePairs pairs, Turn turn, const RopeAngles& angles, int64_t n_heads,
                  Rows<float> x) {
  LH_CHECK(turn == Turn::kForward || pairs == RopePairs::kNeighboursAtEnd);
  const int64_t n = angles.cos.width, head_dim = x.width / n_heads;
  LH_DCHECK(angles.cos.n >= x.n && 2 * n <= head_dim);
  const float direction = turn == Turn::kForward ? 1.0f : -1.0f;
  for_rows(x.n, x.width, [&](int64_t row) {
    const float *cos = angles.cos.row(row), *sin = angles.sin.row(row);
    for (int64_t h = 0; h < n_heads; ++h) {
      float* head = x.row(row) + h * head_dim;
      if (pairs == RopePairs::kHalves) {
        kernels().rope(head, cos, sin, n);
      } else {
        turn_neighbours(head + head_dim - 2 * n, cos, sin, n, direction);
      }
    }
  });
}

void CpuOps::add_residual(Rows<const float> y, Vector output_scale, Rows<float> x) {
  LH_DCHECK(same_shape(x, y));
  for_rows(x.n, x.width, [&](int64_t i) {
    kernels().add(x.row(i), y.row(i), x.width);
    if (!output_scale.empty()) kernels().scale(x.row(i), output_scale.front(), x.width);
  });
}

void CpuOps::add_scaled_residual(const ResidualScales& s, Rows<float> y, Rows<float> x) {
  LH_DCHECK(same_shape(x, y));
  for_rows(x.n, x.width, [&](int64_t i) {
    float *to = x.row(i), *from = y.row(i);
    kernels().add(from, s.bias.data(), x.width);
    kernels().scale_by(from, s.scale.data(), x.width);
    kernels().add(to, s.residual_bias.data(), x.width);
    kernels().scale_by(to, s.residual_scale.data(), x.width);
    kernels().add(to, from, x.width);
  });
}

std::unique_ptr<Ops> cpu_ops(const Compute& compute) { return std::make_unique<CpuOps>(compute); }

}  // namespace longhaul
