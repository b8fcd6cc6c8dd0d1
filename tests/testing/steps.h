// Models with weights and state in any format, steps of their sequences, and logits that are
// compared bit by bit.
#pragma once

#include <span>

#include "runtime/executor.h"
#include "testing/checkpoint.h"

namespace longhaul::testing {

struct Format {
  std::string weights, kv;
  std::string name() const { return weights + " weights, " + kv + " state"; }
};

// Every format of weights with every format of state, those of the checkpoint's own release among
// them where it has any.
std::vector<Format> formats_of(const std::string& checkpoint);

// A golden checkpoint with room for all logits; one thread and 512 tokens of context unless the
// options say otherwise.
LoadedModel load(const std::string& checkpoint, const Format& format, LoadOptions options = {},
                 ExecutorOptions executor_options = {});

// Of max_tokens, or of the model's context.
Sequence new_sequence(const LoadedModel& model, int64_t max_tokens = 0);

// One step of several sequences; the logits of each. Its rows wait to be accepted.
std::vector<std::vector<float>> propose(const LoadedModel& model,
                                        const std::vector<SequenceInput>& inputs);
// The same, all rows accepted.
std::vector<std::vector<float>> step(const LoadedModel& model,
                                     const std::vector<SequenceInput>& inputs);

// How many formats, sizes and seeds a test goes through. LONGHAUL_GRID is "full" where everything
// is wanted, "small" under sanitizers, which take ten times as long: what a test does to memory is
// the same for most of its formats.
enum class Grid { kSmall, kUsual, kFull };
Grid grid();

// The golden checkpoints that a test of formats and steps goes through: all of them; in the small
// grid those that between them have every mechanism, and sizes that are no multiple of anything.
std::vector<std::string> checkpoints_in_depth();

// Formats that between them use every kernel: each of weights, and each of state. All of them in
// the full grid, the first and the last in the small one.
std::vector<Format> formats_in_depth(const std::string& checkpoint);

// All logits of steps of the given sizes, over and over, until the tokens are through; the text
// ends with them.
std::vector<float> in_steps(const LoadedModel& model, Sequence& sequence,
                            std::span<const int32_t> tokens, const std::vector<size_t>& sizes);

std::vector<float> rows_of(const std::vector<float>& logits, size_t first, size_t n, int64_t vocab);

// Empty where they are the same to the bit, else where they part.
std::string difference(std::span<const float> a, std::span<const float> b, int64_t vocab);

}  // namespace longhaul::testing
