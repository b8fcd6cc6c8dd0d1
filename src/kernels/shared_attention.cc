// A task is a block of queries times a block of heads, against a span of their keys; keys are numbered through: first the window's rows, then
// the entries. Few queries: keys are cut into spans, merged by their maxima.
#include "kernels/shared_attention.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/row_coding.h"

namespace longhaul {
namespace {

constexpr int64_t kRowBlock = 128;  // queries times heads of a task
constexpr int64_t kKeyTile = 128;

struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return std::max<int64_t>(0, end - begin); }
};

struct Plan {
  int64_t tokens = 0;  // of the sequence
  int64_t block_tokens = 0, token_blocks = 0;
  int64_t block_heads = 0, head_blocks = 0;
  int64_t splits = 1, split_keys = 0;

  int64_t tasks() const { return token_blocks * head_blocks * splits; }
  int64_t split_rows(int64_t n_heads) const { return splits > 1 ? tokens * n_heads : 0; }  // rows whose spans must be merged
};

Range window_of(const SharedAttention& spec, int64_t first, int64_t last) {
  return {std::max<int64_t>(0, first - spec.window + 1), last + 1};
}

// Queries that choose see entries of their own, so each is a block; others share what they see.
Plan plan_of(const SharedAttention& spec, const SharedQueries& s) {
  Plan p{.tokens = static_cast<int64_t>(s.positions.size())};
  const int64_t first = s.positions.front(), last = s.positions.back();
  const bool chooses = spec.visible_entries(last) > spec.seen_entries(last);
  p.block_heads = std::min(spec.n_heads, kRowBlock);
  p.head_blocks = ceil_div(spec.n_heads, p.block_heads);
  p.block_tokens = chooses ? 1 : kRowBlock / p.block_heads;
  p.token_blocks = ceil_div(p.tokens, p.block_tokens);
  if (p.token_blocks * p.head_blocks != 1) return p;
  const int64_t keys = window_of(spec, first, last).size() + spec.seen_entries(last);
  p.splits = std::clamp<int64_t>(keys / kMinKeysPerSplit, 1, kMaxSplits);
  p.split_keys = round_up(ceil_div(keys, p.splits), kKeyTile);
  return p;
}

template <class Element>
struct Workspace {
  Element* q = nullptr;         // [kRowBlock, dim]
  std::byte* keys = nullptr;    // a tile's rows packed as keys: panels over rows
  std::byte* values = nullptr;  // and as values: panels over channels
  float* scores = nullptr;      // [kRowBlock, kKeyTile]
  Element* weights = nullptr;   // [kRowBlock, kKeyTile]
  SoftmaxPartial partial;
  Element* rows = nullptr;       // [kKeyTile, dim] of coded state: a tile's rows widened
  float* scales = nullptr;       // [kKeyTile] likewise
  float* row_weights = nullptr;  // [kKeyTile] likewise, before they are rounded
};

template <class Element>
Workspace<Element> take_workspace(ScratchCarver& carver, const KvLayout& layout) {
  const int64_t dim = layout.padded_dim(), tile_bytes = kKeyTile * dim * static_cast<int64_t>(sizeof(Element));
  Workspace<Element> w;
  w.q = carver.take<Element>(kRowBlock * dim);
  w.keys = carver.take<std::byte>(tile_bytes);
  w.values = carver.take<std::byte>(tile_bytes);
  w.scores = carver.take<float>(kRowBlock * kKeyTile);
  w.weights = carver.take<Element>(kRowBlock * kKeyTile);
  w.partial = take_partial(carver, kRowBlock, dim);
  if (!layout.is_coded()) return w;
  w.rows = carver.take<Element>(kKeyTile * dim);
  w.scales = carver.take<float>(kKeyTile);
  w.row_weights = carver.take<float>(kKeyTile);
  return w;
}

template <class Element>
uint64_t workspace_bytes(const KvLayout& layout) {
  ScratchCarver counter;
  take_workspace<Element>(counter, layout);
  return counter.used_bytes();
}

// A step of a panel of keys is one word of each of its 16 rows, in f32 and (as a pair) in bf16.
void pack_keys(const std::byte* const* rows, int64_t n, int64_t words, std::byte* out) {
  auto* to = reinterpret_cast<uint32_t*>(out);
  for (int64_t panel = 0; panel < n; panel += kPanel, to += words * kPanel) {
    for (int64_t r = 0; r < kPanel; ++r) {
      const auto* from = reinterpret_cast<const uint32_t*>(rows[panel + r]);
      for (int64_t w = 0; w < words; ++w) to[w * kPanel + r] = from[w];
    }
  }
}

