// Blocks of query rows of several sequences over spans of their keys, shared out over threads.
//
// A block is one task that goes through its spans in order, and that is all where there are blocks
// enough. The blocks of a sequence that outweighs the others are split: their spans run side by
// side, a wave of them at a time, and are then folded row by row, in the same order and by the same
// arithmetic. So how the work is cut is a free choice, made from its amount and the number of
// threads: no bit depends on it. Memory follows the threads and the largest block, not the context.
#pragma once

#include <algorithm>
#include <span>

#include "kernels/cpu/matmul.h"
#include "tensor/arena.h"

namespace longhaul {

// The blocks of one sequence. Row r of block b is row b * rows + r of the sequence.
struct RowBlocks {
  int64_t n = 0;
  int64_t rows = 0;     // of a block; some may have fewer
  int64_t n_spans = 0;  // from the first that any row sees to the last
  int64_t keys = 0;     // that the last row sees

  int64_t work() const { return rows * keys; }  // of a block
};

// What a Problem is asked for:
//   Workspace, take_workspace(carver)      a thread's memory
//   Partial, take_partial(carver, rows)    results of rows over a span
//   rows_from(partial, row)
//   n_sequences(), blocks(sequence), has_row(sequence, row)
//   elements_per_row()                     of a partial result: what a row costs to fold
//   run_block(work, sequence, block)       all spans of a block, into its outputs
//   run_span(work, sequence, block, span, partial)   one of them, counted from the sequence's first
//   fold(span, total)                      a row's span behind those before it
//   write(sequence, row, total)            a row's output
template <class Problem>
class SpanTasks {
 public:
  //   block_rows  of the largest block
  static uint64_t scratch_bytes(const Problem& problem, int64_t block_rows, int n_threads) {
    Arena counter;
    problem.take_partial(counter, room_for(block_rows, n_threads));
    return counter.used() + static_cast<uint64_t>(n_threads) * workspace_bytes(problem);
  }

  SpanTasks(const Compute& compute, const Problem& problem, int64_t block_rows,
            std::span<std::byte> scratch)
      : problem_(problem), pool_(*compute.pool), work_bytes_(workspace_bytes(problem)) {
    const int64_t room = room_for(block_rows, pool_.n_threads());
    Arena carver(scratch);
    partials_ = problem.take_partial(carver, room);
    work_memory_ = carver.take<std::byte>(pool_.n_threads() * static_cast<int64_t>(work_bytes_));
    for_sequences([&](const RowBlocks& b) { total_work_ += b.n * b.work(); });
    for_sequences([&](const RowBlocks& b) {
      if (!is_split(b)) return;
      split_rows_ += b.n * b.rows;
      most_spans_ = std::max(most_spans_, b.n_spans);
    });
    if (split_rows_ > 0) slots_ = std::min(room / split_rows_, most_spans_);
  }

  void run() const {
    run_wave({0, slots_, 0});
    // From the second wave on, a row's first slot is the total of the waves before.
    for (int64_t begin = slots_; begin < most_spans_; begin += slots_ - 1)
      run_wave({begin, std::min(begin + slots_ - 1, most_spans_), 1});
  }

 private:
  using Workspace = typename Problem::Workspace;
  using Partial = typename Problem::Partial;

  // A block is split where it is more than half of a thread's even share: there are fewer than two
  // such blocks a thread. With room for eight, each has at least four slots for spans.
  static constexpr int64_t kSplitPerThread = 2, kRoomPerThread = 8;

  // Spans [begin, end) of all split blocks; the first of them goes to a row's slot first_slot.
  struct Wave {
    int64_t begin, end, first_slot;
    int64_t size() const { return end - begin; }
  };
  struct Place {
    size_t sequence = 0;
    RowBlocks blocks;
    int64_t index = 0;       // of what is asked for, within the sequence
    int64_t split_rows = 0;  // of the sequences before
  };

