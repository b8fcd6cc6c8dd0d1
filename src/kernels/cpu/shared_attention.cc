// A block is some queries times some heads. Its spans are those of the window, by position, and
// behind them those of the entries: by their number where a query sees all of them, by their place
// in the query's choice where it chooses. Where the choice is everything, the two are the same.
// Tiles begin at multiples of their width likewise, so a row's result depends on its own keys alone
// (attention.cc).
#include "kernels/cpu/shared_attention.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "kernels/cpu/attention_rows.h"
#include "kernels/cpu/softmax_partial.h"
#include "kernels/cpu/span_tasks.h"
#include "kernels/kv/row_coding.h"
#include "kernels/kv/spans.h"

namespace longhaul {
namespace {

constexpr int64_t kRowBlock = 128;  // queries times heads of a task
constexpr int64_t kKeyTile = 128;
constexpr int64_t kLeastSpan = 512;  // of keys that grow with the position

Range window_of(const SharedAttention& spec, int64_t first, int64_t last) {
  return {std::max<int64_t>(0, first - spec.window + 1), last + 1};
}

Spans window_spans(const SharedAttention& spec) {
  return spec.window == kUnboundedWindow ? Spans::growing(kLeastSpan)
                                         : Spans::of_window(spec.window);
}

template <class Element>
struct Workspace {
  Element* q = nullptr;         // [kRowBlock, dim]
  std::byte* keys = nullptr;    // a tile's rows packed as keys: panels over rows
  std::byte* values = nullptr;  // and as values: panels over channels
  float* scores = nullptr;      // [kRowBlock, kKeyTile]
  Element* weights = nullptr;   // [kRowBlock, kKeyTile]
  SoftmaxPartial total, span;
  Element* rows = nullptr;       // [kKeyTile, dim] of coded state: a tile's rows widened
  float* scales = nullptr;       // [kKeyTile] likewise
  float* row_weights = nullptr;  // [kKeyTile] likewise, before they are rounded
};

// Some queries and heads of a sequence. Row r is token r / n_heads, head r % n_heads of them.
struct Rows {
  const SharedQueries* sequence = nullptr;
  int64_t first_token = 0, n_tokens = 0;
  int64_t first_head = 0, n_heads = 0;

  int64_t n() const { return n_tokens * n_heads; }
  int64_t position(int64_t token) const {
    return sequence->positions[static_cast<size_t>(first_token + token)];
  }
  int64_t first_position() const { return position(0); }
  int64_t last_position() const { return position(n_tokens - 1); }
};

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
class BlockRunner {
 public:
  BlockRunner(const KernelSet& kernels, const SharedAttention& spec, const Rows& rows,
              const Workspace<Element>& work)
      : kernels_(kernels),
        spec_(spec),
        rows_(rows),
        work_(work),
        dim_(spec.layout.padded_dim()),
        head_dim_(spec.layout.head_dim) {
    if (spec.visible_entries(rows.last_position()) > n_entries())
      chosen_ = rows.sequence->chosen + rows.first_token * spec.top_k;
    load_queries();
  }

  Range window() const { return window_of(spec_, rows_.position(0), rows_.last_position()); }
  int64_t n_entries() const { return spec_.seen_entries(rows_.last_position()); }

  // The block's attention over the window's rows at the positions of a span.
  void attend_window(Range span, const SoftmaxPartial& partial) {
    const auto row_at = [&](int64_t position) {
      const KvSegment& s = segment_with(rows_.sequence->rows, position);
      return spec_.layout.shared_row(s.block, s.slot_of(position));
    };
    const auto seen_by = [&](int64_t token) {
      return window_of(spec_, rows_.position(token), rows_.position(token));
    };
    attend(intersect(window(), span), row_at, seen_by, partial);
  }

  // Over a span of entries, or of those chosen.
  void attend_entries(Range span, const SoftmaxPartial& partial) {
    const auto row_at = [&](int64_t i) {
      const int64_t entry = chosen_ == nullptr ? i : chosen_[i],
                    slots = rows_.sequence->entries.front().slots;
      return spec_.layout.shared_row(
          rows_.sequence->entries[static_cast<size_t>(entry / slots)].block, entry % slots);
    };
    const auto seen_by = [&](int64_t token) {
      return Range{0, spec_.seen_entries(rows_.position(token))};
    };
    attend(intersect({0, n_entries()}, span), row_at, seen_by, partial);
  }

