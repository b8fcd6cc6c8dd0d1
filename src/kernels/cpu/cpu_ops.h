// The calls of a backend on a thread pool and a kernel set.
//
// Work is cut into chunks by its size alone, and no row's result depends on where it was cut.
#pragma once

#include <algorithm>

#include "kernels/ops.h"

namespace longhaul {

class CpuOps final : public Ops {
 public:
  explicit CpuOps(const Compute& compute) : compute_(compute) {}

  void matmul(std::span<Matmul> products, Arena& scratch) override;
  void grouped_matmul(const PackedMatrix& first, int64_t n_groups, Rows<const float> x,
                      Rows<float> y, Arena& scratch) override;

  void copy(Rows<const float> x, Rows<float> out) override;
  void clear(Rows<float> out) override;
  void gather(Rows<const float> x, std::span<const int64_t> rows, Rows<float> out) override;
  void keep(std::span<const int64_t> rows, Rows<float> x) override;
  void repeat(Rows<const float> x, int64_t times, Rows<float> out) override;
  void add(Rows<const float> y, Rows<float> x) override;
  void add_vector(Vector v, Rows<float> x) override;
  void scale(float factor, Rows<float> x) override;
  void scale_by(Vector factors, Rows<float> x) override;
  void softcap(float cap, Rows<float> x) override;
  void gelu(Rows<float> x) override;
  void norm(Rows<const float> x, Vector w, float eps, Rows<float> out) override;
  void activate(const GatedActivation& how, Rows<float> gate, Rows<float> up) override;
  void gate_heads(int64_t n_heads, Rows<float> gate, Rows<float> x) override;
  void hand_on(Vector scale, Rows<float> x, Rows<float> state) override;

  void lookup(const LookupTable& table, std::span<const int32_t> tokens, int64_t column,
              float scale, Rows<float> out) override;

  void rope_angles(std::span<const int64_t> positions, std::span<const float> frequencies,
                   float factor, Rows<float> cos, Rows<float> sin) override;
  void rope(RopePairs pairs, Turn turn, const RopeAngles& angles, int64_t n_heads,
            Rows<float> x) override;

  void store(const KvStep& kv, Rows<const float> k, Rows<const float> v) override;
  void attend(const Attention& spec, const KvStep& kv, const RowSet& rows, Rows<const float> q,
              Rows<float> out, Arena& scratch) override;
  void attend_shared(const SharedAttention& spec, const KvStep& kv, const KvStep* entries,
                     const RowSet& rows, Rows<const int32_t> chosen, Rows<const float> q,
                     Rows<float> out, Arena& scratch) override;
  void select_entries(const EntrySelection& spec, const KvStep& keys, const RowSet& rows,
                      Rows<const float> q, Rows<const float> weights, Rows<int32_t> chosen,
                      Arena& scratch) override;
  void pool_windows(const WindowPooling& spec, const RowSet& rows, Rows<const float> kv,
                    Rows<const float> gate, const FixedStep& open, Rows<float> entries,
                    std::span<int64_t> positions) override;

  void choose_experts(const ExpertChoice& how, std::span<const int32_t> tokens, Rows<float> logits,
                      Rows<int32_t> chosen, Rows<float> weight) override;
  void sort_by_expert(Rows<const int32_t> chosen, Rows<int64_t> place,
                      std::span<int64_t> first) override;
  void send_to_experts(Rows<const float> x, Rows<const int64_t> place, Rows<float> out) override;
  int64_t run_experts(Experts& experts, const GatedActivation& how, std::span<const int64_t> first,
                      Rows<float> x, Arena& scratch) override;
  void sum_experts(Rows<const float> x, Rows<const int64_t> place, Rows<const float> weight,
                   Rows<const int32_t> chosen, int64_t left_out, Rows<float> out) override;

  void convolve(const CausalConvolution& spec, const RowSet& rows, const FixedStep& past,
                Rows<const float> x, Rows<const float> current, Rows<const float> delayed,
                Rows<float> y, Rows<float> windows, Rows<float> values, Arena& scratch) override;
  void mix_heads(const HeadMeans& spec, Rows<const float> raw, Rows<float> z,
                 Rows<float> keys) override;

  void add_residual(Rows<const float> y, Vector output_scale, Rows<float> x) override;
  void add_scaled_residual(const ResidualScales& s, Rows<float> y, Rows<float> x) override;
  void connect_streams(const StreamReader& reader, Rows<const float> y, Rows<float> streams,
                       Rows<float> coefficients, Rows<float> input) override;

 private:
  const KernelSet& kernels() const { return *compute_.kernels; }
  int n_threads() const { return compute_.pool->n_threads(); }

  // Runs body(row) for each row of so many elements. Large work is shared out over the threads,
  // small work runs here.
  template <class Body>
  void for_rows(int64_t n_rows, int64_t row_elements, const Body& body) const {
    const int64_t per_chunk = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, row_elements));
    compute_.pool->run(ceil_div(n_rows, per_chunk), [&](int64_t chunk, int) {
      const int64_t end = std::min(n_rows, (chunk + 1) * per_chunk);
      for (int64_t row = chunk * per_chunk; row < end; ++row) body(row);
    });
  }

  // The parts of `convolve` for one sequence, whose past is at hand.
  struct Convolved;
  void depthwise(const CausalConvolution& spec, const SequenceRows& rows, const Convolved& c) const;
  void gather_windows(const CausalConvolution& spec, const SequenceRows& rows,
                      const Convolved& c) const;
  void keep_past(const SequenceRows& rows, const Convolved& c, const FixedBlock& block) const;
  // Products of a wave of experts, and the activation between them.
  struct ExpertWave;
  void multiply(ExpertWave& wave, std::initializer_list<ExpertPart> parts) const;
  void activate(const GatedActivation& how, const ExpertWave& wave);

  Compute compute_;
};

}  // namespace longhaul
