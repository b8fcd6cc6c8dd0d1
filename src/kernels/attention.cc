// Per query row with scores s_j = scale * q . k_j over the visible j, tile after tile of keys:
//   m' = max(m, max_j s_j)    l' = e^(m - m') l + sum_j e^(s_j - m')    o' = e^(m - m') o + sum_j e^(s_j - m') v_j
// and in the end o / l. Spans of keys are merged in the same way, as one tile each. Unlike the paper's, a block of rows holds all
// heads that share a key head, and the loop over keys skips tiles that no row of the block sees.
#include "kernels/attention.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/softmax_partial.h"

namespace longhaul {
namespace {

constexpr int64_t kRowBlock = 48;  // query rows of a task: four register tiles share each key read
constexpr int64_t kKeyTile = 256;
constexpr int64_t kCodedKeyTile = 64;  // widened, its keys and values stay near the core

struct Range {
  int64_t begin = 0, end = 0;  // positions
};

Range intersect(Range a, Range b) { return {std::max(a.begin, b.begin), std::min(a.end, b.end)}; }

// How one sequence is cut into tasks. Rows are its queries times the heads of a group; row r is token r / group, head r % group.
struct Plan {
  int64_t rows = 0, row_blocks = 0;
  int64_t splits = 0, split_begin = 0, split_keys = 0;

  int64_t tasks_per_head() const { return row_blocks * splits; }
  int64_t split_rows() const { return splits > 1 ? rows : 0; }  // rows whose spans must be merged
};

int64_t group_of(const Attention& spec) { return spec.n_heads / spec.layout.n_kv_heads; }

Range visible_to(const Attention& spec, int64_t position) { return {std::max<int64_t>(0, position - spec.window + 1), position + 1}; }

// Few rows: keys are split. Borders stand at multiples of a tile, so that spans of whole pages share no tile.
Plan plan_of(const Attention& spec, const AttentionQueries& s) {
  Plan plan;
  plan.rows = static_cast<int64_t>(s.positions.size()) * group_of(spec);
  plan.row_blocks = ceil_div(plan.rows, kRowBlock);
  plan.splits = 1;
  plan.split_keys = kUnboundedWindow;
  if (plan.row_blocks != 1) return plan;
  const int64_t first = visible_to(spec, s.positions.front()).begin, end = s.positions.back() + 1;
  plan.splits = std::clamp<int64_t>((end - first) / kMinKeysPerSplit, 1, kMaxSplits);
  if (plan.splits == 1) return plan;
  plan.split_begin = first / kKeyTile * kKeyTile;
  plan.split_keys = round_up(ceil_div(end - plan.split_begin, plan.splits), kKeyTile);
  return plan;
}

template <class Element>
struct Workspace {
  Element* q = nullptr;        // [kRowBlock, padded_dim]
  float* scores = nullptr;     // [kRowBlock, kKeyTile]
  Element* weights = nullptr;  // [kRowBlock, kKeyTile]
  SoftmaxPartial partial;
  Element *keys = nullptr, *values = nullptr;  // of 8-bit state: a tile widened, in panels
  float* row_weights = nullptr;                // [kKeyTile] likewise, before they are rounded
};

template <class Element>
Workspace<Element> take_workspace(ScratchCarver& carver, const KvLayout& layout) {
  const int64_t dim = layout.padded_dim();
  Workspace<Element> w{carver.take<Element>(kRowBlock * dim), carver.take<float>(kRowBlock * kKeyTile),
                       carver.take<Element>(kRowBlock * kKeyTile), take_partial(carver, kRowBlock, dim)};
  if (layout.dtype != DType::kI8) return w;
  w.keys = carver.take<Element>(kCodedKeyTile * dim);
  w.values = carver.take<Element>(kCodedKeyTile * dim);
  w.row_weights = carver.take<float>(kKeyTile);
  return w;
}

template <class Element>
uint64_t workspace_bytes(const KvLayout& layout) {
  ScratchCarver counter;
  take_workspace<Element>(counter, layout);
  return counter.used_bytes();
}

// A block of rows of one key head against one span of keys.
struct Task {
  const AttentionQueries* sequence = nullptr;
  int64_t kv_head = 0;
  int64_t first_row = 0, rows = 0;
  Range keys;  // positions of the span
};

template <class Element>
class TaskRunner {
 public:
  TaskRunner(const KernelSet& kernels, const Attention& spec, const Task& task, const Workspace<Element>& work,
             const SoftmaxPartial& partial)
      : kernels_(kernels), spec_(spec), task_(task), work_(work), partial_(partial), dim_(spec.layout.padded_dim()) {}

