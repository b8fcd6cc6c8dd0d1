// The tokens of a step and the state of their sequences, as backends see them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/kv/kv_layout.h"

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

// A fixed block of each sequence of the step, read at its beginning and rewritten at its end.
struct FixedStep {
  std::span<float* const> blocks;  // by sequence of the step
};

}  // namespace longhaul
