// What a backend offers: all computations of a forward pass, as calls over views of row sets.
//
// Mechanisms write their equations in these calls and touch no element themselves. `cpu_ops` fills
// them with a thread pool and a kernel set, `ref_ops` with plain loops that the tests hold the
// others against; a GPU would be another folder.
//
// In every call
// - row i of the result depends on row i of the inputs alone, or, over time, on its sequence;
// - rows may be strided unless the call says "dense"; outputs overlap no input unless it says so;
// - scratch comes from the arena the call is given, and is given back. How much it takes depends on
//   shapes alone, and more rows or sequences never take less. `counting_ops` take the same and do
//   nothing, so a forward pass at the largest shapes on them tells what any step will need.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/matmul.h"
#include "kernels/cpu/select_entries.h"
#include "kernels/cpu/shared_attention.h"
#include "kernels/kv/step_rows.h"
#include "tensor/arena.h"
#include "tensor/row_source.h"
#include "tensor/rows.h"

namespace longhaul {

// A table whose rows are read one at a time from the mapped file. Elements need not be aligned.
struct LookupTable {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0, cols = 0;
  // Of elements in blocks: the elements of n_blocks blocks as f32. A row is whole blocks.
  void (*unpack)(const std::byte* blocks, int64_t n_blocks, float* out) = nullptr;
  // Given: what decodes the rows; data and dtype are not looked at.
  const RowSource* decoded = nullptr;
};

// Cosines and sines of the angles by which rows are turned, [n, pairs] each.
struct RopeAngles {
  Rows<const float> cos, sin;
};

// Which channels of a head form the pairs that turn: (i, i + pairs), or neighbours at its end.
enum class RopePairs { kHalves, kNeighboursAtEnd };
enum class Turn { kForward, kBack };

// gate = activation(gate) * up. A limit first cuts the gate off above it, and up at both sides.
struct GatedActivation {
  Activation activation = Activation::kGeluTanh;
  std::optional<float> limit = {};
};

// x = (x + residual_bias) * residual_scale + (y + bias) * scale, channel by channel.
struct ResidualScales {
  Vector scale, bias, residual_scale, residual_bias;
};

enum class RouterScore { kSoftmax, kSigmoid, kSqrtSoftplus };

// How experts are chosen by the logits of a row.
struct ExpertChoice {
  RouterScore score = RouterScore::kSoftmax;
  std::optional<float> softcap = {};           // of the logits
  Vector bias;                                 // moves the choice, not the weights; may be empty
  const LookupTable* token_experts = nullptr;  // given: the token's row names the experts
  bool renormalises = true;                    // the weights of the chosen add up to 1 first
  Vector expert_scale;                         // of each expert's weight; may be empty
  float output_scale = 1.0f;                   // of every weight
};

// An expert and how many rows of the step go to it.
struct ExpertRows {
  int32_t expert = 0;
  int32_t n_rows = 0;
};

enum class ExpertPart { kGate, kUp, kDown };

inline constexpr int64_t kNoExpert = -1;

// The matrices of a mixture's experts, wherever they are.
class Experts {
 public:
  virtual ~Experts() = default;
  // Codec and shape of each expert's matrix.
  virtual PackedMatrix shape(ExpertPart part) const = 0;
  // Brings as many of `wanted` into memory as fit at once, at least one. They are moved to the
  // front of the list; returns how many. They stay until the next call.
  virtual int64_t acquire(std::span<ExpertRows> wanted) = 0;
  // A matrix of an expert that the last call brought.
  virtual PackedMatrix matrix(ExpertPart part, int64_t expert) const = 0;
};

// Pools `ratio` tokens into one entry of `width` channels by a softmax over their gates, channel by
// channel. With overlap an entry also pools the window before: the first half of a row's channels.
struct WindowPooling {
  int64_t ratio = 0, width = 0;
  bool overlaps = false;
  Vector position_bias;  // [ratio, series * width], added to the gates

