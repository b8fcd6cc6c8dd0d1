// The caches of all sequences as one step sees them: where new rows go, which keys are there, and
// what waits until the caller accepts some of the step's rows.
//
// A step changes nothing that a sequence keeps. New rows of pages are written behind those that
// count. New rows of a ring, which would overwrite what earlier rows of the step still see, and
// what fixed blocks become wait in in-flight buffers, one for each state.
#pragma once

#include <span>
#include <vector>

#include "mechanisms/block_io.h"
#include "runtime/sequence.h"

namespace longhaul {

class StepState final : public States {
 public:
  static Result<StepState> create(const Architecture& arch, const StepLimits& limits);

  // rows[i] are the new rows of sequences[i], whose states have room for them. What waited before
  // is dropped. Allocates nothing.
  void begin(std::span<Sequence* const> sequences, std::span<const SequenceRows> rows);
  // Before the block that writes a state runs: rows of a ring's open panel come to stand beside
  // the step's new ones, and behind those nothing stays that is no number.
  void prepare(StateId state);
  KvStep kv(StateId state) const override;
  FixedStep fixed(StateId state) const override;

  // The step is done: from now on its rows wait to be accepted.
  void propose() { is_proposed_ = true; }
  // Nothing waits any more. Touches no sequence.
  void drop();
  // The first n rows of the step's sequence i are accepted, the others forgotten. On an error
  // nothing is changed, and what waited still does.
  Status commit(size_t i, int64_t n);
  // All rows of all sequences that still wait; an error where there are none.
  Status commit_all();

  // Pages and segments that `begin` looked at, over all steps.
  int64_t n_visited() const { return n_visited_; }

 private:
  struct StateViews {
    std::vector<KvWrite> writes;
    std::vector<KvSegment> segments;  // of rings; pages have theirs in the sequence
    std::vector<std::span<const KvSegment>> by_sequence;
    std::vector<FixedBlock> fixed;
    int64_t n_entries = 0;  // compressed rows that the step completes
    int64_t slot = 0;       // in flight: how many slots or blocks are taken
  };
  // A sequence of the step and which of its rows wait.
  struct Part {
    Sequence* sequence = nullptr;
    SequenceRows rows;
    uint64_t revision = 0;  // of the sequence, when the step began
    bool waits = false;
  };
  void add(size_t state, const Part& part);
  void add_pages(size_t state, const Part& part);
  void add_ring(size_t state, const Part& part);
  void add_fixed(size_t state, const Part& part);
  Status check(size_t i, int64_t n) const;
  void take_in(size_t state, size_t i, int64_t n);

  const Architecture* arch_ = nullptr;
  StateFormat format_;
  int64_t in_flight_slots_ = 0;
  std::vector<Buffer> in_flight_;  // by state; empty of pages
  std::vector<StateViews> views_;  // by state
  std::vector<Part> parts_;        // by sequence of the step
  bool is_proposed_ = false;
  int64_t n_visited_ = 0;
};

}  // namespace longhaul
