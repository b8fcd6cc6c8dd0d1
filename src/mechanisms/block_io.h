// What a block's mixer is given: its rows, their state, where its output goes.
#pragma once

#include "mechanisms/env.h"

namespace longhaul {

// The states of the step's sequences, by id.
class States {
 public:
  virtual ~States() = default;
  virtual KvStep kv(StateId id) const = 0;
  virtual FixedStep fixed(StateId id) const = 0;
};

// Input rows are all whose state the block must bring up to date. Output rows are those of them
// whose output is wanted: all, or fewer (even none) in the last block that writes state. A mixer
// without state has no use for the others.
struct BlockIo {
  int64_t layer = 0;
  RowSet in, out;
  std::span<const int64_t> out_rows;  // [out.n] their numbers among the input rows
  Rows<const float> x;                // [in.n, D]
  Rows<const float> out_x;            // [out.n, D] the output rows of x
  Rows<float> y;                      // [out.n, D] the output
  const States* states = nullptr;

  // What the mixer said it needs.
  RopeAngles angles, out_angles;       // [in.n, pairs], [out.n, pairs]
  std::span<const float> frequencies;  // [pairs], for positions that are no row's
  Rows<const float> embedded;          // [out.n, D] scaled embeddings of the output rows
  Rows<float> router_states;           // [out.n, width]

  // Whether the output rows are fewer than the input rows.
  bool narrows() const { return out.n < in.n; }
};

// Hands a result of the output rows to the observer; only where there is one.
inline void tap(const Env& env, const BlockIo& io, std::string_view what, Rows<const float> rows) {
  env.on_tap({what, io.layer, rows, io.out.positions});
}

// The output rows of something made for the input rows. Copies, into scratch.
inline Rows<float> output_rows(Env& env, const BlockIo& io, Rows<const float> made) {
  const Rows<float> rows = env.scratch->take_rows<float>(io.out.n, made.width);
  if (io.narrows()) {
    env.ops->gather(made, io.out_rows, rows);
  } else {
    env.ops->copy(made, rows);
  }
  return rows;
}

}  // namespace longhaul
