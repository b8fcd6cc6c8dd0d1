#include "runtime/executor.h"

#include <algorithm>

#include "mechanisms/linear.h"
#include "mechanisms/lookup.h"
#include "mechanisms/norm.h"
#include "mechanisms/rope.h"

namespace longhaul {
namespace {

// The first n of rows that may be none at all.
Rows<float> first_of(Rows<float> rows, int64_t n) { return rows.n == 0 ? rows : rows.slice(0, n); }

}  // namespace

Result<Executor> Executor::create(const Architecture& arch, const Weights& weights,
                                  const KernelSet& kernels, ThreadPool& pool,
                                  const StepLimits& limits, ExecutorOptions options) {
  return create(arch, weights, cpu_ops({&kernels, &pool}), limits, options);
}

Result<Executor> Executor::create(const Architecture& arch, const Weights& weights,
                                  std::unique_ptr<Ops> ops, const StepLimits& limits,
                                  ExecutorOptions options) {
  Executor e;
  e.arch_ = &arch;
  e.options_ = options;
  e.limits_ = limits;
  e.scratch_bytes_ = longhaul::scratch_bytes(arch, limits);
  LH_TRY(e.state_, StepState::create(arch, limits));
  LH_TRY(e.memory_, Buffer::allocate(arena_bytes(arch, limits)));
  e.arena_ = std::make_unique<Arena>(e.memory_.bytes());
  e.b_ = take_step_buffers(*e.arena_, arch, limits);
  e.ops_ = std::move(ops);
  e.env_ = {.ops = e.ops_.get(), .weights = &weights, .scratch = e.arena_.get()};
  e.ropes_ = rope_specs(arch);
  for (const RopeSpec& spec : e.ropes_.specs) e.frequencies_.emplace_back(spec);
  for (const Block& block : arch.blocks) {
    std::vector<StateId>& written = e.written_.emplace_back();
    for_each_state(block, [&](StateId state, StateUse use) {
      if (writes(use)) written.push_back(state);
    });
  }
  e.sequences_.reserve(static_cast<size_t>(limits.max_sequences));
  e.text_lengths_.reserve(static_cast<size_t>(limits.max_sequences));
  e.last_writer_ = last_writing_block(arch);
  return e;
}

Status Executor::check(std::span<const SequenceInput> inputs) const {
  int64_t rows = 0;
  if (inputs.empty() || static_cast<int64_t>(inputs.size()) > limits_.max_sequences) {
    return invalid("a step takes 1 to {} sequences, given {}", limits_.max_sequences,
                   inputs.size());
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const SequenceInput& in = inputs[i];
    for (const SequenceInput& before : inputs.first(i)) {
      if (before.sequence == in.sequence)
        return invalid("a sequence stands twice in a step; give its tokens as one input");
    }
    if (in.tokens.empty()) return invalid("a step needs at least one token of each sequence");
    for (int32_t t : in.tokens) {
      if (t >= 0 && t < arch_->vocab_size) continue;
      return invalid("token id {} is outside of the vocabulary of {}", t, arch_->vocab_size);
    }
    rows += static_cast<int64_t>(in.tokens.size());
    LH_CHECK(in.sequence->format() == limits_.kv);
  }
  if (rows > limits_.max_rows) {
    return invalid("a step takes at most {} tokens, given {}", limits_.max_rows, rows);
  }
  for (const SequenceInput& in : inputs) {
    const int64_t length = in.sequence->length() + static_cast<int64_t>(in.tokens.size());
    LH_RETURN_IF_ERROR(in.sequence->reserve(length));
  }
  return {};
}

void Executor::gather_rows(std::span<const SequenceInput> inputs) {
  size_t row = 0, n_needed = 0;
  sequences_.clear();
  text_lengths_.clear();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const SequenceInput& in = inputs[i];
    const size_t n = in.tokens.size();
    sequences_.push_back(in.sequence);
    const size_t unneeded = in.wanted == LogitsWanted::kAll    ? 0
                            : in.wanted == LogitsWanted::kLast ? n - 1
                                                               : n;
    text_lengths_.push_back(
        std::max(in.text_length, in.sequence->length() + static_cast<int64_t>(n)));
    b_.sequences[i] = {static_cast<int64_t>(row), static_cast<int64_t>(n)};
    b_.out_sequences[i] = {static_cast<int64_t>(n_needed), static_cast<int64_t>(n - unneeded)};
    for (size_t t = 0; t < n; ++t, ++row) {
      b_.tokens[row] = in.tokens[t];
      b_.positions[row] = in.sequence->length() + static_cast<int64_t>(t);
      if (t < unneeded) continue;
      b_.out_tokens[n_needed] = b_.tokens[row];
      b_.out_positions[n_needed] = b_.positions[row];
      b_.out_rows[n_needed++] = static_cast<int64_t>(row);
    }
  }
  all_ = {static_cast<int64_t>(row), b_.tokens.first(row), b_.positions.first(row),
          b_.sequences.first(inputs.size())};
  needed_ = {static_cast<int64_t>(n_needed), b_.out_tokens.first(n_needed),
             b_.out_positions.first(n_needed), b_.out_sequences.first(inputs.size())};
  is_narrow_ = false;
}

