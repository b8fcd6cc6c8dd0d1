#include "kernels/select_entries.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/check.h"
#include "kernels/quant_blocks.h"
#include "kernels/row_coding.h"

namespace longhaul {
namespace {

constexpr int64_t kEntryTile = 256;
constexpr int64_t kMinEntriesPerSplit = 2048;

struct Candidate {
  float score;
  int32_t entry;

  bool is_better_than(const Candidate& other) const { return score > other.score || (score == other.score && entry < other.entry); }
};

bool better(const Candidate& a, const Candidate& b) { return a.is_better_than(b); }

// The best k of a stream: twice as many are collected, then the worse half goes. What is worse than the k-th best so far never comes in.
class StreamingTopK {
 public:
  StreamingTopK(Candidate* memory, int64_t k) : candidates_(memory), k_(k) {}

  void add(const float* scores, int64_t n, int64_t first_entry) {
    for (int64_t i = 0; i < n; ++i) {
      // Entries come in rising order: an equal score is worse than what is there. What is no number is worst of all, but counts.
      if (has_k_ && !(scores[i] > worst_)) continue;
      candidates_[n_++] = {scores[i] >= kMinusInfinity ? scores[i] : kMinusInfinity, static_cast<int32_t>(first_entry + i)};
      if (n_ == 2 * k_) shrink();
    }
  }

  int64_t finish() {
    if (n_ > k_) shrink();
    return n_;
  }

 private:
  void shrink() {
    std::nth_element(candidates_, candidates_ + k_ - 1, candidates_ + n_, better);
    n_ = k_;
    worst_ = candidates_[k_ - 1].score;
    has_k_ = true;
  }

  Candidate* candidates_;
  int64_t k_, n_ = 0;
  float worst_ = kMinusInfinity;
  bool has_k_ = false;
};

struct Plan {
  int64_t tokens = 0, splits = 1, split_entries = 0;
  int64_t tasks() const { return tokens * splits; }
};

Plan plan_of(const EntrySelection& spec, const SelectionQueries& s) {
  Plan p{.tokens = static_cast<int64_t>(s.positions.size())};
  const int64_t visible = spec.visible_entries(s.positions.back());
  if (p.tokens == 1) p.splits = std::clamp<int64_t>(visible / kMinEntriesPerSplit, 1, kMaxSplits);
  p.split_entries = round_up(std::max<int64_t>(1, ceil_div(visible, p.splits)), kEntryTile);
  return p;
}

template <class Element>
struct Workspace {
  Element* q = nullptr;             // [H, padded_dim]
  float* scores = nullptr;          // [H, kEntryTile]
  float* sums = nullptr;            // [kEntryTile]
  Element* keys = nullptr;          // of 8-bit state: a tile widened, in panels
  Candidate* candidates = nullptr;  // [2 top_k]
  InputBlock* fp4_q = nullptr;      // [H] of state in MXFP4: the query in codes of the same kind
  std::byte* fp4_keys = nullptr;    // likewise: a tile's panels, each behind its header
};

bool is_fp4(const EntrySelection& spec) { return spec.layout.format.coding == RowCoding::kMxFp4; }
constexpr int64_t kFp4PanelBytes = block_panel_bytes(DType::kF4, kQuantBlock);

template <class Element>
Workspace<Element> take_workspace(ScratchCarver& carver, const EntrySelection& spec) {
  Workspace<Element> w;
  w.q = carver.take<Element>(spec.n_heads * spec.layout.padded_dim());
  w.scores = carver.take<float>(spec.n_heads * kEntryTile);
  w.sums = carver.take<float>(kEntryTile);
  w.candidates = carver.take<Candidate>(2 * spec.top_k);
  if (spec.layout.dtype == DType::kI8) w.keys = carver.take<Element>(kEntryTile * spec.layout.padded_dim());
  if (!is_fp4(spec)) return w;
  w.fp4_q = carver.take<InputBlock>(spec.n_heads);
  w.fp4_keys = carver.take<std::byte>(kEntryTile / kPanel * kFp4PanelBytes);
  return w;
}

template <class Element>
uint64_t workspace_bytes(const EntrySelection& spec) {
  ScratchCarver counter;
  take_workspace<Element>(counter, spec);
  return counter.used_bytes();
}

// One query against entries [begin, end).
template <class Element>
class Scorer {
 public:
  Scorer(const KernelSet& kernels, const EntrySelection& spec, const SelectionQueries& s, int64_t token, const Workspace<Element>& work)
      : kernels_(kernels), spec_(spec), s_(s), work_(work), weights_(s.weights + token * spec.n_heads) {
    const int64_t dim = spec.layout.head_dim, padded = spec.layout.padded_dim();
    if (is_fp4(spec)) {
      encode_query(s.q + token * spec.n_heads * dim);
      return;
    }
    for (int64_t h = 0; h < spec.n_heads; ++h) {
      const float* from = s.q + (token * spec.n_heads + h) * dim;
      if constexpr (std::is_same_v<Element, float>) {
        std::copy_n(from, dim, work.q + h * padded);
      } else {
        kernels.to_bf16(from, dim, work.q + h * padded);
      }
      std::fill(work.q + h * padded + dim, work.q + (h + 1) * padded, Element{});
    }
  }