  void run() {
    load_queries();
    partial_.clear(task_.rows, dim_);
    const Range seen{range_of_row(0).begin, range_of_row(task_.rows - 1).end};  // positions ascend with the rows
    for (const KvSegment& segment : task_.sequence->segments) {
      const Range slots = slots_of(segment, seen);
      const int64_t tile = is_coded() ? kCodedKeyTile : kKeyTile;
      for (int64_t slot = slots.begin / kPanel * kPanel; slot < slots.end; slot += tile) {
        attend_tile(segment, slot, round_up(std::min(tile, slots.end - slot), kPanel));
      }
    }
  }

 private:
  static constexpr bool kIsF32 = std::is_same_v<Element, float>;
  static constexpr int64_t kElement = sizeof(Element), kStepBytes = kPanel * 4;

  void load_queries() {
    const int64_t group = group_of(spec_), head_dim = spec_.layout.head_dim;
    for (int64_t r = 0; r < task_.rows; ++r) {
      const int64_t token = (task_.first_row + r) / group, head = task_.kv_head * group + (task_.first_row + r) % group;
      const float* from = task_.sequence->q + token * task_.sequence->q_stride + head * head_dim;
      Element* to = work_.q + r * dim_;
      if constexpr (kIsF32) {
        std::copy_n(from, head_dim, to);
      } else {
        kernels_.to_bf16(from, head_dim, to);
      }
      std::fill(to + head_dim, to + dim_, Element{});
    }
  }

  Range range_of_row(int64_t r) const {
    const auto token = static_cast<size_t>((task_.first_row + r) / group_of(spec_));
    return intersect(visible_to(spec_, task_.sequence->positions[token]), task_.keys);
  }

  static Range slots_of(const KvSegment& segment, Range positions) {
    const Range held = intersect(positions, {segment.first_pos, segment.first_pos + segment.end - segment.begin});
    if (held.begin >= held.end) return {};
    return {held.begin - segment.first_pos + segment.begin, held.end - segment.first_pos + segment.begin};
  }

  bool is_coded() const { return spec_.layout.dtype == DType::kI8; }

  // Codes lie as bf16 would, so that a panel's run of them widens in one go.
  Panels keys(const KvSegment& segment, int64_t slot, int64_t n) const {
    const Panels at = spec_.layout.keys(segment.block, segment.slots, task_.kv_head, slot);
    if (!is_coded()) return at;
    if constexpr (!kIsF32) kernels_.bytes_to_bf16(reinterpret_cast<const int8_t*>(at.data), n * dim_, work_.keys);
    return {reinterpret_cast<const std::byte*>(work_.keys), kElement * kPanel * dim_, kStepBytes};
  }

  Panels values(const KvSegment& segment, int64_t slot, int64_t n) const {
    const Panels at = spec_.layout.values(segment.block, segment.slots, task_.kv_head, slot);
    if (!is_coded()) return at;
    for (int64_t panel = 0; panel < dim_ / kPanel; ++panel) {
      const auto* codes = reinterpret_cast<const int8_t*>(at.data + panel * at.panel_stride);
      if constexpr (!kIsF32) kernels_.bytes_to_bf16(codes, n * kPanel, work_.values + panel * n * kPanel);
    }
    return {reinterpret_cast<const std::byte*>(work_.values), kElement * kPanel * n, kStepBytes};
  }

  void attend_tile(const KvSegment& segment, int64_t slot, int64_t n) {
    multiply({.a = work_.q,
              .a_stride = dim_,
              .b = keys(segment, slot, n),
              .c = work_.scores,
              .c_stride = kKeyTile,
              .m = task_.rows,
              .n = n,
              .k = dim_});
    const float *key_scales = nullptr, *value_scales = nullptr;
    if (is_coded()) {
      key_scales = spec_.layout.key_scales(segment.block, segment.slots, task_.kv_head) + slot;
      value_scales = spec_.layout.value_scales(segment.block, segment.slots, task_.kv_head) + slot;
    }
    for (int64_t r = 0; r < task_.rows; ++r) weigh_row(r, slots_of(segment, range_of_row(r)), slot, n, key_scales, value_scales);
    multiply({.a = work_.weights,
              .a_stride = kKeyTile,
              .b = values(segment, slot, n),
              .c = partial_.sums,
              .c_stride = dim_,
              .m = task_.rows,
              .n = dim_,
              .k = n,
              .accumulate = true});
  }

