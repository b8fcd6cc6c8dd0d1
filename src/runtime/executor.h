// Walks the blocks of a description and runs them: the only place that does.
//
// A step proposes, the caller commits: it hands out logits and leaves every sequence as it was,
// until `commit` says how many of its rows are accepted. Steps that fail commit nothing.
//
// A step takes new tokens of one or several sequences: prefill in chunks, decode and batches are
// the same call. Behind the last block that writes state, and in that block's own output, only rows
// whose logits are wanted go on: later blocks write nothing that another row reads, so this is
// exact.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "mechanisms/residual.h"
#include "mechanisms/step_layout.h"
#include "runtime/rope_frequencies.h"
#include "runtime/step_state.h"

namespace longhaul {

enum class LogitsWanted { kNone, kLast, kAll };

struct SequenceInput {
  Sequence* sequence = nullptr;  // another in each input of a step
  std::span<const int32_t> tokens;
  LogitsWanted wanted = LogitsWanted::kLast;
  // Tokens of the whole text where it is known and longer than this step makes the sequence: some
  // models' angles differ with it, and so do not with how a prompt is cut into steps.
  int64_t text_length = 0;
};

// Called with rows of logits [n_rows, V] of one sequence, in order of position; the memory is
// reused afterwards. Returns false to stop.
using LogitsSink = std::function<bool(size_t sequence, int64_t first_position, int64_t n_rows,
                                      const float* logits)>;

struct ExecutorOptions {
  bool skip_unneeded_rows = true;
};

class Executor {
 public:
  // Allocates all scratch for steps within the limits. arch, weights and pool must outlive it.
  static Result<Executor> create(const Architecture& arch, const Weights& weights,
                                 const KernelSet& kernels, ThreadPool& pool,
                                 const StepLimits& limits, ExecutorOptions options = {});
  // On a backend of the caller's, which may take no more scratch than counting_ops.
  static Result<Executor> create(const Architecture& arch, const Weights& weights,
                                 std::unique_ptr<Ops> ops, const StepLimits& limits,
                                 ExecutorOptions options = {});

  // Runs one step and leaves the sequences as they were: their lengths, and all that another step
  // would read. Its rows wait for `commit` until the next step, which drops what still waits.
  // Room for the rows is drawn first (Sequence::reserve). On an error, nothing waits: bad input,
  // no room (kOverBudget), a damaged expert (kCorruptFile), a sink that stopped (kCancelled).
  Status step(std::span<const SequenceInput> inputs, const LogitsSink& sink);
  // Accepts the first n rows of the last step's input i, where its sequence must still be,
  // unchanged and unmoved. n is 0 to all of them; of a step of more than kMaxPartialRows rows, 0 or
  // all. kInvalidArgument otherwise, or where no rows wait; then nothing is changed.
  Status commit(size_t i, int64_t n) { return state_.commit(i, n); }
  // Accepts all rows that still wait, of every sequence; an error where there are none.
  Status commit() { return state_.commit_all(); }
  // A step all of whose rows are accepted. On an error none are.
  Status advance(std::span<const SequenceInput> inputs, const LogitsSink& sink);

  // Called with every choice from now on, layer by layer within a step.
  void watch_choices(OnChoice on_choice) { env_.on_choice = std::move(on_choice); }
  // Called with every named intermediate result from now on, of the rows that run:
  //   embed                what enters layer 0, of several streams each of them
  //   layers.N.attn, .mlp, .ple   what a block's mixer gives, before its post norm
  //   layers.N.branch.I    what the I-th branch of such a mixer gives, before its post norm
  //   layers.N.out         the residual stream that leaves the layer
  //   norm                 what the head multiplies
  void watch_taps(OnTap on_tap) { env_.on_tap = std::move(on_tap); }

  uint64_t scratch_bytes() const { return scratch_bytes_; }
  uint64_t flops() const { return env_.flops; }
  const StepLimits& limits() const { return limits_; }

 private:
  Status check(std::span<const SequenceInput> inputs) const;
  void gather_rows(std::span<const SequenceInput> inputs);
  void fill_rope_tables();
  void embed();
  void run_blocks();
  void run_block(size_t index);
  Rows<const float> read_in(size_t index);  // what the block's mixer reads, normed
  BlockIo block_io(size_t index, Rows<const float> x);
  std::span<const int64_t> needed_rows() const {
    return b_.out_rows.first(static_cast<size_t>(needed_.n));
  }
  bool narrows_in(size_t index) const;  // whether rows nobody needs end in this block
  void drop_carried();                  // what is handed on, of rows that end here
  void drop_rows();                     // the stream, of rows that end here
  ResidualStream stream() const;        // of the rows that still run
  bool is_last_of_layer(size_t index) const;
  bool emit_logits(const LogitsSink& sink);
  bool emit_rows(size_t sequence, int64_t first, int64_t n, const LogitsSink& sink);

  const Architecture* arch_ = nullptr;
  ExecutorOptions options_;
  StepLimits limits_;
  uint64_t scratch_bytes_ = 0;
  Buffer memory_;
  std::unique_ptr<Arena> arena_;  // env_ points to it
  std::unique_ptr<Ops> ops_;
  Env env_;
  StepBuffers b_;
  StepState state_;
  RopeSpecs ropes_;
  std::vector<RopeFrequencies> frequencies_;   // by rope spec
  std::vector<std::vector<StateId>> written_;  // by block: states that it writes
  std::vector<Sequence*> sequences_;
  std::vector<int64_t> text_lengths_;  // of the sequences
  int64_t last_writer_ = kNone;
  RowSet all_, needed_;
  bool is_narrow_ = false;  // whether only the needed rows still run

  const RowSet& running() const { return is_narrow_ ? needed_ : all_; }
};

}  // namespace longhaul