  int64_t best(int64_t begin, int64_t end) {
    StreamingTopK top(work_.candidates, spec_.top_k);
    const int64_t slots = begin < end ? s_.keys.front().slots : 0;
    for (int64_t e = begin; e < end;) {
      const int64_t n = std::min({kEntryTile, end - e, slots - e % slots});
      score(s_.keys[static_cast<size_t>(e / slots)], e % slots, n);
      top.add(work_.sums, n, e);
      e += n;
    }
    return top.finish();
  }

 private:
  // Keys were rotated and rounded when they were stored; the query is now, so that products are those of exact integers.
  void encode_query(const float* q) {
    for (int64_t h = 0; h < spec_.n_heads; ++h) {
      float rotated[kQuantBlock];
      std::copy_n(q + h * kQuantBlock, kQuantBlock, rotated);
      hadamard(rotated, kQuantBlock);
      InputBlock& out = work_.fp4_q[h];
      for (int64_t g = 0; g < kBlockGroups; ++g) {
        const Fp4Group group = encode_fp4_group(rotated + g * kQuantGroup);
        int32_t sum = 0;
        for (int64_t i = 0; i < kQuantGroup; ++i) {
          const int8_t level = kF4Levels[group.codes[static_cast<size_t>(i)]];
          out.codes[static_cast<size_t>(g * kQuantGroup + i)] = level;
          sum += level;
        }
        out.scale[static_cast<size_t>(g)] = 0.5f * to_f32(e8m0{group.scale});  // levels are doubled
        out.correction[static_cast<size_t>(g)] = -kCodeOffset * sum;
      }
      out.block_correction = std::accumulate(out.correction.begin(), out.correction.end(), 0);
    }
    for (int64_t p = 0; p < kEntryTile / kPanel; ++p)
      std::fill_n(reinterpret_cast<float*>(work_.fp4_keys + p * kFp4PanelBytes), kPanel, 0.5f);
  }

  void multiply_fp4(const KvSegment& page, int64_t slot, int64_t n) {
    constexpr int64_t kHeader = panel_header_bytes(DType::kF4, kQuantBlock), kStored = kFp4PanelBytes - kHeader;
    const std::byte* first = page.block + slot / kPanel * kStored;
    for (int64_t p = 0; p < ceil_div(n, kPanel); ++p)
      std::memcpy(work_.fp4_keys + p * kFp4PanelBytes + kHeader, first + p * kStored, static_cast<size_t>(kStored));
    kernels_.matmul_f4({.a = work_.fp4_q,
                        .a_stride = static_cast<int64_t>(sizeof(InputBlock)),
                        .b = {work_.fp4_keys, kFp4PanelBytes, 0},
                        .c = work_.scores,
                        .c_stride = kEntryTile,
                        .m = spec_.n_heads,
                        .n = n,
                        .k = kQuantBlock});
  }

  void multiply(const KvSegment& page, int64_t slot, int64_t n) {
    const int64_t padded = spec_.layout.padded_dim();
    const MatmulTile tile{.a = work_.q,
                          .a_stride = padded,
                          .b = keys(page, slot, n),
                          .c = work_.scores,
                          .c_stride = kEntryTile,
                          .m = spec_.n_heads,
                          .n = n,
                          .k = padded};
    std::is_same_v<Element, float> ? kernels_.matmul_f32(tile) : kernels_.matmul_bf16(tile);
  }

  void score(const KvSegment& page, int64_t slot, int64_t n) {
    is_fp4(spec_) ? multiply_fp4(page, slot, n) : multiply(page, slot, n);
    std::fill_n(work_.sums, n, 0.0f);
    for (int64_t h = 0; h < spec_.n_heads; ++h) kernels_.add_scaled_relu(work_.sums, work_.scores + h * kEntryTile, weights_[h], n);
    // A scale is not negative: it may as well be applied behind the relu.
    if (is_coded()) kernels_.scale_by(work_.sums, spec_.layout.key_scales(page.block, page.slots, 0) + slot, n);
  }

  bool is_coded() const { return spec_.layout.dtype == DType::kI8; }

  Panels keys(const KvSegment& page, int64_t slot, int64_t n) const {
    const Panels at = spec_.layout.keys(page.block, page.slots, 0, slot);
    if (!is_coded()) return at;
    const int64_t dim = spec_.layout.padded_dim();
    if constexpr (!std::is_same_v<Element, float>)
      kernels_.bytes_to_bf16(reinterpret_cast<const int8_t*>(at.data), round_up(n, kPanel) * dim, work_.keys);
    return {reinterpret_cast<const std::byte*>(work_.keys), kPanel * dim * static_cast<int64_t>(sizeof(Element)), kPanel * 4};
  }