  void multiply(const MatmulTile& tile) const { kIsF32 ? kernels_.matmul_f32(tile) : kernels_.matmul_bf16(tile); }

  // A key's scale belongs to its score, a value's to its weight.
  void weigh_row(int64_t r, Range slots, int64_t slot, int64_t n, const float* key_scales, const float* value_scales) {
    const int64_t begin = std::clamp<int64_t>(slots.begin - slot, 0, n), end = std::clamp<int64_t>(slots.end - slot, 0, n);
    float* scores = work_.scores + r * kKeyTile;
    Element* weights = work_.weights + r * kKeyTile;
    float factor;
    if (key_scales != nullptr) {
      kernels_.scale_by(scores, key_scales, n);
      factor = kernels_.softmax_step(scores, n, begin, end, spec_.scale, partial_.max + r, partial_.weight + r, work_.row_weights);
      kernels_.scale_by(work_.row_weights, value_scales, n);
      if constexpr (!kIsF32) kernels_.to_bf16(work_.row_weights, n, weights);
    } else if constexpr (kIsF32) {
      factor = kernels_.softmax_step(scores, n, begin, end, spec_.scale, partial_.max + r, partial_.weight + r, weights);
    } else {
      factor = kernels_.softmax_step_bf16(scores, n, begin, end, spec_.scale, partial_.max + r, partial_.weight + r, weights);
    }
    if (factor != 1.0f) kernels_.scale(partial_.sums + r * dim_, factor, dim_);
  }