 private:
  static constexpr bool kIsF32 = std::is_same_v<Element, float>;

  void load_queries() {
    for (int64_t r = 0; r < rows_.n(); ++r) {
      const int64_t token = rows_.first_token + r / rows_.n_heads,
                    head = rows_.first_head + r % rows_.n_heads;
      load_query(kernels_, spec_.layout,
                 rows_.sequence->q + (token * spec_.n_heads + head) * head_dim_,
                 work_.q + r * dim_);
    }
  }

  // row_at(key) is where a key stands, seen_by(token) the range of keys that a token of the block
  // sees.
  template <class RowAt, class SeenBy>
  void attend(Range keys, const RowAt& row_at, const SeenBy& seen_by,
              const SoftmaxPartial& partial) {
    partial_ = partial;
    partial_.begin(rows_.n());
    is_fresh_ = true;
    for (int64_t tile = keys.begin / kKeyTile * kKeyTile; tile < keys.end; tile += kKeyTile) {
      const Range of_tile = intersect(keys, {tile, tile + kKeyTile});
      // Whole panels; what pads them is any row.
      const Range columns{of_tile.begin / kPanel * kPanel, round_up(of_tile.end, kPanel)};
      std::fill_n(row_at_, columns.size(), row_at(of_tile.begin));
      for (int64_t key = of_tile.begin; key < of_tile.end; ++key)
        row_at_[key - columns.begin] = row_at(key);
      attend_tile(columns, of_tile, seen_by);
    }
  }

  template <class SeenBy>
  void attend_tile(Range columns, Range keys, const SeenBy& seen_by) {
    const int64_t n = columns.size(), element = sizeof(Element), step = kPanel * 4;
    const float* scales = widen_rows(n);
    pack_keys(row_at_, n, dim_ * element / 4, work_.keys);
    pack_values<Element>(row_at_, n, dim_, work_.values);
    multiply<Element>(kernels_, {.a = work_.q,
                                 .a_stride = dim_,
                                 .b = {work_.keys, kPanel * dim_ * element, step},
                                 .c = work_.scores,
                                 .c_stride = kKeyTile,
                                 .m = rows_.n(),
                                 .n = n,
                                 .k = dim_});
    for (int64_t r = 0; r < rows_.n(); ++r) {
      const Range seen = intersect(seen_by(r / rows_.n_heads), keys);
      const float factor =
          weigh_row(kernels_, work_.scores + r * kKeyTile, n,
                    {seen.begin - columns.begin, seen.end - columns.begin}, spec_.scale,
                    {scales, scales, work_.row_weights}, partial_.max + r, partial_.weight + r,
                    work_.weights + r * kKeyTile);
      if (factor != 1.0f && !is_fresh_) kernels_.scale(partial_.sums + r * dim_, factor, dim_);
    }
    multiply<Element>(kernels_, {.a = work_.weights,
                                 .a_stride = kKeyTile,
                                 .b = {work_.values, kPanel * n * element, step},
                                 .c = partial_.sums,
                                 .c_stride = dim_,
                                 .m = rows_.n(),
                                 .n = dim_,
                                 .k = n,
                                 .accumulate = !is_fresh_});
    is_fresh_ = false;
  }
  // Coded rows become rows of elements, each with a scale that belongs to its score as a key and to
  // its weight as a value.
  const float* widen_rows(int64_t n) {
    if (!spec_.layout.is_coded()) return nullptr;
    if (spec_.layout.format.coding != RowCoding::kPlain) return decode_rows(n);
    for (int64_t i = 0; i < n; ++i) {
      Element* row = work_.rows + i * dim_;
      if constexpr (!kIsF32)
        kernels_.bytes_to_bf16(reinterpret_cast<const int8_t*>(row_at_[i]), dim_, row);
      std::memcpy(work_.scales + i, row_at_[i] + dim_, sizeof(float));
      row_at_[i] = reinterpret_cast<const std::byte*>(row);
    }
    return work_.scales;
  }