// A step of a panel of values is 16 channels of one row in f32, of a pair of rows in bf16.
template <class Element>
void pack_values(const std::byte* const* rows, int64_t n, int64_t dim, std::byte* out) {
  auto* to = reinterpret_cast<Element*>(out);
  constexpr int64_t kStep = std::is_same_v<Element, float> ? 1 : 2;
  for (int64_t row = 0; row < n; row += kStep) {
    const auto* a = reinterpret_cast<const Element*>(rows[row]);
    const auto* b = reinterpret_cast<const Element*>(rows[row + kStep - 1]);
    for (int64_t panel = 0; panel < dim / kPanel; ++panel) {
      Element* step = to + (panel * n + row) * kPanel;
      for (int64_t c = 0; c < kPanel; ++c) {
        step[c * kStep] = a[panel * kPanel + c];
        if constexpr (kStep == 2) step[c * 2 + 1] = b[panel * kPanel + c];
      }
    }
  }
}

template <class Element>
class TaskRunner {
 public:
  TaskRunner(const KernelSet& kernels, const SharedAttention& spec, const SharedQueries& s, const Plan& plan, int64_t index,
             const Workspace<Element>& work)
      : kernels_(kernels),
        spec_(spec),
        s_(s),
        work_(work),
        dim_(spec.layout.padded_dim()),
        head_dim_(spec.layout.head_dim),
        split_(index % plan.splits) {
    const int64_t block = index / plan.splits, token_block = block / plan.head_blocks;
    first_token_ = token_block * plan.block_tokens;
    n_tokens_ = std::min(plan.block_tokens, plan.tokens - first_token_);
    first_head_ = block % plan.head_blocks * plan.block_heads;
    n_heads_ = std::min(plan.block_heads, spec.n_heads - first_head_);
    const int64_t first = position(0), last = position(n_tokens_ - 1);
    window_ = window_of(spec, first, last);
    entries_ = spec.seen_entries(last);
    chosen_ = spec.visible_entries(last) > entries_ ? s.chosen + first_token_ * spec.top_k : nullptr;
    span_ = plan.splits == 1 ? Range{0, window_.size() + entries_} : Range{split_ * plan.split_keys, (split_ + 1) * plan.split_keys};
  }

  int64_t split() const { return split_; }
  int64_t rows() const { return n_tokens_ * n_heads_; }

  void run(const SoftmaxPartial& partial) {
    partial_ = partial;
    load_queries();
    partial_.clear(rows(), dim_);
    const int64_t w = window_.size();
    for_tiles({window_.begin + span_.begin, window_.begin + std::min(span_.end, w)}, [&](Range tile) { attend_window(tile); });
    for_tiles({std::max<int64_t>(0, span_.begin - w), std::min(span_.end - w, entries_)}, [&](Range tile) { attend_entries(tile); });
  }

  // Divides by the weights, the sinks' included.
  void write() const {
    for (int64_t r = 0; r < rows(); ++r) {
      const int64_t head = first_head_ + r % n_heads_;
      float* out = s_.out + ((first_token_ + r / n_heads_) * spec_.n_heads + head) * head_dim_;
      merge_parts(kernels_, partial_.rows_from(r, dim_), 1, 0, dim_, spec_.sinks == nullptr ? kMinusInfinity : spec_.sinks[head], head_dim_,
                  out);
    }
  }

 private:
  static constexpr bool kIsF32 = std::is_same_v<Element, float>;

  int64_t position(int64_t token) const { return s_.positions[static_cast<size_t>(first_token_ + token)]; }

  void load_queries() {
    for (int64_t r = 0; r < rows(); ++r) {
      const float* from = s_.q + ((first_token_ + r / n_heads_) * spec_.n_heads + first_head_ + r % n_heads_) * head_dim_;
      Element* to = work_.q + r * dim_;
      if constexpr (kIsF32) {
        std::copy_n(from, head_dim_, to);
      } else {
        kernels_.to_bf16(from, head_dim_, to);
      }
      std::fill(to + head_dim_, to + dim_, Element{});
    }
  }

  template <class Attend>
  static void for_tiles(Range keys, const Attend& attend) {
    for (int64_t k = keys.begin; k < keys.end; k += kKeyTile) attend(Range{k, std::min(keys.end, k + kKeyTile)});
  }

  void attend_window(Range tile) {
    for (const KvSegment& segment : s_.rows) {
      const int64_t begin = std::max(tile.begin, segment.first_pos),
                    end = std::min(tile.end, segment.first_pos + segment.end - segment.begin);
      for (int64_t p = begin; p < end; ++p)
        rows_[p - tile.begin] = spec_.layout.shared_row(segment.block, p - segment.first_pos + segment.begin);
    }
    attend(tile, [&](int64_t token) { return window_of(spec_, position(token), position(token)); });
  }