void Executor::fill_rope_tables() {
  for (size_t i = 0; i < ropes_.specs.size(); ++i) {
    const RopeSpec& spec = ropes_.specs[i];
    const RopeBuffers& r = b_.rope[i];
    const auto fill = [&](const RowSet& rows, Rows<float> cos, Rows<float> sin) {
      const auto fill_rows = [&](const SequenceRows& s, int64_t text_length) {
        const auto positions =
            rows.positions.subspan(static_cast<size_t>(s.first_row), static_cast<size_t>(s.n_rows));
        rope_angles(env_, spec, frequencies_[i].in_text_of(text_length), positions,
                    cos.slice(s.first_row, s.n_rows), sin.slice(s.first_row, s.n_rows));
      };
      if (!spec.follows_length()) return fill_rows({0, rows.n}, 0);
      for (size_t s = 0; s < rows.sequences.size(); ++s) {
        fill_rows(rows.sequences[s], text_lengths_[s]);
      }
    };
    fill(all_, r.cos, r.sin);
    fill(needed_, r.out_cos, r.out_sin);
  }
}

ResidualStream Executor::stream() const {
  const int64_t n = running().n;
  return {first_of(b_.x, n), first_of(b_.coefficients, n), first_of(b_.h, n)};
}

void Executor::embed() {
  const EmbeddingSpec& e = arch_->embedding;
  const ResidualStream s = stream();
  const Rows<float> x = s.is_one() ? s.x : s.input;
  lookup(env_, e.table, all_.tokens, 0, e.scale, x);
  if (e.bias != kNone) env_.ops->add_vector(env_.weights->vector(e.bias), x);
  if (e.scale_vector != kNone) env_.ops->scale_by(env_.weights->vector(e.scale_vector), x);
  if (b_.embedded.n > 0) env_.ops->copy(x, first_of(b_.embedded, x.n));
  begin_stream(env_, *arch_, s);
  if (env_.on_tap) env_.on_tap({"embed", kNone, s.x, all_.positions});
}

bool Executor::narrows_in(size_t index) const {
  return static_cast<int64_t>(index) == last_writer_ && options_.skip_unneeded_rows &&
         needed_.n < all_.n;
}

void Executor::drop_carried() {
  if (b_.embedded.n > 0) env_.ops->keep(needed_rows(), b_.embedded);
  if (b_.router_states.n > 0) env_.ops->keep(needed_rows(), b_.router_states);
}

void Executor::drop_rows() {
  env_.ops->keep(needed_rows(), b_.x);
  if (b_.coefficients.n > 0) env_.ops->keep(needed_rows(), b_.coefficients);
  is_narrow_ = true;
}

Rows<const float> Executor::read_in(size_t index) {
  const Rows<const float> x = stream().read();
  const std::optional<NormSpec>& pre_norm = arch_->blocks[index].pre_norm;
  if (!pre_norm) return x;
  const Rows<float> h = first_of(b_.h, x.n);
  norm(env_, *pre_norm, x, h);
  return h;
}