  int64_t series() const { return overlaps ? 2 : 1; }
};

// Causal convolutions over time, a depthwise one and the windows of a grouped one; and values of
// which half come one token late. A fixed block keeps the last rows: of x, of y, the delayed value.
struct CausalConvolution {
  int64_t time0 = 0, time1 = 0;  // taps of the depthwise and of the grouped convolution
  Vector taps;                   // [C, time0]
  Vector bias;                   // [C]
};

// Queries and keys after the convolutions: each gets the mean of the raw query and key that belong
// together, is normalised, and a key is scaled by its head's temperature.
struct HeadMeans {
  int64_t n_heads = 0, n_kv_heads = 0, head_dim = 0;
  Vector temperature;  // [n_kv_heads]
  bool is_logarithm = false;
  float low = 0.0f, high = 0.0f;  // of a logarithm
};

// Who reads a residual stream of several rows: coefficients are made of products with fn.
struct StreamReader {
  PackedMatrix fn;  // f32, [coefficients, streams * D]
  Vector base, scale;
  float eps = 1e-6f, norm_eps = 1e-6f;
  bool writes_back = true;  // false: the head, which has coefficients for reading alone
  int64_t sinkhorn_iters = 0;
};

inline int64_t stream_coefficients(int64_t n_streams) { return (2 + n_streams) * n_streams; }

class Ops {
 public:
  virtual ~Ops() = default;

  // --- products

  // All products in one parallel region; see matmul.h.
  virtual void matmul(std::span<Matmul> products, Arena& scratch) = 0;
  // A weight of several matrices that lie one after another, each with inputs and outputs of its
  // own: y [n, groups, out] = x [n, groups, in] W_g^T. Dense.
  virtual void grouped_matmul(const PackedMatrix& first, int64_t n_groups, Rows<const float> x,
                              Rows<float> y, Arena& scratch) = 0;

  // --- rows

  virtual void copy(Rows<const float> x, Rows<float> out) = 0;
  virtual void clear(Rows<float> out) = 0;
  // out row i = x row rows[i].
  virtual void gather(Rows<const float> x, std::span<const int64_t> rows, Rows<float> out) = 0;
  // Row i becomes row rows[i], in place; rows ascend.
  virtual void keep(std::span<const int64_t> rows, Rows<float> x) = 0;
  // Each row of out is the row of x, `times` times side by side.
  virtual void repeat(Rows<const float> x, int64_t times, Rows<float> out) = 0;

  virtual void add(Rows<const float> y, Rows<float> x) = 0;  // x += y
  virtual void add_vector(Vector v, Rows<float> x) = 0;      // x += v
  virtual void scale(float factor, Rows<float> x) = 0;       // x *= factor
  virtual void scale_by(Vector factors, Rows<float> x) = 0;  // x *= factors
  virtual void softcap(float cap, Rows<float> x) = 0;        // x = cap tanh(x / cap); dense
  virtual void gelu(Rows<float> x) = 0;                      // x = x Phi(x), the exact one
  // x / sqrt(mean(x^2) + eps) * w; an empty w is all ones. out may be x.
  virtual void norm(Rows<const float> x, Vector w, float eps, Rows<float> out) = 0;
  virtual void activate(const GatedActivation& how, Rows<float> gate,
                        Rows<float> up) = 0;  // up is used up
  // Multiplies by softplus(gate), which is used up: one value a head, or one a channel.
  virtual void gate_heads(int64_t n_heads, Rows<float> gate, Rows<float> x) = 0;
  // x += state * scale where there is a scale; then state = x.
  virtual void hand_on(Vector scale, Rows<float> x, Rows<float> state) = 0;

  // --- tables

  // out row i = table[tokens[i]][column ..] * scale. A token beyond the table reads row 0.
  virtual void lookup(const LookupTable& table, std::span<const int32_t> tokens, int64_t column,
                      float scale, Rows<float> out) = 0;

  // --- positions

  // Angles are products of position and frequency in f32; both results are multiplied by `factor`.
  virtual void rope_angles(std::span<const int64_t> positions, std::span<const float> frequencies,
                           float factor, Rows<float> cos, Rows<float> sin) = 0;
  // Turns each head in place. Backwards: of neighbours alone.
  virtual void rope(RopePairs pairs, Turn turn, const RopeAngles& angles, int64_t n_heads,
                    Rows<float> x) = 0;

  // --- state of rows