  void attend_entries(Range tile) {
    const int64_t slots = s_.entries.front().slots;
    for (int64_t i = tile.begin; i < tile.end; ++i) {
      const int64_t entry = chosen_ == nullptr ? i : chosen_[i];
      rows_[i - tile.begin] = spec_.layout.shared_row(s_.entries[static_cast<size_t>(entry / slots)].block, entry % slots);
    }
    attend(tile, [&](int64_t token) { return Range{0, spec_.seen_entries(position(token))}; });
  }

  // Rows_[0, n) against all queries of the task; seen_by(token) is the range of keys, in the tile's numbering, that it sees.
  template <class SeenBy>
  void attend(Range tile, const SeenBy& seen_by) {
    const int64_t n = round_up(tile.size(), kPanel);
    std::fill(rows_ + tile.size(), rows_ + n, rows_[0]);
    const float* scales = widen_rows(n);
    const int64_t element = sizeof(Element), step = kPanel * 4;
    pack_keys(rows_, n, dim_ * element / 4, work_.keys);
    pack_values<Element>(rows_, n, dim_, work_.values);
    multiply({.a = work_.q,
              .a_stride = dim_,
              .b = {work_.keys, kPanel * dim_ * element, step},
              .c = work_.scores,
              .c_stride = kKeyTile,
              .m = rows(),
              .n = n,
              .k = dim_});
    for (int64_t r = 0; r < rows(); ++r) {
      const Range seen = seen_by(r / n_heads_);
      weigh_row(r,
                {std::clamp<int64_t>(seen.begin - tile.begin, 0, tile.size()), std::clamp<int64_t>(seen.end - tile.begin, 0, tile.size())},
                n, scales);
    }
    multiply({.a = work_.weights,
              .a_stride = kKeyTile,
              .b = {work_.values, kPanel * n * element, step},
              .c = partial_.sums,
              .c_stride = dim_,
              .m = rows(),
              .n = dim_,
              .k = n,
              .accumulate = true});
  }

  // Coded rows become rows of elements, each with a scale that belongs to its score as a key and to its weight as a value.
  const float* widen_rows(int64_t n) {
    if (!spec_.layout.is_coded()) return nullptr;
    if (spec_.layout.format.coding != RowCoding::kPlain) return decode_rows(n);
    for (int64_t i = 0; i < n; ++i) {
      Element* row = work_.rows + i * dim_;
      if constexpr (!kIsF32) kernels_.bytes_to_bf16(reinterpret_cast<const int8_t*>(rows_[i]), dim_, row);
      std::memcpy(work_.scales + i, rows_[i] + dim_, sizeof(float));
      rows_[i] = reinterpret_cast<const std::byte*>(row);
    }
    return work_.scales;
  }

  // Formats whose values are bf16 as they are need no scale.
  const float* decode_rows(int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      Element* row = work_.rows + i * dim_;
      if constexpr (!kIsF32) decode_fp8_row(spec_.layout.format, rows_[i], head_dim_, row);
      std::fill(row + head_dim_, row + dim_, Element{});
      rows_[i] = reinterpret_cast<const std::byte*>(row);
    }
    return nullptr;
  }

  void multiply(const MatmulTile& tile) const { kIsF32 ? kernels_.matmul_f32(tile) : kernels_.matmul_bf16(tile); }

  void weigh_row(int64_t r, Range keys, int64_t n, const float* scales) {
    float* scores = work_.scores + r * kKeyTile;
    Element* weights = work_.weights + r * kKeyTile;
    float factor;
    if (scales != nullptr) {
      kernels_.scale_by(scores, scales, n);
      factor =
          kernels_.softmax_step(scores, n, keys.begin, keys.end, spec_.scale, partial_.max + r, partial_.weight + r, work_.row_weights);
      kernels_.scale_by(work_.row_weights, scales, n);
      if constexpr (!kIsF32) kernels_.to_bf16(work_.row_weights, n, weights);
    } else if constexpr (kIsF32) {
      factor = kernels_.softmax_step(scores, n, keys.begin, keys.end, spec_.scale, partial_.max + r, partial_.weight + r, weights);
    } else {
      factor = kernels_.softmax_step_bf16(scores, n, keys.begin, keys.end, spec_.scale, partial_.max + r, partial_.weight + r, weights);
    }
    if (factor != 1.0f) kernels_.scale(partial_.sums + r * dim_, factor, dim_);
  }

  const KernelSet& kernels_;
  const SharedAttention& spec_;
  const SharedQueries& s_;
  const Workspace<Element>& work_;
  const int64_t dim_, head_dim_, split_;
  int64_t first_token_ = 0, n_tokens_ = 0, first_head_ = 0, n_heads_ = 0, entries_ = 0;
  Range window_, span_;
  const int32_t* chosen_ = nullptr;
  SoftmaxPartial partial_;
  const std::byte* rows_[kKeyTile];
};