  // Formats whose values are bf16 as they are need no scale.
  const float* decode_rows(int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      Element* row = work_.rows + i * dim_;
      if constexpr (!kIsF32) decode_fp8_row(spec_.layout.format, row_at_[i], head_dim_, row);
      std::fill(row + head_dim_, row + dim_, Element{});
      row_at_[i] = reinterpret_cast<const std::byte*>(row);
    }
    return nullptr;
  }

  const KernelSet& kernels_;
  const SharedAttention& spec_;
  const Rows rows_;
  const Workspace<Element>& work_;
  const int64_t dim_, head_dim_;
  const int32_t* chosen_ = nullptr;
  SoftmaxPartial partial_;
  bool is_fresh_ = true;  // nothing has been added to the sums
  const std::byte* row_at_[kKeyTile];
};

// What SpanTasks shares out: blocks of heads, then of tokens.
template <class Element>
class Problem : public SoftmaxProblem {
 public:
  using Workspace = longhaul::Workspace<Element>;

  Problem(const KernelSet& kernels, const SharedAttention& spec,
          std::span<const SharedQueries> sequences)
      : SoftmaxProblem(kernels, spec.layout.padded_dim()),
        spec_(spec),
        sequences_(sequences),
        window_spans_(window_spans(spec)),
        entry_spans_(Spans::growing(kLeastSpan)),
        block_heads_(std::min(spec.n_heads, kRowBlock)) {}

  Workspace take_workspace(Arena& carver) const {
    const int64_t tile_bytes = kKeyTile * dim_ * static_cast<int64_t>(sizeof(Element));
    Workspace w;
    w.q = carver.take<Element>(kRowBlock * dim_);
    w.keys = carver.take<std::byte>(tile_bytes);
    w.values = carver.take<std::byte>(tile_bytes);
    w.scores = carver.take<float>(kRowBlock * kKeyTile);
    w.weights = carver.take<Element>(kRowBlock * kKeyTile);
    w.total = take_partial(carver, kRowBlock);
    w.span = take_partial(carver, kRowBlock);
    if (!spec_.layout.is_coded()) return w;
    w.rows = carver.take<Element>(kKeyTile * dim_);
    w.scales = carver.take<float>(kKeyTile);
    w.row_weights = carver.take<float>(kKeyTile);
    return w;
  }

  size_t n_sequences() const { return sequences_.size(); }
  RowBlocks blocks(size_t sequence) const {
    const SharedQueries& s = sequences_[sequence];
    const int64_t last = s.positions.back(), tokens = block_tokens(s);
    const Keys keys = keys_of(s.positions.front(), last);
    return {ceil_div(n_tokens(s), tokens) * head_blocks(), tokens * block_heads_,
            keys.n_window_spans + keys.n_entry_spans,
            window_of(spec_, last, last).size() + spec_.seen_entries(last)};
  }
  bool has_row(size_t sequence, int64_t row) const {
    const Rows rows = rows_of(sequence, row / block_rows(sequence));
    return row % block_rows(sequence) < rows.n();
  }

  void run_block(const Workspace& work, size_t sequence, int64_t block) const {
    const Rows rows = rows_of(sequence, block);
    BlockRunner<Element> runner(kernels_, spec_, rows, work);
    const Keys keys = keys_of(rows.position(0), rows.last_position());
    attend_spans(keys.n_window_spans + keys.n_entry_spans, rows.n(), work.total, work.span,
                 [&](int64_t i, const Partial& partial) { attend(runner, keys, i, partial); });
    for (int64_t r = 0; r < rows.n(); ++r) write(rows, r, rows_from(work.total, r));
  }

  // Running maxima of several threads would share cache lines: they are kept apart until they are
  // final.
  void run_span(const Workspace& work, size_t sequence, int64_t block, int64_t span,
                const Partial& partial) const {
    const std::span<const int64_t> positions = sequences_[sequence].positions;
    const Rows rows = rows_of(sequence, block);
    BlockRunner<Element> runner(kernels_, spec_, rows, work);
    attend(runner, keys_of(positions.front(), positions.back()), span, work.span);
    work.span.copy_to(partial, rows.n(), dim_);
  }