BlockIo Executor::block_io(size_t index, Rows<const float> x) {
  const bool narrows = narrows_in(index);
  const RowSet& out = narrows || is_narrow_ ? needed_ : all_;
  BlockIo io{.layer = arch_->blocks[index].layer,
             .in = running(),
             .out = out,
             .out_rows = needed_rows(),
             .x = x,
             .out_x = x,
             .y = first_of(b_.y, out.n),
             .states = &state_,
             .embedded = first_of(b_.embedded, out.n),
             .router_states = first_of(b_.router_states, out.n)};
  if (narrows) {
    const Rows<float> out_x = first_of(b_.out_h, out.n);
    env_.ops->gather(x, needed_rows(), out_x);
    io.out_x = out_x;
    drop_carried();
  }
  if (const int32_t i = ropes_.of_block[index]; i != kNone) {
    const RopeBuffers& r = b_.rope[static_cast<size_t>(i)];
    const RopeAngles all{r.cos, r.sin}, needed{r.out_cos, r.out_sin};
    io.angles = is_narrow_ ? needed : all;
    io.out_angles = narrows ? needed : io.angles;
    // Positions that are no row's belong to no text: angles that follow its length are for rows.
    if (!ropes_.specs[static_cast<size_t>(i)].follows_length()) {
      io.frequencies = frequencies_[static_cast<size_t>(i)].in_text_of(0);
    }
  }
  return io;
}

void Executor::run_block(size_t index) {
  const Block& block = arch_->blocks[index];
  for (StateId state : written_[index]) state_.prepare(state);
  const BlockIo io = block_io(index, read_in(index));
  block.mixer.forward(env_, io);
  if (io.narrows()) drop_rows();
  if (env_.on_tap) tap(env_, io, block.mixer.words(*arch_).tap, io.y);
  if (block.post_norm) norm(env_, *block.post_norm, io.y, io.y);
  write_back(env_, *arch_, index, io.y, stream());
  if (env_.on_tap && is_last_of_layer(index)) tap(env_, io, "out", stream().x);
}

bool Executor::is_last_of_layer(size_t index) const {
  const std::vector<Block>& blocks = arch_->blocks;
  return index + 1 == blocks.size() || blocks[index + 1].layer != blocks[index].layer;
}

// With no row needed, nothing runs behind the last writer.
void Executor::run_blocks() {
  for (size_t i = 0; i < arch_->blocks.size() && running().n > 0; ++i) run_block(i);
}

bool Executor::emit_rows(size_t sequence, int64_t first, int64_t n, const LogitsSink& sink) {
  // Where all rows went on, those that are needed stand among the others.
  const int64_t row = is_narrow_ ? first : b_.out_rows[static_cast<size_t>(first)];
  const Rows<float> in = b_.head_in.slice(0, n), logits = b_.logits.slice(0, n);
  norm(env_, arch_->head.norm, stream().read().slice(row, n), in);
  const auto positions = needed_.positions.subspan(static_cast<size_t>(first));
  if (env_.on_tap) env_.on_tap({"norm", kNone, in, positions.first(static_cast<size_t>(n))});
  linear(env_, {{arch_->head.matrix, in, logits}});
  if (arch_->head.softcap) env_.ops->softcap(*arch_->head.softcap, logits);
  return sink(sequence, positions.front(), n, logits.data);
}

bool Executor::emit_logits(const LogitsSink& sink) {
  for (size_t i = 0; i < sequences_.size(); ++i) {
    const SequenceRows wanted = needed_.sequences[i];
    for (int64_t done = 0; done < wanted.n_rows; done += limits_.max_logit_rows) {
      const int64_t n = std::min(limits_.max_logit_rows, wanted.n_rows - done);
      if (!emit_rows(i, wanted.first_row + done, n, sink)) return false;
    }
  }
  return true;
}

Status Executor::step(std::span<const SequenceInput> inputs, const LogitsSink& sink) {
  state_.drop();
  LH_RETURN_IF_ERROR(check(inputs));
  gather_rows(inputs);
  state_.begin(sequences_, all_.sequences);
  fill_rope_tables();
  embed();
  run_blocks();
  if (env_.weights->experts != nullptr && env_.weights->experts->take_damage()) {
    return corrupt(
        "the weights of an expert that was chosen are no numbers; the checkpoint is damaged");
  }
  if (!emit_logits(sink)) return make_error(ErrorCode::kCancelled, "stopped");
  state_.propose();
  return {};
}

Status Executor::advance(std::span<const SequenceInput> inputs, const LogitsSink& sink) {
  LH_RETURN_IF_ERROR(step(inputs, sink));
  return commit();
}

}  // namespace longhaul