// The sequence that holds the index-th unit, where a sequence has units(plan) of them, and the rows of partial results before its own.
struct Place {
  size_t sequence = 0;
  Plan plan;
  int64_t index = 0, first_partial = 0;
};

template <class Units>
Place find(const SharedAttention& spec, std::span<const SharedQueries> sequences, int64_t index, Units units) {
  Place place{.index = index};
  for (;; ++place.sequence) {
    place.plan = plan_of(spec, sequences[place.sequence]);
    if (place.index < units(place.plan)) return place;
    place.index -= units(place.plan);
    place.first_partial += place.plan.split_rows(spec.n_heads) * place.plan.splits;
  }
}

template <class Element>
void attend(const Compute& compute, const SharedAttention& spec, std::span<const SharedQueries> sequences, std::span<std::byte> scratch) {
  int64_t n_tasks = 0, n_merged = 0, n_partials = 0, most_parts = 0;
  for (const SharedQueries& s : sequences) {
    const Plan plan = plan_of(spec, s);
    n_tasks += plan.tasks();
    n_merged += plan.split_rows(spec.n_heads);
    n_partials += plan.split_rows(spec.n_heads) * plan.splits;
    most_parts = std::max(most_parts, plan.splits);
  }
  const int64_t dim = spec.layout.padded_dim();
  ScratchCarver carver(scratch);
  const SoftmaxPartial partials = take_partial(carver, n_partials, dim);
  const auto work_bytes = static_cast<int64_t>(workspace_bytes<Element>(spec.layout));
  std::byte* work_memory = carver.take<std::byte>(work_bytes * compute.pool->n_threads());
  compute.pool->run(n_tasks, [&](int64_t index, int thread) {
    ScratchCarver own({work_memory + thread * work_bytes, static_cast<size_t>(work_bytes)});
    const auto work = take_workspace<Element>(own, spec.layout);
    const Place place = find(spec, sequences, index, [](const Plan& p) { return p.tasks(); });
    TaskRunner<Element> task(*compute.kernels, spec, sequences[place.sequence], place.plan, place.index, work);
    task.run(work.partial);
    if (place.plan.splits > 1) {  // running maxima of several threads would share cache lines: they are kept apart until they are final
      work.partial.copy_to(partials.rows_from(place.first_partial + task.split() * task.rows(), dim), task.rows(), dim);
    } else {
      task.write();
    }
  });
  const int64_t rows_per_chunk = merged_rows_per_chunk(most_parts, dim);
  compute.pool->run(ceil_div(n_merged, rows_per_chunk), [&](int64_t chunk, int) {
    for (int64_t index = chunk * rows_per_chunk; index < std::min(n_merged, (chunk + 1) * rows_per_chunk); ++index) {
      const Place place = find(spec, sequences, index, [&](const Plan& p) { return p.split_rows(spec.n_heads); });
      const int64_t rows = place.plan.split_rows(spec.n_heads), head = place.index % spec.n_heads;
      merge_parts(*compute.kernels, partials.rows_from(place.first_partial + place.index, dim), place.plan.splits, rows, dim,
                  spec.sinks == nullptr ? kMinusInfinity : spec.sinks[head], spec.layout.head_dim,
                  sequences[place.sequence].out + place.index * spec.layout.head_dim);
    }
  });
}

}  // namespace

uint64_t shared_attention_scratch_bytes(const SharedAttention& spec, int64_t max_queries, int64_t max_sequences, int n_threads) {
  const int64_t dim = spec.layout.padded_dim();
  const int64_t split_rows = std::min(max_queries * spec.n_heads, max_sequences * kRowBlock);
  ScratchCarver counter;
  take_partial(counter, split_rows * kMaxSplits, dim);
  const bool is_f32 = spec.layout.dtype == DType::kF32;
  return counter.used_bytes() +
         static_cast<uint64_t>(n_threads) * (is_f32 ? workspace_bytes<float>(spec.layout) : workspace_bytes<bf16>(spec.layout));
}

void shared_attention(const Compute& compute, const SharedAttention& spec, std::span<const SharedQueries> sequences,
                      std::span<std::byte> scratch) {
  LH_CHECK(spec.layout.rows == RowKind::kShared && spec.layout.n_kv_heads == 1 && spec.window >= 1);
  if (sequences.empty()) return;
  if (spec.layout.dtype == DType::kF32) {
    attend<float>(compute, spec, sequences, scratch);
  } else {
    attend<bf16>(compute, spec, sequences, scratch);
  }
}

}  // namespace longhaul