  const KernelSet& kernels_;
  const Attention& spec_;
  const Task& task_;
  const Workspace<Element>& work_;
  const SoftmaxPartial& partial_;
  const int64_t dim_;
};

// A sequence's tasks stand after one another, and so do its rows of partial results: [kv head, split, row].
struct Place {
  size_t sequence = 0;
  Plan plan;
  int64_t index = 0;          // within the sequence
  int64_t first_partial = 0;  // row of the sequence's first partial result
};

// The sequence that holds the index-th unit, where a sequence of plan p has units(p) of them.
template <class Units>
Place find(const Attention& spec, std::span<const AttentionQueries> sequences, int64_t index, Units units) {
  Place place{.index = index};
  for (;; ++place.sequence) {
    place.plan = plan_of(spec, sequences[place.sequence]);
    if (place.index < units(place.plan)) return place;
    place.index -= units(place.plan);
    place.first_partial += place.plan.split_rows() * place.plan.splits * spec.layout.n_kv_heads;
  }
}

float* output_row(const Attention& spec, const AttentionQueries& s, int64_t kv_head, int64_t row) {
  const int64_t group = group_of(spec);
  return s.out + row / group * s.out_stride + (kv_head * group + row % group) * spec.layout.head_dim;
}

void write_rows(const Attention& spec, const Task& task, const SoftmaxPartial& partial) {
  const int64_t dim = spec.layout.padded_dim();
  for (int64_t r = 0; r < task.rows; ++r) {
    const float factor = inverse_weight(partial.weight[r]);
    float* out = output_row(spec, *task.sequence, task.kv_head, task.first_row + r);
    for (int64_t d = 0; d < spec.layout.head_dim; ++d) out[d] = partial.sums[r * dim + d] * factor;
  }
}

template <class Element>
void run_task(const KernelSet& kernels, const Attention& spec, std::span<const AttentionQueries> sequences, const Place& place,
              const Workspace<Element>& work, const SoftmaxPartial& partials) {
  const Plan& plan = place.plan;
  const int64_t part = place.index % plan.tasks_per_head();
  Task task{.sequence = &sequences[place.sequence], .kv_head = place.index / plan.tasks_per_head()};
  if (plan.splits > 1) {
    task.rows = plan.rows;
    task.keys = {plan.split_begin + part * plan.split_keys, plan.split_begin + (part + 1) * plan.split_keys};
    TaskRunner<Element>(kernels, spec, task, work, work.partial).run();
    // Running maxima of several threads would share cache lines: they are kept apart until they are final.
    const int64_t row = place.first_partial + (task.kv_head * plan.splits + part) * plan.rows;
    work.partial.copy_to(partials.rows_from(row, spec.layout.padded_dim()), plan.rows, spec.layout.padded_dim());
  } else {
    task.first_row = part * kRowBlock;
    task.rows = std::min(kRowBlock, plan.rows - task.first_row);
    task.keys = {0, kUnboundedWindow};
    TaskRunner<Element>(kernels, spec, task, work, work.partial).run();
    write_rows(spec, task, work.partial);
  }
}

// One row's output from its spans; index counts [kv head, row].
void merge_row(const KernelSet& kernels, const Attention& spec, std::span<const AttentionQueries> sequences, const Place& place,
               const SoftmaxPartial& partials) {
  const Plan& plan = place.plan;
  const int64_t kv_head = place.index / plan.rows, row = place.index % plan.rows, dim = spec.layout.padded_dim();
  const SoftmaxPartial first = partials.rows_from(place.first_partial + kv_head * plan.splits * plan.rows + row, dim);
  float* out = output_row(spec, sequences[place.sequence], kv_head, row);
  merge_parts(kernels, first, plan.splits, plan.rows, dim, kMinusInfinity, spec.layout.head_dim, out);
}

template <class Element>
void attend(const Compute& compute, const Attention& spec, std::span<const AttentionQueries> sequences, std::span<std::byte> scratch) {
  int64_t n_tasks = 0, n_merged = 0, n_partials = 0, most_parts = 0;
  for (const AttentionQueries& s : sequences) {
    const Plan plan = plan_of(spec, s);
    n_tasks += plan.tasks_per_head() * spec.layout.n_kv_heads;
    n_merged += plan.split_rows() * spec.layout.n_kv_heads;
    most_parts = std::max(most_parts, plan.splits);
    n_partials += plan.split_rows() * plan.splits * spec.layout.n_kv_heads;
  }
  const int64_t dim = spec.layout.padded_dim();
  ScratchCarver carver(scratch);
  const SoftmaxPartial partials = take_partial(carver, n_partials, dim);
  const auto work_bytes = static_cast<int64_t>(workspace_bytes<Element>(spec.layout));
  std::byte* work_memory = carver.take<std::byte>(work_bytes * compute.pool->n_threads());

  compute.pool->run(n_tasks, [&](int64_t index, int thread) {
    ScratchCarver own({work_memory + thread * work_bytes, static_cast<size_t>(work_bytes)});
    const auto work = take_workspace<Element>(own, spec.layout);
    const Place place = find(spec, sequences, index, [&](const Plan& p) { return p.tasks_per_head() * spec.layout.n_kv_heads; });
    run_task(*compute.kernels, spec, sequences, place, work, partials);
  });
  const int64_t rows_per_chunk = merged_rows_per_chunk(most_parts, dim);
  compute.pool->run(ceil_div(n_merged, rows_per_chunk), [&](int64_t chunk, int) {
    for (int64_t index = chunk * rows_per_chunk; index < std::min(n_merged, (chunk + 1) * rows_per_chunk); ++index) {
      const Place place = find(spec, sequences, index, [&](const Plan& p) { return p.split_rows() * spec.layout.n_kv_heads; });
      merge_row(*compute.kernels, spec, sequences, place, partials);
    }
  });
}

}  // namespace

uint64_t attention_scratch_bytes(const Attention& spec, int64_t max_queries, int64_t max_sequences, int n_threads) {
  const int64_t dim = spec.layout.padded_dim();
  const int64_t split_rows = std::min(max_queries * group_of(spec), max_sequences * kRowBlock);
  ScratchCarver counter;
  take_partial(counter, split_rows * kMaxSplits * spec.layout.n_kv_heads, dim);
  const bool is_f32 = spec.layout.dtype == DType::kF32;
  return counter.used_bytes() +
         static_cast<uint64_t>(n_threads) * (is_f32 ? workspace_bytes<float>(spec.layout) : workspace_bytes<bf16>(spec.layout));
}

void attention(const Compute& compute, const Attention& spec, std::span<const AttentionQueries> sequences, std::span<std::byte> scratch) {
  LH_CHECK(spec.layout.n_kv_heads > 0 && spec.n_heads % spec.layout.n_kv_heads == 0 && spec.window >= 1);
  if (spec.layout.dtype == DType::kF32) {
    attend<float>(compute, spec, sequences, scratch);
  } else {
    attend<bf16>(compute, spec, sequences, scratch);
  }
}

}  // namespace longhaul