  // Stores the step's rows; v is empty where rows hold no values of their own. Dense.
  virtual void store(const KvStep& kv, Rows<const float> k, Rows<const float> v) = 0;
  // Dense, here and below.
  virtual void attend(const Attention& spec, const KvStep& kv, const RowSet& rows,
                      Rows<const float> q, Rows<float> out, Arena& scratch) = 0;
  // `entries` may be null; `chosen` [n, top_k] is empty where all entries are seen.
  virtual void attend_shared(const SharedAttention& spec, const KvStep& kv, const KvStep* entries,
                             const RowSet& rows, Rows<const int32_t> chosen, Rows<const float> q,
                             Rows<float> out, Arena& scratch) = 0;
  // The best entries of each query, ascending; -1 behind a query that sees fewer.
  virtual void select_entries(const EntrySelection& spec, const KvStep& keys, const RowSet& rows,
                              Rows<const float> q, Rows<const float> weights, Rows<int32_t> chosen,
                              Arena& scratch) = 0;
  // Pools the step's rows. The entries that it completes and the positions of their first tokens
  // go to the front of `entries` and `positions`; windows left open go on in `open`.
  virtual void pool_windows(const WindowPooling& spec, const RowSet& rows, Rows<const float> kv,
                            Rows<const float> gate, const FixedStep& open, Rows<float> entries,
                            std::span<int64_t> positions) = 0;

  // --- experts

  // logits become scores; `chosen` [n, k] gets each row's experts in falling order of choice (ties
  // to the lower one), or those of its token; `weight` [n, k] what each counts.
  virtual void choose_experts(const ExpertChoice& how, std::span<const int32_t> tokens,
                              Rows<float> logits, Rows<int32_t> chosen, Rows<float> weight) = 0;
  // Numbers the assignments (row, choice) by expert: `place` [n, k] is the number of each, first[e]
  // the first of expert e. The id first.size() - 2 stands for none and comes last. Dense.
  virtual void sort_by_expert(Rows<const int32_t> chosen, Rows<int64_t> place,
                              std::span<int64_t> first) = 0;
  // out row place[i][j] = x row i.
  virtual void send_to_experts(Rows<const float> x, Rows<const int64_t> place, Rows<float> out) = 0;
  // Replaces rows [first[e], first[e + 1]) of x by down(activation(gate) * up) of expert e. Dense.
  // Returns how many rows went to an expert.
  virtual int64_t run_experts(Experts& experts, const GatedActivation& how,
                              std::span<const int64_t> first, Rows<float> x, Arena& scratch) = 0;
  // out row i = sum over j of weight[i][j] * x row place[i][j]. Choices of `left_out` do not count.
  virtual void sum_experts(Rows<const float> x, Rows<const int64_t> place, Rows<const float> weight,
                           Rows<const int32_t> chosen, int64_t left_out, Rows<float> out) = 0;

  // --- convolutions over time

  //   x, y [n, C], windows [n, C, time1]: the last time1 values of each channel side by side
  //   current, delayed [n, half], values [n, 2 half]: current, then what was delayed a token before
  // A sequence's first token sees zeros for x, the bias for y, zeros for the delayed value. Dense.
  virtual void convolve(const CausalConvolution& spec, const RowSet& rows, const FixedStep& past,
                        Rows<const float> x, Rows<const float> current, Rows<const float> delayed,
                        Rows<float> y, Rows<float> windows, Rows<float> values, Arena& scratch) = 0;
  // raw, z [n, H + G heads]: query heads first. z becomes the queries, keys [n, G heads] the keys.
  virtual void mix_heads(const HeadMeans& spec, Rows<const float> raw, Rows<float> z,
                         Rows<float> keys) = 0;

  // --- the residual stream

  // x = (x + y) * output_scale[0], or without the scale where there is none.
  virtual void add_residual(Rows<const float> y, Vector output_scale, Rows<float> x) = 0;
  virtual void add_scaled_residual(const ResidualScales& s, Rows<float> y,
                                   Rows<float> x) = 0;  // y is used up
  // Of a stream of several rows [n, streams * D]: writes what a block gave (y, or nothing where it
  // is empty) by the coefficients at hand, then makes the reader's coefficients
  // [n, stream_coefficients] and its input [n, D]. Dense. See mechanisms/hyper_connections.h.
  virtual void connect_streams(const StreamReader& reader, Rows<const float> y, Rows<float> streams,
                               Rows<float> coefficients, Rows<float> input) = 0;
};

// The kernel set and the pool must outlive it. A call is one or several parallel regions.
std::unique_ptr<Ops> cpu_ops(const Compute& compute);
// Takes the scratch that cpu_ops would take with so many threads, and does nothing.
std::unique_ptr<Ops> counting_ops(int n_threads);
// Plain loops in f64 on one thread: slow, complete, and what the others are tested against.
std::unique_ptr<Ops> ref_ops();

}  // namespace longhaul
