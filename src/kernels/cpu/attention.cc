// Per query row with scores s_j = scale * q . k_j over the visible j of a span, tile after tile of
// keys:
//   m' = max(m, max_j s_j)    l' = e^(m - m') l + sum_j e^(s_j - m')    o' = e^(m - m') o + sum_j
//   e^(s_j - m') v_j
// Spans are folded in the same way, as one tile each, and in the end the output is o / l. Unlike
// the paper's, a block of rows holds all heads that share a key head, and the loop over keys skips
// tiles that no row of the block sees.
//
// Tiles begin at multiples of their width in positions. What a row does not see of a tile has
// weight 0, which adds exact zeros, and the row's own sums begin where its own keys do: they are
// the same whatever else the block sees.
#include "kernels/cpu/attention.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/softmax_partial.h"
#include "kernels/cpu/span_tasks.h"
#include "kernels/kv/spans.h"

namespace longhaul {
namespace {

constexpr int64_t kRowBlock = 48;  // query rows of a task: four register tiles share each key read
constexpr int64_t kKeyTile = 256;
constexpr int64_t kCodedKeyTile = 64;  // widened, its keys and values stay near the core
constexpr int64_t kLeastSpan = 512;    // of keys without a window

int64_t group_of(const Attention& spec) { return spec.n_heads / spec.layout.n_kv_heads; }

Range visible_to(const Attention& spec, int64_t position) {
  return {std::max<int64_t>(0, position - spec.window + 1), position + 1};
}

Spans spans_of(const Attention& spec) {
  return spec.window == kUnboundedWindow ? Spans::growing(kLeastSpan)
                                         : Spans::of_window(spec.window);
}

template <class Element>
struct Workspace {
  Element* q = nullptr;        // [kRowBlock, padded_dim]
  float* scores = nullptr;     // [kRowBlock, kKeyTile]
  Element* weights = nullptr;  // [kRowBlock, kKeyTile]
  SoftmaxPartial total, span;
  // Of 8-bit state: a run of a tile widened, in panels; the tile's scales; a row's weights before
  // they are rounded.
  Element *keys = nullptr, *values = nullptr;
  float *key_scales = nullptr, *value_scales = nullptr, *row_weights = nullptr;
};

// Rows of one key head of one sequence; row r of the head is token r / group, head r % group of the
// group.
struct Rows {
  const AttentionQueries* sequence = nullptr;
  int64_t kv_head = 0;
  int64_t first = 0, n = 0;
};

// Whole panels of keys that stand side by side in one block.
struct Run {
  const KvSegment* segment = nullptr;
  int64_t slot = 0;
  int64_t column = 0, n = 0;  // of the tile
};

template <class Element>
class BlockRunner {
 public:
  BlockRunner(const KernelSet& kernels, const Attention& spec, const Rows& rows,
              const Workspace<Element>& work)
      : kernels_(kernels), spec_(spec), rows_(rows), work_(work), dim_(spec.layout.padded_dim()) {
    load_queries();
  }

  // Positions that some row of the block sees; they ascend with the rows.
  Range seen() const { return {seen_by(0).begin, seen_by(rows_.n - 1).end}; }

  // The block's attention over keys at the positions of a span.
  void attend(Range span, const SoftmaxPartial& partial) {
    partial_ = partial;
    partial_.begin(rows_.n);
    is_fresh_ = true;
    const Range keys = intersect(seen(), span);
    const int64_t width = is_coded() ? kCodedKeyTile : kKeyTile;
    for (int64_t tile = keys.begin / width * width; tile < keys.end; tile += width)
      attend_tile(tile, intersect(keys, {tile, tile + width}));
  }

 private:
  static constexpr bool kIsF32 = std::is_same_v<Element, float>;
  static constexpr int64_t kElement = sizeof(Element), kStepBytes = kPanel * 4;

  void load_queries() {
    const int64_t group = group_of(spec_), head_dim = spec_.layout.head_dim;
    for (int64_t r = 0; r < rows_.n; ++r) {
      const int64_t token = (rows_.first + r) / group,
                    head = rows_.kv_head * group + (rows_.first + r) % group;
      const float* from = rows_.sequence->q + token * rows_.sequence->q_stride + head * head_dim;
      load_query(kernels_, spec_.layout, from, work_.q + r * dim_);
    }
  }

  Range seen_by(int64_t r) const {
    return visible_to(
        spec_, rows_.sequence->positions[static_cast<size_t>((rows_.first + r) / group_of(spec_))]);
  }

  bool is_coded() const { return spec_.layout.dtype == DType::kI8; }

  // Where the tile's panels that hold `keys` stand, in order of position.
  void find_runs(int64_t tile, Range keys) {
    n_runs_ = 0;
    const int64_t end = round_up(keys.end, kPanel);
    for (int64_t position = keys.begin / kPanel * kPanel; position < end;
         position += runs_[n_runs_++].n) {
      const KvSegment& s = segment_with(rows_.sequence->segments, std::max(position, keys.begin));
      runs_[n_runs_] = {&s, s.slot_of(position), position - tile,
                        std::min(end, round_up(s.end_pos(), kPanel)) - position};
    }
  }

