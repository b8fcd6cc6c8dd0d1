#include "kernels/cpu/op_scratch.h"

namespace longhaul {
namespace {

class CountingOps final : public Ops {
 public:
  explicit CountingOps(int n_threads) : n_threads_(n_threads) {}

  void matmul(std::span<Matmul> products, Arena& scratch) override {
    const ArenaScope scope(scratch);
    take_matmul(scratch, products);
  }
  void grouped_matmul(const PackedMatrix& first, int64_t n_groups, Rows<const float> x, Rows<float>,
                      Arena& scratch) override {
    const ArenaScope scope(scratch);
    take_group(scratch, first, n_groups, x.n);
  }
  void attend(const Attention& spec, const KvStep&, const RowSet& rows, Rows<const float>,
              Rows<float>, Arena& scratch) override {
    const ArenaScope scope(scratch);
    take_attend(scratch, spec, rows, n_threads_);
  }
  void attend_shared(const SharedAttention& spec, const KvStep&, const KvStep*, const RowSet& rows,
                     Rows<const int32_t>, Rows<const float>, Rows<float>, Arena& scratch) override {
    const ArenaScope scope(scratch);
    take_attend_shared(scratch, spec, rows, n_threads_);
  }
  void select_entries(const EntrySelection& spec, const KvStep&, const RowSet& rows,
                      Rows<const float>, Rows<const float>, Rows<int32_t>,
                      Arena& scratch) override {
    const ArenaScope scope(scratch);
    take_select(scratch, spec, rows, n_threads_);
  }
  int64_t run_experts(Experts& experts, const GatedActivation&, std::span<const int64_t> first,
                      Rows<float> x, Arena& scratch) override {
    const ArenaScope scope(scratch);
    take_experts(scratch, experts, static_cast<int64_t>(first.size()) - 2, x);
    return x.n;
  }
  void convolve(const CausalConvolution& spec, const RowSet&, const FixedStep&, Rows<const float> x,
                Rows<const float>, Rows<const float> delayed, Rows<float>, Rows<float>, Rows<float>,
                Arena& scratch) override {
    const ArenaScope scope(scratch);
    take_past(scratch, spec, x.width, delayed.width);
  }

  // These take none.
  void copy(Rows<const float>, Rows<float>) override {}
  void clear(Rows<float>) override {}
  void gather(Rows<const float>, std::span<const int64_t>, Rows<float>) override {}
  void keep(std::span<const int64_t>, Rows<float>) override {}
  void repeat(Rows<const float>, int64_t, Rows<float>) override {}
  void add(Rows<const float>, Rows<float>) override {}
  void add_vector(Vector, Rows<float>) override {}
  void scale(float, Rows<float>) override {}
  void scale_by(Vector, Rows<float>) override {}
  void softcap(float, Rows<float>) override {}
  void gelu(Rows<float>) override {}
  void norm(Rows<const float>, Vector, float, Rows<float>) override {}
  void activate(const GatedActivation&, Rows<float>, Rows<float>) override {}
  void gate_heads(int64_t, Rows<float>, Rows<float>) override {}
  void hand_on(Vector, Rows<float>, Rows<float>) override {}
  void lookup(const LookupTable&, std::span<const int32_t>, int64_t, float, Rows<float>) override {}
  void rope_angles(std::span<const int64_t>, std::span<const float>, float, Rows<float>,
                   Rows<float>) override {}
  void rope(RopePairs, Turn, const RopeAngles&, int64_t, Rows<float>) override {}
  void store(const KvStep&, Rows<const float>, Rows<const float>) override {}
  void pool_windows(const WindowPooling&, const RowSet&, Rows<const float>, Rows<const float>,
                    const FixedStep&, Rows<float>, std::span<int64_t>) override {}
  void choose_experts(const ExpertChoice&, std::span<const int32_t>, Rows<float>, Rows<int32_t>,
                      Rows<float>) override {}
  void sort_by_expert(Rows<const int32_t>, Rows<int64_t>, std::span<int64_t>) override {}
  void send_to_experts(Rows<const float>, Rows<const int64_t>, Rows<float>) override {}
  void sum_experts(Rows<const float>, Rows<const int64_t>, Rows<const float>, Rows<const int32_t>,
                   int64_t, Rows<float>) override {}
  void mix_heads(const HeadMeans&, Rows<const float>, Rows<float>, Rows<float>) override {}
  void add_residual(Rows<const float>, Vector, Rows<float>) override {}
  void add_scaled_residual(const ResidualScales&, Rows<float>, Rows<float>) override {}
  void connect_streams(const StreamReader&, Rows<const float>, Rows<float>, Rows<float>,
                       Rows<float>) override {}

 private:
  int n_threads_;
};

}  // namespace

std::unique_ptr<Ops> counting_ops(int n_threads) {
  return std::make_unique<CountingOps>(n_threads);
}

}  // namespace longhaul
