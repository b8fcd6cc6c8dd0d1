// The parts that mixers share, and the ways of writing back: numbers and weight ids, no pointers,
// no code. What one kind of mixer alone has is declared beside it, in mechanisms/.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <variant>

#include "arch/weights.h"
#include "tensor/row_format.h"
#include "tensor/row_kind.h"

namespace longhaul {

struct NormSpec {
  WeightId weight = kNone;  // kNone: all ones
  float eps = 1e-6f;
};

// How the angles of a model are stretched to longer texts, by the reference's rope_type. Where a
// struct says no more, RopeSpec::factor is what frequencies are divided by.

// linear, proportional; default with a factor of 1: every pair alike.
struct EvenStretch {
  bool operator==(const EvenStretch&) const = default;
};

// yarn (Peng et al. 2023, section 3.2): slow pairs alone; none up to `low`, all from `high` on, a
// ramp between.
struct RopeRamp {
  double low = 0, high = 0;
  bool operator==(const RopeRamp&) const = default;
};

// llama3: pairs whose wave is longer than original / low_frequency positions; none whose wave is
// shorter than original / high_frequency; in part between.
struct RopeBands {
  double low_frequency = 1, high_frequency = 4;
  int64_t original = 8192;
  bool operator==(const RopeBands&) const = default;
};

// dynamic: theta grows with the length of a text that is longer than `limit`.
struct RopeGrowth {
  int64_t limit = 0;
  bool operator==(const RopeGrowth&) const = default;
};

// longrope: a divisor a pair, [live_pairs]; of two lists by whether a text is longer than `limit`.
struct RopeDivisors {
  std::vector<float> short_text, long_text;
  int64_t limit = 0;
  bool operator==(const RopeDivisors&) const = default;
};

using RopeStretch = std::variant<EvenStretch, RopeRamp, RopeBands, RopeGrowth, RopeDivisors>;

// Frequency of pair i: theta^(-2i / denominator) for i < live_pairs, stretched; 0 (no rotation) up
// to n_pairs. The pairs are (i, i + n_pairs) of the first 2 n_pairs channels, or neighbours (2i, 2i
// + 1) of the last; the others pass through. What is turned is also multiplied by attention_factor.
struct RopeSpec {
  int64_t n_pairs = 0, live_pairs = 0, denominator = 0;
  double theta = 10000.0, factor = 1.0;
  RopeStretch stretch = {};
  float attention_factor = 1.0f;
  bool neighbours_at_end = false;
  bool operator==(const RopeSpec&) const = default;

  // Whether angles differ with the length of the whole text.
  bool follows_length() const {
    return std::holds_alternative<RopeGrowth>(stretch) ||
           std::holds_alternative<RopeDivisors>(stretch);
  }
};

inline constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();

struct Clamp {
  float low = 0, high = 0;
};

enum class ActivationKind { kGeluTanh, kSilu };

// x = (x + y) * output_scale
struct PlainResidual {
  WeightId output_scale = kNone;  // [1]
};

// x = (y + bias) * scale + (x + residual_bias) * residual_scale
struct ScaledResidual {
  WeightId scale = kNone, bias = kNone, residual_scale = kNone, residual_bias = kNone;  // [D]
};

// Manifold-constrained hyper-connections: the stream is n_streams rows. A block reads a mix of
// them; what it gives is spread over a mix of them. The coefficients come from the streams.
struct HyperResidual {
  WeightId fn = kNone;     // [(2 + n) n, n D]: rows for reading, for writing, for mixing
  WeightId base = kNone;   // [(2 + n) n]
  WeightId scale = kNone;  // [3]: of the three parts
  int64_t sinkhorn_iters = 0;
  float eps = 1e-6f;       // of the coefficients
  float norm_eps = 1e-6f;  // of the streams' norm
};

using Residual = std::variant<PlainResidual, ScaledResidual, HyperResidual>;

// Kept per sequence: rows of every position, of every `ratio`-th, or of a ring of the last
// `window`; or a fixed block.
struct StateSpec {
  int64_t layer = 0;
  int64_t n_kv_heads = 0, head_dim = 0;
  int64_t window = kUnbounded;
  int64_t fixed_elements = 0;
  RowKind rows = RowKind::kKeysAndValues;
  int64_t ratio = 1;        // tokens a row; a row is there once its last token is
  RowFormat released = {};  // what the model was released with

  bool is_fixed() const { return fixed_elements > 0; }
  bool is_ring() const { return window != kUnbounded; }
  bool is_paged() const { return !is_ring() && !is_fixed(); }
};

}  // namespace longhaul
