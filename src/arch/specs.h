// The parts that fill the places of a block: plain numbers and weight ids, no pointers, no code.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "arch/weights.h"
#include "kernels/ops.h"
#include "tensor/row_format.h"
#include "tensor/row_kind.h"

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

// Frequency of pair i: theta^(-2i / denominator) / factor for i < live_pairs, 0 (no rotation) up to n_pairs. The pairs are (i, i + n_pairs) of the
// first 2 n_pairs channels, or neighbours (2i, 2i + 1) of the last; the others pass through. What is turned is also multiplied by
// attention_factor.
struct RopeSpec {
  int64_t n_pairs = 0, live_pairs = 0, denominator = 0;
  double theta = 10000.0, factor = 1.0;
  std::optional<RopeRamp> ramp = {};
  float attention_factor = 1.0f;
  bool neighbours_at_end = false;
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

// Pools `ratio` tokens into one entry by a softmax over them, channel by channel; with overlap an entry also pools the window before, through
// projections of its own (the first half of the rows of kv_proj and gate_proj).
struct CompressorSpec {
  int64_t ratio = 0, width = 0;
  bool overlaps = false;
  WeightId kv_proj = kNone, gate_proj = kNone;  // [series() * width, D]
  WeightId position_bias = kNone;               // [ratio, series() * width], added to the gates
  NormSpec norm;                                // [width]
  StateId entries = kNone;                      // one row every `ratio` tokens
  StateId open = kNone;                         // fixed: the running softmax of windows that are not full yet

  int64_t series() const { return overlaps ? 2 : 1; }
  int64_t state_elements() const { return 3 * series() * width; }  // maximum, sum and weighted sum
};

// Scores every entry for a query by a few narrow heads and keeps the best: I = sum_h w_h relu(q_h . k).
struct IndexerSpec {
  int64_t n_heads = 0, head_dim = 0, top_k = 0;
  bool is_followed = true;        // false: it chooses, and attention goes over all entries nevertheless
  WeightId q_proj = kNone;        // [n_heads head_dim, q_lora_rank]
  WeightId weights_proj = kNone;  // [n_heads, D]
  CompressorSpec keys;            // of width head_dim
};

// Attention over a window of rows and over compressed entries in one softmax. A row is key and value at once, one for all heads; the query comes from
// a low-rank latent and the output goes through one by groups of heads.
struct CompressedAttentionSpec {
  AttentionSpec attention;  // q_proj: from the query latent; k_proj, k_norm: the row; o_proj: from the groups' latents; state: a ring
  int64_t q_lora_rank = 0, o_groups = 0, o_lora_rank = 0;
  WeightId q_a_proj = kNone;  // [q_lora_rank, D]
  NormSpec q_a_norm;
  WeightId sinks = kNone;     // [H], a score that takes part in the softmax and has no value
  WeightId o_a_proj = kNone;  // o_groups matrices [o_lora_rank, H head_dim / o_groups]
  std::optional<CompressorSpec> compressor;
  std::optional<IndexerSpec> indexer;  // chooses among the compressor's entries; without one all are seen

  bool follows_choice() const { return indexer && indexer->is_followed; }
};

// Attention over one latent a token and a few rotated channels beside it, key of all heads at once; the latent is their value too. Each head's own
// keys and values are made of it by kv_b_proj, which may be applied to queries and outputs instead. An indexer chooses the tokens to look at.
// Described to be priced: no code runs it.
struct LatentAttentionSpec {
  AttentionSpec
      attention;  // q_proj: from the query latent; k_proj: latent and rotated channels; k_norm: of the latent; state: rows of both
  int64_t q_lora_rank = 0, kv_lora_rank = 0;
  WeightId q_a_proj = kNone;  // [q_lora_rank, D]
  NormSpec q_a_norm;
  WeightId kv_b_proj = kNone;      // [H (unrotated key + value), kv_lora_rank]
  IndexerSpec indexer;             // keys: of every token, ratio 1, nothing pooled
  WeightId key_norm_bias = kNone;  // [indexer.head_dim]: the index keys' norm subtracts the mean and has one
};

enum class ActivationKind { kGeluTanh, kSilu };

struct GatedMlpSpec {
  int64_t width = 0;
  ActivationKind activation = ActivationKind::kGeluTanh;
  std::optional<float> limit = {};  // the gate is cut off above it, the up projection at both sides, before they meet
  WeightId gate_proj = kNone, up_proj = kNone, down_proj = kNone;
};

// Scores over all experts; the top_k by score + bias are kept, their scores renormalised. The input may be normed, scaled by a vector and by a constant.
// Or the token's id alone names its experts, and only their weights come from the scores.
struct LinearRouterSpec {
  RouterScore score = RouterScore::kSoftmax;
  std::optional<NormSpec> norm;
  WeightId scale = kNone;  // [D], may be kNone
  float factor = 1.0f;
  WeightId proj = kNone;              // [E, D]
  std::optional<float> softcap = {};  // of the projection's output
  WeightId selection_bias = kNone;    // [E], moves the choice but not the weights; may be kNone
  WeightId token_experts = kNone;     // [V, top_k] the experts of each token id; kNone: chosen by score
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
  std::optional<float> limit = {};  // as in GatedMlpSpec
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

using Mixer = std::variant<AttentionSpec, CcaSpec, CompressedAttentionSpec, LatentAttentionSpec, GatedMlpSpec, MoeSpec, ParallelSpec,
                           PerLayerEmbeddingSpec>;

// x = (x + y) * output_scale
struct PlainResidual {
  WeightId output_scale = kNone;  // [1]
};

// x = (y + bias) * scale + (x + residual_bias) * residual_scale
struct ScaledResidual {
  WeightId scale = kNone, bias = kNone, residual_scale = kNone, residual_bias = kNone;  // [D]
};

// Manifold-constrained hyper-connections: the stream is n_streams rows. A block reads a mix of them, and what it gives is spread over a mix of them;
// the coefficients are computed from the streams themselves.
struct HyperResidual {
  WeightId fn = kNone;     // [(2 + n) n, n D]: rows for reading, for writing, for mixing
  WeightId base = kNone;   // [(2 + n) n]
  WeightId scale = kNone;  // [3]: of the three parts
  int64_t sinkhorn_iters = 0;
  float eps = 1e-6f;       // of the coefficients
  float norm_eps = 1e-6f;  // of the streams' norm
};

using Residual = std::variant<PlainResidual, ScaledResidual, HyperResidual>;

// Kept per sequence: rows of every position, of every `ratio`-th, or of a ring of the last `window`; or a fixed block.
struct StateSpec {
  int64_t layer = 0;
  int64_t n_kv_heads = 0, head_dim = 0;
  int64_t window = kUnbounded;
  int64_t fixed_elements = 0;
  bool fixed_f32 = false;  // a fixed block kept in f32 whatever the cache's dtype
  RowKind rows = RowKind::kKeysAndValues;
  int64_t ratio = 1;        // tokens a row; a row is there once its last token is
  RowFormat released = {};  // what the model was released with

  bool is_fixed() const { return fixed_elements > 0; }
  bool is_ring() const { return window != kUnbounded; }
  bool is_paged() const { return !is_ring() && !is_fixed(); }
};

}  // namespace longhaul