  static int64_t room_for(int64_t block_rows, int n_threads) {
    return n_threads == 1 ? 0 : kRoomPerThread * n_threads * block_rows;
  }
  static uint64_t workspace_bytes(const Problem& problem) {
    Arena counter;
    problem.take_workspace(counter);
    return counter.used();
  }

  template <class Visit>
  void for_sequences(const Visit& visit) const {
    for (size_t s = 0; s < problem_.n_sequences(); ++s) visit(problem_.blocks(s));
  }

  bool is_split(const RowBlocks& b) const {
    const int64_t n_threads = pool_.n_threads();
    return n_threads > 1 && b.n_spans > 1 && b.work() * kSplitPerThread * n_threads > total_work_;
  }

  // The sequence that holds the index-th unit, where each holds units(its blocks) of them.
  template <class Units>
  Place find(int64_t index, const Units& units) const {
    Place place{.index = index};
    for (;; ++place.sequence) {
      place.blocks = problem_.blocks(place.sequence);
      if (place.index < units(place.blocks)) return place;
      place.index -= units(place.blocks);
      if (is_split(place.blocks)) place.split_rows += place.blocks.n * place.blocks.rows;
    }
  }

  void run_wave(const Wave& wave) const {
    const auto tasks_of = [&](const RowBlocks& b) {
      return is_split(b) ? b.n * wave.size() : wave.begin == 0 ? b.n : 0;
    };
    int64_t n_tasks = 0;
    for_sequences([&](const RowBlocks& b) { n_tasks += tasks_of(b); });
    pool_.run(n_tasks, [&](int64_t index, int thread) {
      Arena own({work_memory_ + static_cast<uint64_t>(thread) * work_bytes_, work_bytes_});
      const Workspace work = problem_.take_workspace(own);
      const Place place = find(index, tasks_of);
      if (!is_split(place.blocks)) return problem_.run_block(work, place.sequence, place.index);
      const int64_t block = place.index / wave.size(), i = place.index % wave.size();
      if (wave.begin + i >= place.blocks.n_spans) return;
      const Partial slot = slot_of(place, block * place.blocks.rows, wave.first_slot + i);
      problem_.run_span(work, place.sequence, block, wave.begin + i, slot);
    });
    fold_wave(wave);
  }

  // A block's slots stand one after another, each of all its rows.
  Partial slot_of(const Place& place, int64_t row, int64_t slot) const {
    const int64_t rows = place.blocks.rows, block = row / rows;
    return problem_.rows_from(
        partials_, (place.split_rows + block * rows) * slots_ + slot * rows + row % rows);
  }

  void fold_wave(const Wave& wave) const {
    constexpr int64_t kElements = 16384;  // fewer are folded sooner by one thread than shared out
    const int64_t chunk = std::max<int64_t>(
        1, kElements / (std::max<int64_t>(1, wave.size()) * problem_.elements_per_row()));
    const auto rows_of = [&](const RowBlocks& b) { return is_split(b) ? b.n * b.rows : 0; };
    pool_.run(ceil_div(split_rows_, chunk), [&](int64_t index, int) {
      for (int64_t row = index * chunk; row < std::min(split_rows_, (index + 1) * chunk); ++row)
        fold_row_of(find(row, rows_of), wave);
    });
  }

  void fold_row_of(const Place& place, const Wave& wave) const {
    if (!problem_.has_row(place.sequence, place.index)) return;
    const Partial total = slot_of(place, place.index, 0);
    for (int64_t span = std::max<int64_t>(1, wave.begin);
         span < std::min(wave.end, place.blocks.n_spans); ++span)
      problem_.fold(slot_of(place, place.index, wave.first_slot + span - wave.begin), total);
    if (wave.end == most_spans_) problem_.write(place.sequence, place.index, total);
  }

  const Problem& problem_;
  ThreadPool& pool_;
  const uint64_t work_bytes_;
  Partial partials_;
  std::byte* work_memory_ = nullptr;
  int64_t total_work_ = 0;
  int64_t split_rows_ = 0, most_spans_ = 0;
  int64_t slots_ = 0;  // spans of a row that are held at a time
};

}  // namespace longhaul
