// The tokens of a step and the state of their sequences, as backends see them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/kv/kv_layout.h"
#include "tensor/rows.h"

namespace longhaul {

// Consecutive rows of a step that belong to one sequence. Their positions follow one another.
struct SequenceRows {
  int64_t first_row = 0, n_rows = 0;
};

// Tokens of a step, sequence after sequence. A sequence may have no rows left.
struct RowSet {
  int64_t n = 0;
  std::span<const int32_t> tokens;     // [n] ids
  std::span<const int64_t> positions;  // [n]
  std::span<const SequenceRows> sequences;

  std::span<const int64_t> positions_of(const SequenceRows& r) const {
    return positions.subspan(static_cast<size_t>(r.first_row), static_cast<size_t>(r.n_rows));
  }
};

// Where rows [first_row, first_row + n_rows) of the step go. Of compressed state, the rows are
// entries in the order in which the step completes them.
struct KvWrite {
  std::byte* block = nullptr;
  int64_t slots = 0, first_slot = 0;
  int64_t first_row = 0, n_rows = 0;
};

// A state of rows as a step sees it, this step's rows included.
// Of compressed state, positions are numbers of entries.
struct KvStep {
  KvLayout layout;
  std::span<const KvWrite> writes;
  std::span<const std::span<const KvSegment>> segments;  // by sequence of the step
};

// A fixed block of one sequence. A step reads the past and leaves it alone; what the block becomes
// goes elsewhere, after each of the step's last rows, so that a caller may accept some of them.
struct FixedBlock {
  const float* past = nullptr;  // [elements] behind the tokens before the step; of none, anything
  Rows<float> after;  // [kept, elements] row i: behind row n_rows - kept + i of the sequence's rows

  // Which row of `after` takes row `row` of n_rows in. It starts as a copy of the row before, which
  // is the past where there is none.
  int64_t kept_at(int64_t row, int64_t n_rows) const {
    return std::max<int64_t>(0, row - (n_rows - after.n));
  }
  // Rows in order, from 0 on: where the block stands, to be changed in place by row `row`.
  float* carry(int64_t row, int64_t n_rows) const {
    const int64_t at = kept_at(row, n_rows);
    if (row == 0) std::copy_n(past, after.width, after.row(0));
    if (at > 0) std::copy_n(after.row(at - 1), after.width, after.row(at));
    return after.row(at);
  }
};

struct FixedStep {
  std::span<const FixedBlock> blocks;  // by sequence of the step
};

}  // namespace longhaul
