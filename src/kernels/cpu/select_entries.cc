#include "kernels/cpu/select_entries.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/check.h"
#include "kernels/codecs/mxfp4.h"
#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/softmax_partial.h"
#include "kernels/cpu/span_tasks.h"
#include "kernels/kv/row_coding.h"
#include "kernels/kv/spans.h"

namespace longhaul {
namespace {

constexpr int64_t kEntryTile = 256;
constexpr int64_t kLeastSpan = 2048;

struct Candidate {
  float score;
  int32_t entry;

  bool is_better_than(const Candidate& other) const {
    return score > other.score || (score == other.score && entry < other.entry);
  }
};

bool better(const Candidate& a, const Candidate& b) { return a.is_better_than(b); }

// The best k of a stream: twice as many are collected, then the worse half goes. What is worse than
// the k-th best so far never comes in.
class StreamingTopK {
 public:
  StreamingTopK(Candidate* memory, int64_t k) : candidates_(memory), k_(k) {}

  void add(const float* scores, int64_t n, int64_t first_entry) {
    for (int64_t i = 0; i < n; ++i) {
      // Entries come in rising order: an equal score is worse than what is there. What is no number
      // is worst of all, but counts.
      if (has_k_ && !(scores[i] > worst_)) continue;
      candidates_[n_++] = {scores[i] >= kMinusInfinity ? scores[i] : kMinusInfinity,
                           static_cast<int32_t>(first_entry + i)};
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
constexpr int64_t kFp4PanelBytes = Mxfp4Blocks::kLayout.panel_bytes(kQuantBlock);

template <class Element>
Workspace<Element> take_workspace(Arena& carver, const EntrySelection& spec) {
  Workspace<Element> w;
  w.q = carver.take<Element>(spec.n_heads * spec.layout.padded_dim());
  w.scores = carver.take<float>(spec.n_heads * kEntryTile);
  w.sums = carver.take<float>(kEntryTile);
  w.candidates = carver.take<Candidate>(2 * spec.top_k);
  if (spec.layout.dtype == DType::kI8)
    w.keys = carver.take<Element>(kEntryTile * spec.layout.padded_dim());
  if (!is_fp4(spec)) return w;
  w.fp4_q = carver.take<InputBlock>(spec.n_heads);
  w.fp4_keys = carver.take<std::byte>(kEntryTile / kPanel * kFp4PanelBytes);
  return w;
}

// One query against entries [begin, end).
template <class Element>
class Scorer {
 public:
  Scorer(const KernelSet& kernels, const EntrySelection& spec, const SelectionQueries& s,
         int64_t token, const Workspace<Element>& work)
      : kernels_(kernels),
        spec_(spec),
        s_(s),
        work_(work),
        weights_(s.weights + token * spec.n_heads) {
    const int64_t dim = spec.layout.head_dim, padded = spec.layout.padded_dim();
    if (is_fp4(spec)) {
      encode_query(s.q + token * spec.n_heads * dim);
      return;
    }
    for (int64_t h = 0; h < spec.n_heads; ++h)
      load_query(kernels, spec.layout, s.q + (token * spec.n_heads + h) * dim, work.q + h * padded);
  }

  // The best of some entries go to the front of work.candidates; returns how many there are.
  int64_t best(Range entries) {
    StreamingTopK top(work_.candidates, spec_.top_k);
    const int64_t slots = entries.is_empty() ? 0 : s_.keys.front().slots;
    for (int64_t e = entries.begin; e < entries.end;) {
      const int64_t n = std::min({kEntryTile, entries.end - e, slots - e % slots});
      score(s_.keys[static_cast<size_t>(e / slots)], e % slots, n);
      top.add(work_.sums, n, e);
      e += n;
    }
    return top.finish();
  }

 private:
  // Keys were rotated and rounded when they were stored; the query is now, so that products are
  // those of exact integers.
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
          const int8_t level = kE2m1Levels[group.codes[static_cast<size_t>(i)]];
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
    constexpr int64_t kHeader = Mxfp4Blocks::kLayout.header(kQuantBlock),
                      kStored = kFp4PanelBytes - kHeader;
    const std::byte* first = page.block + slot / kPanel * kStored;
    for (int64_t p = 0; p < ceil_div(n, kPanel); ++p)
      std::memcpy(work_.fp4_keys + p * kFp4PanelBytes + kHeader, first + p * kStored,
                  static_cast<size_t>(kStored));
    kernels_.matmul(kMxfp4Codec, {.a = work_.fp4_q,
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
    longhaul::multiply<Element>(kernels_, {.a = work_.q,
                                           .a_stride = padded,
                                           .b = keys(page, slot, n),
                                           .c = work_.scores,
                                           .c_stride = kEntryTile,
                                           .m = spec_.n_heads,
                                           .n = n,
                                           .k = padded});
  }

  void score(const KvSegment& page, int64_t slot, int64_t n) {
    is_fp4(spec_) ? multiply_fp4(page, slot, n) : multiply(page, slot, n);
    std::fill_n(work_.sums, n, 0.0f);
    for (int64_t h = 0; h < spec_.n_heads; ++h)
      kernels_.add_scaled_relu(work_.sums, work_.scores + h * kEntryTile, weights_[h], n);
    // A scale is not negative: it may as well be applied behind the relu.
    if (is_coded())
      kernels_.scale_by(work_.sums, spec_.layout.key_scales(page.block, page.slots, 0) + slot, n);
  }

  bool is_coded() const { return spec_.layout.dtype == DType::kI8; }

  Panels keys(const KvSegment& page, int64_t slot, int64_t n) const {
    const Panels at = spec_.layout.keys(page.block, page.slots, 0, slot);
    if (!is_coded()) return at;
    const int64_t dim = spec_.layout.padded_dim();
    if constexpr (!std::is_same_v<Element, float>)
      kernels_.bytes_to_bf16(reinterpret_cast<const int8_t*>(at.data), round_up(n, kPanel) * dim,
                             work_.keys);
    return {reinterpret_cast<const std::byte*>(work_.keys),
            kPanel * dim * static_cast<int64_t>(sizeof(Element)), kPanel * 4};
  }

  const KernelSet& kernels_;
  const EntrySelection& spec_;
  const SelectionQueries& s_;
  const Workspace<Element>& work_;
  const float* weights_;
};

// Rows of the best of some entries, each with room for twice top_k.
struct Best {
  Candidate* candidates = nullptr;
  int64_t* n = nullptr;
};

// What SpanTasks shares out: a query is a block. Which entries are best does not depend on the cut.
template <class Element>
class Problem {
 public:
  using Workspace = longhaul::Workspace<Element>;
  using Partial = Best;

  Problem(const KernelSet& kernels, const EntrySelection& spec,
          std::span<const SelectionQueries> sequences)
      : kernels_(kernels), spec_(spec), sequences_(sequences) {}

  Workspace take_workspace(Arena& carver) const {
    return longhaul::take_workspace<Element>(carver, spec_);
  }
  Partial take_partial(Arena& carver, int64_t rows) const {
    return {carver.take<Candidate>(rows * 2 * spec_.top_k), carver.take<int64_t>(rows)};
  }
  Partial rows_from(const Partial& best, int64_t row) const {
    return {best.candidates + row * 2 * spec_.top_k, best.n + row};
  }
  int64_t elements_per_row() const { return 8 * spec_.top_k; }

  size_t n_sequences() const { return sequences_.size(); }
  RowBlocks blocks(size_t sequence) const {
    const int64_t visible = spec_.visible_entries(sequences_[sequence].positions.back());
    return {n_tokens(sequence), 1, visible == 0 ? 0 : spans_.of(visible - 1) + 1, visible};
  }
  bool has_row(size_t sequence, int64_t row) const { return row < n_tokens(sequence); }

  void run_block(const Workspace& work, size_t sequence, int64_t token) const {
    int64_t n = best(work, sequence, token, {0, std::numeric_limits<int64_t>::max()});
    write(sequence, token, {work.candidates, &n});
  }
  void run_span(const Workspace& work, size_t sequence, int64_t token, int64_t span,
                const Partial& into) const {
    *into.n = best(work, sequence, token, spans_.at(span));
    std::copy_n(work.candidates, *into.n, into.candidates);
  }
  void fold(const Partial& span, const Partial& total) const {
    std::copy_n(span.candidates, *span.n, total.candidates + *total.n);
    *total.n += *span.n;
    if (*total.n <= spec_.top_k) return;
    std::nth_element(total.candidates, total.candidates + spec_.top_k - 1,
                     total.candidates + *total.n, better);
    *total.n = spec_.top_k;
  }
  void write(size_t sequence, int64_t token, const Partial& total) const {
    int32_t* out = sequences_[sequence].chosen + token * spec_.top_k;
    for (int64_t i = 0; i < *total.n; ++i) out[i] = total.candidates[i].entry;
    std::sort(out, out + *total.n);
  }

 private:
  int64_t n_tokens(size_t sequence) const {
    return static_cast<int64_t>(sequences_[sequence].positions.size());
  }
  int64_t best(const Workspace& work, size_t sequence, int64_t token, Range entries) const {
    const SelectionQueries& s = sequences_[sequence];
    const Range visible{0, spec_.visible_entries(s.positions[static_cast<size_t>(token)])};
    return Scorer<Element>(kernels_, spec_, s, token, work).best(intersect(entries, visible));
  }

  const KernelSet& kernels_;
  const EntrySelection& spec_;
  const std::span<const SelectionQueries> sequences_;
  const Spans spans_ = Spans::growing(kLeastSpan);
};

template <class Element>
uint64_t scratch_bytes(const EntrySelection& spec, int n_threads) {
  return SpanTasks<Problem<Element>>::scratch_bytes({ref_kernels(), spec, {}}, 1, n_threads);
}

template <class Element>
void select(const Compute& compute, const EntrySelection& spec,
            std::span<const SelectionQueries> sequences, std::span<std::byte> scratch) {
  const Problem<Element> problem(*compute.kernels, spec, sequences);
  SpanTasks<Problem<Element>>(compute, problem, 1, scratch).run();
}

}  // namespace

uint64_t select_entries_scratch_bytes(const EntrySelection& spec, int n_threads) {
  return spec.layout.dtype == DType::kF32 ? scratch_bytes<float>(spec, n_threads)
                                          : scratch_bytes<bf16>(spec, n_threads);
}

void select_entries(const Compute& compute, const EntrySelection& spec,
                    std::span<const SelectionQueries> sequences, std::span<std::byte> scratch) {
  LH_CHECK(spec.layout.rows == RowKind::kKeys && spec.layout.n_kv_heads == 1 && spec.top_k >= 1);
  if (spec.layout.dtype == DType::kF32) {
    select<float>(compute, spec, sequences, scratch);
  } else {
    select<bf16>(compute, spec, sequences, scratch);
  }
}

}  // namespace longhaul
