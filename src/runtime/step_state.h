// The caches of all sequences as one step sees them: where new rows go, which keys are there, and
// the rings' delayed intake.
#pragma once

#include <span>
#include <vector>

#include "mechanisms/block_io.h"
#include "runtime/sequence.h"

namespace longhaul {

class StepState final : public States {
 public:
  static Result<StepState> create(const Architecture& arch, const StepLimits& limits);

  // rows[i] are the new rows of sequences[i], whose states have room for them. Allocates nothing
  // once sequences have been this long.
  void begin(std::span<Sequence* const> sequences, std::span<const SequenceRows> rows);
  // Before the block that writes a state runs: rows of a panel that is not full come to stand
  // beside the step's new ones.
  void bring_open_panels(StateId state);
  KvStep kv(StateId state) const override;
  FixedStep fixed(StateId state) const override;
  // Takes a ring's waiting rows in, after the block that is its last reader.
  void commit(StateId state);
  // The step is done: the sequences are longer by their rows.
  void end();

 private:
  struct StateViews {
    std::vector<KvWrite> writes;
    std::vector<KvSegment> segments;
    std::vector<std::span<const KvSegment>> by_sequence;
    std::vector<float*> fixed;
    int64_t n_entries = 0;  // compressed rows that the step completes
  };
  void add_pages(size_t state, const Sequence& sequence, const SequenceRows& rows);
  // Returns how many in-flight slots the sequence takes.
  int64_t add_ring(size_t state, const Sequence& sequence, const SequenceRows& rows,
                   int64_t in_flight_slot);

  const Architecture* arch_ = nullptr;
  StateFormat format_;
  InFlightPlan plan_;
  int64_t in_flight_slots_ = 0;
  std::vector<Buffer> in_flight_;
  std::vector<StateViews> views_;
  std::vector<Sequence*> sequences_;
  std::vector<SequenceRows> rows_;
};

}  // namespace longhaul
