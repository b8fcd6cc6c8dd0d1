// The parts that fill the places of a block: plain numbers and weight ids, no pointers, no code.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "arch/weights.h"

namespace longhaul {

struct NormSpec {
  WeightId weight = kNone;  // kNone: all ones
  float eps = 1e-6f;
};

// YaRN (Peng et al. 2023, section 3.2) divides only slow pairs by the factor: none up to `low`, all from `high` on, a ramp between.
struct RopeRamp {
  double low = 0, high = 0;
  bool operator==(const RopeRamp&) const = default;
};

// Frequency of pair i: theta^(-2i / denominator) / factor for i < live_pairs, 0 (no rotation) up to n_pairs. The pairs are (i, i + n_pairs);
// channels from 2 n_pairs on pass through. What is turned is also multiplied by attention_factor.
struct RopeSpec {
  int64_t n_pairs = 0, live_pairs = 0, denominator = 0;
  double theta = 10000.0, factor = 1.0;
  std::optional<RopeRamp> ramp = {};
  float attention_factor = 1.0f;
  bool operator==(const RopeSpec&) const = default;
};

inline constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();

// Multiplies what the heads give by softplus(Wg x), one value a head or one an element, as Wg has rows.
struct GateSpec {
  WeightId proj = kNone;
  bool per_element = false;
};

// Grouped-query attention. Without k_proj the layer owns no keys and values and reads the state of another (KV sharing); without v_proj but
// with k_proj the values are the raw key projection (K=V).
struct AttentionSpec {
  int64_t n_heads = 0, n_kv_heads = 0, head_dim = 0;
  int64_t window = kUnbounded;  // keys visible to a query, itself included
  float scale = 1.0f;
  RopeSpec rope;
  WeightId q_proj = kNone, k_proj = kNone, v_proj = kNone, o_proj = kNone;
  std::optional<NormSpec> q_norm, k_norm, v_norm;
  std::optional<GateSpec> gate = {};
  StateId state = kNone;

  bool writes_state() const { return k_proj != kNone; }
};

struct Clamp {
  float low = 0, high = 0;
};

// Attention in a compressed latent space: queries and keys are mixed over time by two causal convolutions, half of the values come one token late.
struct CcaSpec {
  AttentionSpec attention;                                       // v_proj: the current token's half of the values
  WeightId v_proj_delayed = kNone;                               // [G head_dim / 2, D]: what the next token uses
  int64_t time0 = 0, time1 = 0;                                  // taps of the depthwise and of the grouped convolution
  WeightId conv_depthwise = kNone, conv_depthwise_bias = kNone;  // [C, time0], [C]; C = (H + G) head_dim, query heads first
  WeightId conv_grouped = kNone, conv_grouped_bias = kNone;      // H + G matrices [head_dim, head_dim * time1], [C]
  WeightId temperature = kNone;                                  // [G]
  std::optional<Clamp> log_temperature = {};                     // given: the temperature is exp(clamp(weight))
  StateId taps = kNone;                                          // fixed state