  // Codes lie as bf16 would, so that a panel's run of them widens in one go.
  Panels keys(const Run& run) const {
    const Panels at =
        spec_.layout.keys(run.segment->block, run.segment->slots, rows_.kv_head, run.slot);
    if (!is_coded()) return at;
    if constexpr (!kIsF32)
      kernels_.bytes_to_bf16(reinterpret_cast<const int8_t*>(at.data), run.n * dim_, work_.keys);
    return {reinterpret_cast<const std::byte*>(work_.keys), kElement * kPanel * dim_, kStepBytes};
  }

  Panels values(const Run& run) const {
    const Panels at =
        spec_.layout.values(run.segment->block, run.segment->slots, rows_.kv_head, run.slot);
    if (!is_coded()) return at;
    for (int64_t panel = 0; panel < dim_ / kPanel; ++panel) {
      const auto* codes = reinterpret_cast<const int8_t*>(at.data + panel * at.panel_stride);
      if constexpr (!kIsF32)
        kernels_.bytes_to_bf16(codes, run.n * kPanel, work_.values + panel * run.n * kPanel);
    }
    return {reinterpret_cast<const std::byte*>(work_.values), kElement * kPanel * run.n,
            kStepBytes};
  }

  void copy_scales(const Run& run) const {
    const KvSegment& s = *run.segment;
    std::copy_n(spec_.layout.key_scales(s.block, s.slots, rows_.kv_head) + run.slot, run.n,
                work_.key_scales + run.column);
    std::copy_n(spec_.layout.value_scales(s.block, s.slots, rows_.kv_head) + run.slot, run.n,
                work_.value_scales + run.column);
  }

  void attend_tile(int64_t tile, Range keys_of_tile) {
    find_runs(tile, keys_of_tile);
    for (size_t i = 0; i < n_runs_; ++i) {
      const Run& run = runs_[i];
      multiply<Element>(kernels_, {.a = work_.q,
                                   .a_stride = dim_,
                                   .b = keys(run),
                                   .c = work_.scores + run.column,
                                   .c_stride = kKeyTile,
                                   .m = rows_.n,
                                   .n = run.n,
                                   .k = dim_});
      if (is_coded()) copy_scales(run);
    }
    const Range columns{runs_[0].column, runs_[n_runs_ - 1].column + runs_[n_runs_ - 1].n};
    for (int64_t r = 0; r < rows_.n; ++r)
      weigh(r, columns, intersect(seen_by(r), keys_of_tile), tile);
    for (size_t i = 0; i < n_runs_; ++i) {
      const Run& run = runs_[i];
      multiply<Element>(kernels_, {.a = work_.weights + run.column,
                                   .a_stride = kKeyTile,
                                   .b = values(run),
                                   .c = partial_.sums,
                                   .c_stride = dim_,
                                   .m = rows_.n,
                                   .n = dim_,
                                   .k = run.n,
                                   .accumulate = !is_fresh_});
      is_fresh_ = false;
    }
  }

  // Scores in the columns of the tile become weights of the keys that the row sees.
  void weigh(int64_t r, Range columns, Range seen, int64_t tile) const {
    const int64_t at = r * kKeyTile + columns.begin, first = tile + columns.begin;
    const TileScales scales =
        is_coded() ? TileScales{work_.key_scales + columns.begin,
                                work_.value_scales + columns.begin, work_.row_weights}
                   : TileScales{};
    const float factor = weigh_row(kernels_, work_.scores + at, columns.size(),
                                   {seen.begin - first, seen.end - first}, spec_.scale, scales,
                                   partial_.max + r, partial_.weight + r, work_.weights + at);
    if (factor != 1.0f && !is_fresh_) kernels_.scale(partial_.sums + r * dim_, factor, dim_);
  }

  const KernelSet& kernels_;
  const Attention& spec_;
  const Rows rows_;
  const Workspace<Element>& work_;
  const int64_t dim_;
  SoftmaxPartial partial_;
  bool is_fresh_ = true;  // nothing has been added to the sums
  std::array<Run, kKeyTile / kPanel> runs_;
  size_t n_runs_ = 0;
};

// What SpanTasks shares out: blocks of up to kRowBlock rows, key head after key head.
template <class Element>
class Problem : public SoftmaxProblem {
 public:
  using Workspace = longhaul::Workspace<Element>;

  Problem(const KernelSet& kernels, const Attention& spec,
          std::span<const AttentionQueries> sequences)
      : SoftmaxProblem(kernels, spec.layout.padded_dim()),
        spec_(spec),
        sequences_(sequences),
        spans_(spans_of(spec)) {}