  void write(size_t sequence, int64_t row, const Partial& total) const {
    write(rows_of(sequence, row / block_rows(sequence)), row % block_rows(sequence), total);
  }

 private:
  // The spans of queries at positions first .. last: those of the window, then those of the
  // entries.
  struct Keys {
    int64_t first_window_span = 0, n_window_spans = 0, n_entry_spans = 0;
  };
  Keys keys_of(int64_t first, int64_t last) const {
    const Range window = window_of(spec_, first, last);
    const int64_t begin = window_spans_.of(window.begin), entries = spec_.seen_entries(last);
    return {begin, window_spans_.of(window.end - 1) - begin + 1,
            entries == 0 ? 0 : entry_spans_.of(entries - 1) + 1};
  }
  void attend(BlockRunner<Element>& runner, const Keys& keys, int64_t span,
              const Partial& partial) const {
    if (span < keys.n_window_spans)
      return runner.attend_window(window_spans_.at(keys.first_window_span + span), partial);
    runner.attend_entries(entry_spans_.at(span - keys.n_window_spans), partial);
  }

  static int64_t n_tokens(const SharedQueries& s) {
    return static_cast<int64_t>(s.positions.size());
  }
  int64_t head_blocks() const { return ceil_div(spec_.n_heads, block_heads_); }
  // Queries that choose see entries of their own, so each is a block; others share what they see.
  int64_t block_tokens(const SharedQueries& s) const {
    const int64_t last = s.positions.back();
    const bool chooses = spec_.visible_entries(last) > spec_.seen_entries(last);
    return chooses ? 1 : std::min(n_tokens(s), kRowBlock / block_heads_);
  }
  int64_t block_rows(size_t sequence) const {
    return block_tokens(sequences_[sequence]) * block_heads_;
  }

  Rows rows_of(size_t sequence, int64_t block) const {
    const SharedQueries& s = sequences_[sequence];
    const int64_t first_token = block / head_blocks() * block_tokens(s),
                  first_head = block % head_blocks() * block_heads_;
    return {&s, first_token, std::min(block_tokens(s), n_tokens(s) - first_token), first_head,
            std::min(block_heads_, spec_.n_heads - first_head)};
  }
  // The sinks' weights belong to the sum.
  void write(const Rows& rows, int64_t r, const Partial& total) const {
    const int64_t token = rows.first_token + r / rows.n_heads,
                  head = rows.first_head + r % rows.n_heads, dim = spec_.layout.head_dim;
    const float sink = spec_.sinks == nullptr ? kMinusInfinity : spec_.sinks[head];
    write_attention(spec_.layout, total, sink,
                    rows.sequence->out + (token * spec_.n_heads + head) * dim);
  }

  const SharedAttention& spec_;
  const std::span<const SharedQueries> sequences_;
  const Spans window_spans_, entry_spans_;
  const int64_t block_heads_;
};

template <class Element>
uint64_t scratch_bytes(const SharedAttention& spec, int n_threads) {
  return SpanTasks<Problem<Element>>::scratch_bytes({ref_kernels(), spec, {}}, kRowBlock,
                                                    n_threads);
}

template <class Element>
void attend(const Compute& compute, const SharedAttention& spec,
            std::span<const SharedQueries> sequences, std::span<std::byte> scratch) {
  const Problem<Element> problem(*compute.kernels, spec, sequences);
  SpanTasks<Problem<Element>>(compute, problem, kRowBlock, scratch).run();
}

}  // namespace

uint64_t shared_attention_scratch_bytes(const SharedAttention& spec, int n_threads) {
  return spec.layout.dtype == DType::kF32 ? scratch_bytes<float>(spec, n_threads)
                                          : scratch_bytes<bf16>(spec, n_threads);
}

void shared_attention(const Compute& compute, const SharedAttention& spec,
                      std::span<const SharedQueries> sequences, std::span<std::byte> scratch) {
  LH_CHECK(spec.layout.rows == RowKind::kShared && spec.layout.n_kv_heads == 1 && spec.window >= 1);
  if (sequences.empty()) return;
  if (spec.layout.dtype == DType::kF32) {
    attend<float>(compute, spec, sequences, scratch);
  } else {
    attend<bf16>(compute, spec, sequences, scratch);
  }
}

}  // namespace longhaul