  int64_t channels() const { return (attention.n_heads + attention.n_kv_heads) * attention.head_dim; }
  int64_t delayed_width() const { return attention.n_kv_heads * attention.head_dim / 2; }
  int64_t state_elements() const { return (time0 - 1 + time1 - 1) * channels() + delayed_width(); }
};

enum class ActivationKind { kGeluTanh, kSilu };

struct GatedMlpSpec {
  int64_t width = 0;
  ActivationKind activation = ActivationKind::kGeluTanh;
  WeightId gate_proj = kNone, up_proj = kNone, down_proj = kNone;
};

enum class RouterScore { kSoftmax, kSigmoid };

// Scores over all experts; the top_k by score + bias are kept, their scores renormalised. The input may be normed, scaled by a vector and by a constant.
struct LinearRouterSpec {
  RouterScore score = RouterScore::kSoftmax;
  std::optional<NormSpec> norm;
  WeightId scale = kNone;  // [D], may be kNone
  float factor = 1.0f;
  WeightId proj = kNone;              // [E, D]
  std::optional<float> softcap = {};  // of the projection's output
  WeightId selection_bias = kNone;    // [E], moves the choice but not the weights; may be kNone
  WeightId per_expert_scale = kNone;  // [E], applied after renormalising; may be kNone
  float output_scale = 1.0f;          // applied to every weight
};

// A small MLP on a projection of the token, to which the router of the layer before hands its own projection. One more output than experts:
// it stands for skipping them. The best of softmax + bias is taken, weighted by its probability.
struct MlpRouterSpec {
  int64_t width = 0;
  WeightId down_proj = kNone, down_bias = kNone;  // [width, D], [width]
  WeightId states_scale = kNone;                  // [width]; kNone: takes nothing over
  NormSpec norm;
  WeightId fc1 = kNone, fc1_bias = kNone, fc2 = kNone, fc2_bias = kNone;  // [width, width], [width]
  WeightId out_proj = kNone;                                              // [E + 1, width]
  WeightId selection_bias = kNone;                                        // [E + 1]
};

using RouterSpec = std::variant<LinearRouterSpec, MlpRouterSpec>;

// What a token gets whose router chose none of the experts: nothing, or its own input times the weight of that choice.
enum class Skipped { kNothing, kItself };

struct MoeSpec {
  int64_t n_experts = 0, top_k = 0, width = 0;
  ActivationKind activation = ActivationKind::kGeluTanh;
  RouterSpec router;
  Skipped skipped = Skipped::kNothing;
  std::optional<NormSpec> expert_norm;          // on the experts' input; the router sees the block's input
  WeightId gate_proj = kNone, up_proj = kNone;  // [E, width, D]
  WeightId down_proj = kNone;                   // [E, D, width]
};

// A gated vector per token and layer, from the token's row of a table and a projection of its embedding.
struct PerLayerEmbeddingSpec {
  int64_t width = 0;
  ActivationKind activation = ActivationKind::kGeluTanh;
  WeightId table = kNone;  // [rows, L * width], this layer's slice begins at table_column
  int64_t table_column = 0;
  float table_scale = 1.0f;
  WeightId context_proj = kNone;  // [width, D]
  float context_scale = 1.0f;
  NormSpec context_norm;
  float combine_scale = 1.0f;
  WeightId gate_proj = kNone;  // [width, D]
  WeightId out_proj = kNone;   // [D, width]
};

using ChannelMixer = std::variant<GatedMlpSpec, MoeSpec>;

struct Branch {
  std::optional<NormSpec> pre_norm, post_norm;
  ChannelMixer mixer;
};

// Branches of one input whose outputs add up (a dense MLP beside a mixture of experts).
struct ParallelSpec {
  std::vector<Branch> branches;
};

using Mixer = std::variant<AttentionSpec, CcaSpec, GatedMlpSpec, MoeSpec, ParallelSpec, PerLayerEmbeddingSpec>;

// x = (x + y) * output_scale
struct PlainResidual {
  WeightId output_scale = kNone;  // [1]
};

// x = (y + bias) * scale + (x + residual_bias) * residual_scale
struct ScaledResidual {
  WeightId scale = kNone, bias = kNone, residual_scale = kNone, residual_bias = kNone;  // [D]
};

using Residual = std::variant<PlainResidual, ScaledResidual>;

// Kept per sequence: keys and values of every position, or of a ring of the last `window`; or a fixed block.
struct StateSpec {
  int64_t layer = 0;
  int64_t n_kv_heads = 0, head_dim = 0;
  int64_t window = kUnbounded;
  int64_t fixed_elements = 0;

  bool is_fixed() const { return fixed_elements > 0; }
  bool is_ring() const { return window != kUnbounded; }
  bool is_paged() const { return !is_ring() && !is_fixed(); }
};

}  // namespace longhaul
