// Walks the blocks of a description and runs them: the only place that does.
//
// A step takes new tokens of one or several sequences: prefill in chunks, decode and batches are the same call. Behind the last block that writes
// state, and in that block's own queries, only rows whose logits are wanted go on: later blocks write nothing that another row reads,
// so this is exact.
#pragma once

#include <functional>
#include <span>

#include "engine/step_state.h"
#include "mechanisms/attention.h"
#include "mechanisms/step_layout.h"

namespace longhaul {

enum class LogitsWanted { kNone, kLast, kAll };

struct SequenceInput {
  Sequence* sequence = nullptr;  // reserved for its new length
  std::span<const int32_t> tokens;
  LogitsWanted wanted = LogitsWanted::kLast;
  // Tokens of the whole text where it is known and longer than this step makes the sequence: some
  // models' angles differ with it, and so do not with how a prompt is cut into steps.
  int64_t text_length = 0;
};

// Called with rows of logits [n_rows, V] of one sequence, in order of position; the memory is reused afterwards. Returns false to stop.
using LogitsSink = std::function<bool(size_t sequence, int64_t first_position, int64_t n_rows, const float* logits)>;

struct ExecutorOptions {
  bool skip_unneeded_rows = true;
};

class Executor {
 public:
  // Allocates all scratch for steps within the limits. arch, weights and pool must outlive it.
  static Result<Executor> create(const Architecture& arch, const Weights& weights, const KernelSet& kernels, ThreadPool& pool,
                                 const StepLimits& limits, ExecutorOptions options = {});

  // Runs one step; the sequences are longer by their tokens afterwards. Nothing is changed on an error.
  Status step(std::span<const SequenceInput> inputs, const LogitsSink& sink);

  // Called with every choice from now on, layer by layer within a step.
  void watch_choices(OnChoice on_choice) { env_.on_choice = std::move(on_choice); }

  uint64_t scratch_bytes() const { return scratch_bytes_; }
  uint64_t flops() const { return env_.flops; }
  const StepLimits& limits() const { return env_.limits; }

 private:
  Status check(std::span<const SequenceInput> inputs) const;
  void gather_rows(std::span<const SequenceInput> inputs);
  void fill_rope_tables();
  void embed();
  void run_block(size_t index);
  void mix(size_t index, const float* h);  // what the block's mixer makes of h, into y
  void attention(size_t index, const AttentionSpec& spec, const float* h);
  void convolutional_attention(size_t index, const CcaSpec& spec, const float* h);
  void compressed_attention(size_t index, const CompressedAttentionSpec& spec, const float* h);
  KvStep keys_and_values(const AttentionSpec& spec);
  AttentionInput attention_input(size_t index, const AttentionSpec& spec, const float* h);  // drops unneeded rows between keys and queries
  const float* read_in(size_t index);                                                       // what the block reads, normed
  void write_back(size_t index);
  void connect_streams(size_t next, const float* y);  // writes y to the streams, reads for the block `next` or the head
  bool narrows_in(size_t index) const;                // whether rows nobody needs end in this block
  void drop_unneeded_rows();
  void run_on(const RowSet& rows);
  void commit_after(size_t index, StateId state);
  size_t rope_index(const RopeSpec& spec) const;
  RopeTable rope_table(const RopeSpec& spec) const;  // for the rows that still run
  bool emit_logits(const LogitsSink& sink);

  const Architecture* arch_ = nullptr;
  ExecutorOptions options_;
  uint64_t scratch_bytes_ = 0;
  Buffer memory_;
  Arena arena_;
  Env env_;
  StepBuffers b_;
  StepState state_;
  std::vector<RopeSpec> rope_specs_;
  std::vector<RopeFrequencies> rope_frequencies_;
  std::vector<Sequence*> sequences_;
  std::vector<int64_t> text_lengths_;  // of the sequences
  int64_t last_writer_ = kNone;
  RowSet all_, needed_, rows_;  // rows_: those still running
};

}  // namespace longhaul
