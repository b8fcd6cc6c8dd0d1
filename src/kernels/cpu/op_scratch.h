// The scratch that calls of cpu_ops take. Those that run and those that only count take it here.
#pragma once

#include <algorithm>
#include <array>

#include "kernels/ops.h"

namespace longhaul {

// Rounded inputs.
inline std::span<std::byte> take_matmul(Arena& a, std::span<const Matmul> products) {
  return a.take_bytes(matmul_scratch_bytes(products));
}

struct GroupScratch {
  std::span<Matmul> products;
  std::span<std::byte> inputs;
};

inline GroupScratch take_group(Arena& a, const PackedMatrix& first, int64_t n_groups,
                               int64_t rows) {
  const auto groups = static_cast<uint64_t>(n_groups);
  return {a.take_span<Matmul>(n_groups), a.take_bytes(groups * matmul_scratch_bytes(first, rows))};
}

struct AttendScratch {
  std::span<AttentionQueries> queries;  // by sequence
  std::span<std::byte> work;
};

inline AttendScratch take_attend(Arena& a, const Attention& spec, const RowSet& rows,
                                 int n_threads) {
  const auto n = static_cast<int64_t>(rows.sequences.size());
  return {a.take_span<AttentionQueries>(n), a.take_bytes(attention_scratch_bytes(spec, n_threads))};
}

struct AttendSharedScratch {
  std::span<SharedQueries> queries;
  std::span<std::byte> work;
};

inline AttendSharedScratch take_attend_shared(Arena& a, const SharedAttention& spec,
                                              const RowSet& rows, int n_threads) {
  const auto n = static_cast<int64_t>(rows.sequences.size());
  return {a.take_span<SharedQueries>(n),
          a.take_bytes(shared_attention_scratch_bytes(spec, n_threads))};
}

struct SelectScratch {
  std::span<SelectionQueries> queries;
  std::span<std::byte> work;
};

inline SelectScratch take_select(Arena& a, const EntrySelection& spec, const RowSet& rows,
                                 int n_threads) {
  const auto n = static_cast<int64_t>(rows.sequences.size());
  return {a.take_span<SelectionQueries>(n),
          a.take_bytes(select_entries_scratch_bytes(spec, n_threads))};
}

struct ExpertScratch {
  Rows<float> gate, up;          // [assignments, F]
  std::span<Matmul> products;    // two of each expert
  std::span<ExpertRows> wanted;  // [E]
  std::span<std::byte> inputs;   // rounded
};

// What all assignments need at once: however they fall to experts, each is rounded once a product.
inline ExpertScratch take_experts(Arena& a, const Experts& experts, int64_t n_experts,
                                  Rows<const float> x) {
  const PackedMatrix gate = experts.shape(ExpertPart::kGate);
  const Rows<float> gates = a.take_rows<float>(x.n, gate.n), ups = a.take_rows<float>(x.n, gate.n);
  const std::array<Matmul, 2> in = {
      Matmul{.x = x.data, .x_stride = x.stride, .w = gate, .m = x.n},
      Matmul{.x = x.data, .x_stride = x.stride, .w = experts.shape(ExpertPart::kUp), .m = x.n}};
  const PackedMatrix down = experts.shape(ExpertPart::kDown);
  return {gates, ups, a.take_span<Matmul>(2 * n_experts), a.take_span<ExpertRows>(n_experts),
          a.take_bytes(std::max(matmul_scratch_bytes(in), matmul_scratch_bytes(down, x.n)))};
}

// A fixed block of a convolution's past, in the order in which it is kept: x taps oldest
// first, y taps oldest first, the delayed value.
struct ConvolutionPast {
  Rows<float> x, y, value;
};

inline ConvolutionPast take_past(Arena& a, const CausalConvolution& s, int64_t channels,
                                 int64_t delayed) {
  const int64_t n_x = s.time0 - 1, n_y = s.time1 - 1;
  float* all = a.take<float>((n_x + n_y) * channels + delayed);
  return {{all, n_x, channels},
          {all + n_x * channels, n_y, channels},
          {all + (n_x + n_y) * channels, 1, delayed}};
}

}  // namespace longhaul