  Workspace take_workspace(Arena& carver) const {
    Workspace w{carver.take<Element>(kRowBlock * dim_), carver.take<float>(kRowBlock * kKeyTile),
                carver.take<Element>(kRowBlock * kKeyTile), take_partial(carver, kRowBlock),
                take_partial(carver, kRowBlock)};
    if (spec_.layout.dtype != DType::kI8) return w;
    w.keys = carver.take<Element>(kCodedKeyTile * dim_);
    w.values = carver.take<Element>(kCodedKeyTile * dim_);
    w.key_scales = carver.take<float>(kCodedKeyTile);
    w.value_scales = carver.take<float>(kCodedKeyTile);
    w.row_weights = carver.take<float>(kCodedKeyTile);
    return w;
  }

  size_t n_sequences() const { return sequences_.size(); }
  RowBlocks blocks(size_t sequence) const {
    const int64_t rows = rows_per_head(sequence), n_heads = spec_.layout.n_kv_heads;
    const Range first = visible_to(spec_, sequences_[sequence].positions.front()),
                last = visible_to(spec_, sequences_[sequence].positions.back());
    return {n_heads * ceil_div(rows, kRowBlock), std::min(rows, kRowBlock),
            spans_.of(last.end - 1) - spans_.of(first.begin) + 1, last.size()};
  }
  bool has_row(size_t sequence, int64_t row) const {
    return row_of(sequence, row).first < rows_per_head(sequence);
  }

  void run_block(const Workspace& work, size_t sequence, int64_t block) const {
    const Rows rows = rows_of(sequence, block);
    BlockRunner<Element> runner(kernels_, spec_, rows, work);
    const Range seen = runner.seen();
    const int64_t first = spans_.of(seen.begin), n = spans_.of(seen.end - 1) - first + 1;
    attend_spans(n, rows.n, work.total, work.span, [&](int64_t i, const Partial& partial) {
      runner.attend(spans_.at(first + i), partial);
    });
    for (int64_t r = 0; r < rows.n; ++r) write(rows, r, rows_from(work.total, r));
  }

  // Running maxima of several threads would share cache lines: they are kept apart until they are
  // final.
  void run_span(const Workspace& work, size_t sequence, int64_t block, int64_t span,
                const Partial& partial) const {
    const Rows rows = rows_of(sequence, block);
    const int64_t first =
        spans_.of(visible_to(spec_, sequences_[sequence].positions.front()).begin);
    BlockRunner<Element>(kernels_, spec_, rows, work).attend(spans_.at(first + span), work.span);
    work.span.copy_to(partial, rows.n, dim_);
  }

  void write(size_t sequence, int64_t row, const Partial& total) const {
    write(row_of(sequence, row), 0, total);
  }

 private:
  int64_t rows_per_head(size_t sequence) const {
    return static_cast<int64_t>(sequences_[sequence].positions.size()) * group_of(spec_);
  }
  Rows rows_of(size_t sequence, int64_t block) const {
    const int64_t rows = rows_per_head(sequence), per_head = ceil_div(rows, kRowBlock),
                  first = block % per_head * kRowBlock;
    return {&sequences_[sequence], block / per_head, first, std::min(kRowBlock, rows - first)};
  }
  // One row, numbered as in RowBlocks.
  Rows row_of(size_t sequence, int64_t row) const {
    const int64_t block_rows = std::min(kRowBlock, rows_per_head(sequence));
    Rows rows = rows_of(sequence, row / block_rows);
    rows.first += row % block_rows;
    return rows;
  }
  void write(const Rows& rows, int64_t r, const Partial& total) const {
    const int64_t group = group_of(spec_), row = rows.first + r;
    float* out = rows.sequence->out + row / group * rows.sequence->out_stride;
    write_attention(spec_.layout, total, kMinusInfinity,
                    out + (rows.kv_head * group + row % group) * spec_.layout.head_dim);
  }

  const Attention& spec_;
  const std::span<const AttentionQueries> sequences_;
  const Spans spans_;
};

template <class Element>
uint64_t scratch_bytes(const Attention& spec, int n_threads) {
  return SpanTasks<Problem<Element>>::scratch_bytes({ref_kernels(), spec, {}}, kRowBlock,
                                                    n_threads);
}

template <class Element>
void attend(const Compute& compute, const Attention& spec,
            std::span<const AttentionQueries> sequences, std::span<std::byte> scratch) {
  const Problem<Element> problem(*compute.kernels, spec, sequences);
  SpanTasks<Problem<Element>>(compute, problem, kRowBlock, scratch).run();
}

}  // namespace

uint64_t attention_scratch_bytes(const Attention& spec, int n_threads) {
  return spec.layout.dtype == DType::kF32 ? scratch_bytes<float>(spec, n_threads)
                                          : scratch_bytes<bf16>(spec, n_threads);
}

void attention(const Compute& compute, const Attention& spec,
               std::span<const AttentionQueries> sequences, std::span<std::byte> scratch) {
  LH_CHECK(spec.layout.n_kv_heads > 0 && spec.n_heads % spec.layout.n_kv_heads == 0 &&
           spec.window >= 1);
  if (spec.layout.dtype == DType::kF32) {
    attend<float>(compute, spec, sequences, scratch);
  } else {
    attend<bf16>(compute, spec, sequences, scratch);
  }
}

}  // namespace longhaul