  const KernelSet& kernels_;
  const EntrySelection& spec_;
  const SelectionQueries& s_;
  const Workspace<Element>& work_;
  const float* weights_;
};

void write_ascending(Candidate* best, int64_t n, int32_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = best[i].entry;
  std::sort(out, out + n);
}

struct Place {
  size_t sequence = 0;
  Plan plan;
  int64_t index = 0;
};

Place find(const EntrySelection& spec, std::span<const SelectionQueries> sequences, int64_t index) {
  Place place{.index = index};
  for (;; ++place.sequence) {
    place.plan = plan_of(spec, sequences[place.sequence]);
    if (place.index < place.plan.tasks()) return place;
    place.index -= place.plan.tasks();
  }
}

// The best of a sequence's spans, [sequences, kMaxSplits, top_k], and how many each found.
struct SplitResults {
  Candidate* best = nullptr;
  int64_t* n = nullptr;
};

SplitResults take_split_results(ScratchCarver& carver, const EntrySelection& spec, int64_t sequences) {
  return {carver.take<Candidate>(sequences * kMaxSplits * spec.top_k), carver.take<int64_t>(sequences * kMaxSplits)};
}

// Each span's best were put side by side; gaps are closed, then the best of all are found.
void merge_splits(const EntrySelection& spec, const Plan& plan, Candidate* best, const int64_t* found, int32_t* out) {
  int64_t n = 0;
  for (int64_t s = 0; s < plan.splits; ++s) {
    std::copy_n(best + s * spec.top_k, found[s], best + n);
    n += found[s];
  }
  if (n > spec.top_k) std::nth_element(best, best + spec.top_k - 1, best + n, better);
  write_ascending(best, std::min(n, spec.top_k), out);
}

template <class Element>
void select(const Compute& compute, const EntrySelection& spec, std::span<const SelectionQueries> sequences, std::span<std::byte> scratch) {
  int64_t n_tasks = 0;
  for (const SelectionQueries& s : sequences) n_tasks += plan_of(spec, s).tasks();
  ScratchCarver carver(scratch);
  const SplitResults results = take_split_results(carver, spec, static_cast<int64_t>(sequences.size()));
  const auto work_bytes = static_cast<int64_t>(workspace_bytes<Element>(spec));
  std::byte* work_memory = carver.take<std::byte>(work_bytes * compute.pool->n_threads());
  compute.pool->run(n_tasks, [&](int64_t index, int thread) {
    ScratchCarver own({work_memory + thread * work_bytes, static_cast<size_t>(work_bytes)});
    const auto work = take_workspace<Element>(own, spec);
    const Place place = find(spec, sequences, index);
    const SelectionQueries& s = sequences[place.sequence];
    const int64_t token = place.index / place.plan.splits, split = place.index % place.plan.splits;
    const int64_t visible = spec.visible_entries(s.positions[static_cast<size_t>(token)]);
    const int64_t begin = split * place.plan.split_entries;
    const int64_t n =
        Scorer<Element>(*compute.kernels, spec, s, token, work).best(begin, std::min(visible, begin + place.plan.split_entries));
    if (place.plan.splits == 1) {
      write_ascending(work.candidates, n, s.chosen + token * spec.top_k);
    } else {
      const auto at = static_cast<int64_t>(place.sequence) * kMaxSplits + split;
      std::copy_n(work.candidates, n, results.best + at * spec.top_k);
      results.n[at] = n;
    }
  });
  for (size_t i = 0; i < sequences.size(); ++i) {
    const Plan plan = plan_of(spec, sequences[i]);
    const auto at = static_cast<int64_t>(i) * kMaxSplits;
    if (plan.splits > 1) merge_splits(spec, plan, results.best + at * spec.top_k, results.n + at, sequences[i].chosen);
  }
}

}  // namespace

uint64_t select_entries_scratch_bytes(const EntrySelection& spec, int64_t max_sequences, int n_threads) {
  ScratchCarver counter;
  take_split_results(counter, spec, max_sequences);
  const bool is_f32 = spec.layout.dtype == DType::kF32;
  return counter.used_bytes() + static_cast<uint64_t>(n_threads) * (is_f32 ? workspace_bytes<float>(spec) : workspace_bytes<bf16>(spec));
}

void select_entries(const Compute& compute, const EntrySelection& spec, std::span<const SelectionQueries> sequences,
                    std::span<std::byte> scratch) {
  LH_CHECK(spec.layout.rows == RowKind::kKeys && spec.layout.n_kv_heads == 1 && spec.top_k >= 1);
  if (spec.layout.dtype == DType::kF32) {
    select<float>(compute, spec, sequences, scratch);
  } else {
    select<bf16>(compute, spec, sequences, scratch);
  }
}

}  // namespace longhaul
