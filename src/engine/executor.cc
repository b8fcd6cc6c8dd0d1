#include "engine/executor.h"

#include <algorithm>

#include "mechanisms/attention.h"
#include "mechanisms/cca.h"
#include "mechanisms/compressed_attention.h"
#include "mechanisms/hyper_connections.h"
#include "mechanisms/linear.h"
#include "mechanisms/lookup.h"
#include "mechanisms/mlp.h"
#include "mechanisms/moe.h"
#include "mechanisms/norm.h"
#include "mechanisms/parallel.h"
#include "mechanisms/per_layer_embedding.h"
#include "mechanisms/router.h"

namespace longhaul {

Result<Executor> Executor::create(const Architecture& arch, const Weights& weights, const KernelSet& kernels, ThreadPool& pool,
                                  const StepLimits& limits, ExecutorOptions options) {
  Executor e;
  e.arch_ = &arch;
  e.options_ = options;
  e.scratch_bytes_ = longhaul::scratch_bytes(arch, limits);
  LH_TRY(e.state_, StepState::create(arch, limits));
  LH_TRY(e.memory_, Buffer::allocate(arena_bytes(arch, limits)));
  e.arena_ = Arena(e.memory_.bytes());
  e.b_ = take_step_buffers(e.arena_, arch, limits);
  e.env_ = {.compute = {&kernels, &pool}, .weights = &weights, .limits = limits};
  e.rope_specs_ = rope_specs(arch);
  for (const RopeSpec& spec : e.rope_specs_) e.rope_frequencies_.push_back(rope_frequencies(spec));
  e.sequences_.reserve(static_cast<size_t>(limits.max_sequences));
  e.last_writer_ = last_writing_block(arch);
  return e;
}

Status Executor::check(std::span<const SequenceInput> inputs) const {
  int64_t rows = 0;
  if (inputs.empty() || static_cast<int64_t>(inputs.size()) > env_.limits.max_sequences) {
    return invalid("a step takes 1 to {} sequences, given {}", env_.limits.max_sequences, inputs.size());
  }
  for (const SequenceInput& in : inputs) {
    if (in.tokens.empty()) return invalid("a step needs at least one token of each sequence");
    for (int32_t t : in.tokens) {
      if (t < 0 || t >= arch_->vocab_size) return invalid("token id {} is outside of the vocabulary of {}", t, arch_->vocab_size);
    }
    rows += static_cast<int64_t>(in.tokens.size());
    LH_CHECK(in.sequence->format() == env_.limits.kv);
    LH_RETURN_IF_ERROR(in.sequence->reserve(in.sequence->length() + static_cast<int64_t>(in.tokens.size())));
  }
  if (rows > env_.limits.max_rows) return invalid("a step takes at most {} tokens, given {}", env_.limits.max_rows, rows);
  return {};
}

void Executor::gather_rows(std::span<const SequenceInput> inputs) {
  int64_t row = 0, n_needed = 0;
  sequences_.clear();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const SequenceInput& in = inputs[i];
    const auto n = static_cast<int64_t>(in.tokens.size());
    sequences_.push_back(in.sequence);
    b_.rows[i] = {row, n};
    const int64_t first_needed = in.wanted == LogitsWanted::kAll ? 0 : in.wanted == LogitsWanted::kLast ? n - 1 : n;
    b_.needed[i] = {n_needed, n - first_needed};
    for (int64_t t = 0; t < n; ++t, ++row) {
      b_.tokens[row] = in.tokens[static_cast<size_t>(t)];
      b_.positions[row] = in.sequence->length() + t;
      if (t < first_needed) continue;
      b_.needed_tokens[n_needed] = b_.tokens[row];
      b_.needed_positions[n_needed] = b_.positions[row];
      b_.needed_rows[n_needed++] = row;
    }
  }
  const auto n = static_cast<size_t>(row), needed = static_cast<size_t>(n_needed);
  all_ = {row, {b_.tokens, n}, {b_.positions, n}, {b_.rows, inputs.size()}};
  needed_ = {n_needed, {b_.needed_tokens, needed}, {b_.needed_positions, needed}, {b_.needed, inputs.size()}};
}

void Executor::run_on(const RowSet& rows) {
  rows_ = rows;
  env_.tokens = rows.tokens.data();
}

void Executor::fill_rope_tables() {
  for (size_t i = 0; i < rope_specs_.size(); ++i) {
    const auto fill = [&](const RowSet& rows, float* cos, float* sin) {
      fill_rope_table(env_, rope_specs_[i], rope_frequencies_[i], rows.positions, cos, sin);
    };
    fill(all_, b_.rope[i].cos, b_.rope[i].sin);
    fill(needed_, b_.rope[i].needed_cos, b_.rope[i].needed_sin);
  }
}

size_t Executor::rope_index(const RopeSpec& spec) const {
  return static_cast<size_t>(std::find(rope_specs_.begin(), rope_specs_.end(), spec) - rope_specs_.begin());
}

RopeTable Executor::rope_table(const RopeSpec& spec) const {
  const RopeBuffers& r = b_.rope[rope_index(spec)];
  return rows_.tokens.data() == needed_.tokens.data() ? RopeTable{r.needed_cos, r.needed_sin} : RopeTable{r.cos, r.sin};
}

void Executor::embed() {
  const int64_t d = arch_->hidden_size;
  const LookupTable& table = env_.weights->table(arch_->embedding.table);
  const float *bias = env_.weights->vector(arch_->embedding.bias), *scale = env_.weights->vector(arch_->embedding.scale_vector);
  for_rows(env_, rows_.n, d, [&](int64_t row) {
    float* x = b_.x + row * d;
    lookup_row(env_, table, rows_.tokens[row], 0, d, arch_->embedding.scale, x);
    if (bias != nullptr) env_.kernels().add(x, bias, d);
    if (scale != nullptr) env_.kernels().scale_by(x, scale, d);
    if (b_.embedded != nullptr) std::copy_n(b_.x + row * d, d, b_.embedded + row * d);
  });
  if (arch_->n_streams == 1) return;
  // Every stream begins as the embedding; from the last row down, since a row's streams lie where later rows were.
  const int64_t n = arch_->n_streams;
  for (int64_t row = rows_.n - 1; row >= 0; --row) {
    for (int64_t stream = n - 1; stream >= 0; --stream) std::copy_n(b_.x + row * d, d, b_.x + (row * n + stream) * d);
  }
  connect_streams(0, nullptr);
}

// The needed rows ascend, so each moves to a place at or before its own.
void Executor::drop_unneeded_rows() {
  const int64_t d = arch_->hidden_size, states = router_state_width(*arch_);
  const int64_t width = arch_->n_streams * d, coefficients = hyper_coefficients(arch_->n_streams);
  for (int64_t i = 0; i < needed_.n; ++i) {
    const int64_t row = b_.needed_rows[i];
    std::copy_n(b_.h + row * d, d, b_.needed_h + i * d);
    if (row == i) continue;
    std::copy_n(b_.x + row * width, width, b_.x + i * width);
    if (b_.coefficients != nullptr) std::copy_n(b_.coefficients + row * coefficients, coefficients, b_.coefficients + i * coefficients);
    if (b_.embedded != nullptr) std::copy_n(b_.embedded + row * d, d, b_.embedded + i * d);
    if (b_.router_states != nullptr) std::copy_n(b_.router_states + row * states, states, b_.router_states + i * states);
  }
  run_on(needed_);
}

bool Executor::narrows_in(size_t index) const {
  return static_cast<int64_t>(index) == last_writer_ && options_.skip_unneeded_rows && needed_.n < rows_.n;
}

void Executor::commit_after(size_t index, StateId state) {
  if (state_.last_readers()[static_cast<size_t>(state)] == static_cast<int64_t>(index)) state_.commit(state);
}

AttentionInput Executor::attention_input(size_t index, const AttentionSpec& s, const float* h) {
  AttentionInput in{.kv_x = h, .kv_rows = rows_, .kv_rope = rope_table(s.rope), .kv = state_.kv(s.state)};
  if (narrows_in(index)) {
    drop_unneeded_rows();
    h = b_.needed_h;
  }
  in.q_x = h;
  in.q_rows = rows_;
  in.q_rope = rope_table(s.rope);
  return in;
}

void Executor::attention(size_t index, const AttentionSpec& s, const float* h) {
  attention_forward(env_, s, attention_input(index, s, h), b_.y);
  commit_after(index, s.state);
}

void Executor::compressed_attention(size_t index, const CompressedAttentionSpec& s, const float* h) {
  CompressedAttentionInput in{.attention = attention_input(index, s.attention, h)};
  in.frequencies = &rope_frequencies_[rope_index(s.attention.rope)];
  if (s.compressor) in.compressor = {state_.fixed(s.compressor->open), state_.kv(s.compressor->entries)};
  if (s.indexer) in.index = {state_.fixed(s.indexer->keys.open), state_.kv(s.indexer->keys.entries)};
  compressed_attention_forward(env_, s, in, b_.y);
  commit_after(index, s.attention.state);
}

void Executor::convolutional_attention(size_t index, const CcaSpec& s, const float* h) {
  CcaInput in{
      .x = h, .rows = rows_, .rope = rope_table(s.attention.rope), .kv = state_.kv(s.attention.state), .taps = state_.fixed(s.taps)};
  if (narrows_in(index)) {
    drop_unneeded_rows();
    in.q_row_of = b_.needed_rows;
  }
  in.q_rows = rows_;
  in.q_rope = rope_table(s.attention.rope);
  cca_forward(env_, s, in, b_.y);
  commit_after(index, s.attention.state);
}

void Executor::mix(size_t index, const float* h) {
  const Mixer& mixer = arch_->blocks[index].mixer;
  const int64_t d = arch_->hidden_size;
  if (const auto* s = std::get_if<AttentionSpec>(&mixer)) {
    attention(index, *s, h);
  } else if (const auto* s = std::get_if<CcaSpec>(&mixer)) {
    convolutional_attention(index, *s, h);
  } else if (const auto* s = std::get_if<CompressedAttentionSpec>(&mixer)) {
    compressed_attention(index, *s, h);
  } else if (const auto* s = std::get_if<GatedMlpSpec>(&mixer)) {
    mlp_forward(env_, *s, h, rows_.n, b_.y);
  } else if (const auto* s = std::get_if<MoeSpec>(&mixer)) {
    moe_forward(env_, *s, d, h, rows_.n, b_.y);
  } else if (const auto* s = std::get_if<ParallelSpec>(&mixer)) {
    parallel_forward(env_, *s, d, h, rows_.n, b_.y);
  } else if (std::holds_alternative<LatentAttentionSpec>(mixer)) {
    LH_CHECK(!"latent attention is described for the planner only, and loading refuses it");
  } else {
    per_layer_embedding_forward(env_, std::get<PerLayerEmbeddingSpec>(mixer), rows_, b_.embedded, h, b_.y);
  }
}

void Executor::connect_streams(size_t next, const float* y) {
  const HyperStreams streams{arch_->n_streams, arch_->hidden_size, b_.x, b_.coefficients, b_.h};
  if (next < arch_->blocks.size()) {
    hyper_connect(env_, y, std::get<HyperResidual>(arch_->blocks[next].residual), streams, rows_.n);
  } else {
    hyper_connect(env_, y, *arch_->head.collapse, streams, rows_.n);
  }
}

void Executor::write_back(size_t index) {
  const int64_t d = arch_->hidden_size;
  const KernelSet& k = env_.kernels();
  const Residual& residual = arch_->blocks[index].residual;
  if (std::holds_alternative<HyperResidual>(residual)) return connect_streams(index + 1, b_.y);
  const auto vector = [&](WeightId id) { return env_.weights->vector(id); };
  if (const auto* plain = std::get_if<PlainResidual>(&residual)) {
    const float* scale = vector(plain->output_scale);
    for_rows(env_, rows_.n, d, [&](int64_t row) {
      k.add(b_.x + row * d, b_.y + row * d, d);
      if (scale != nullptr) k.scale(b_.x + row * d, *scale, d);
    });
    return;
  }
  const auto& scaled = std::get<ScaledResidual>(residual);
  for_rows(env_, rows_.n, d, [&](int64_t row) {
    float *x = b_.x + row * d, *y = b_.y + row * d;
    k.add(y, vector(scaled.bias), d);
    k.scale_by(y, vector(scaled.scale), d);
    k.add(x, vector(scaled.residual_bias), d);
    k.scale_by(x, vector(scaled.residual_scale), d);
    k.add(x, y, d);
  });
}

void Executor::run_block(size_t index) {
  const Block& block = arch_->blocks[index];
  const int64_t d = arch_->hidden_size;
  env_.layer = block.layer;
  mix(index, read_in(index));
  if (block.post_norm) norm(env_, *block.post_norm, b_.y, rows_.n, d, b_.y);
  write_back(index);
}

const float* Executor::read_in(size_t index) {
  const Block& block = arch_->blocks[index];
  const float* x = arch_->n_streams > 1 ? b_.h : b_.x;  // of several streams, what was read from them
  if (!block.pre_norm) return x;
  norm(env_, *block.pre_norm, x, rows_.n, arch_->hidden_size, b_.h);
  return b_.h;
}

bool Executor::emit_logits(const LogitsSink& sink) {
  const int64_t d = arch_->hidden_size, v = arch_->vocab_size;
  for (size_t i = 0; i < sequences_.size(); ++i) {
    const SequenceRows wanted = needed_.sequences[i];
    for (int64_t done = 0; done < wanted.n_rows; done += env_.limits.max_logit_rows) {
      const int64_t first = wanted.first_row + done, n = std::min(env_.limits.max_logit_rows, wanted.n_rows - done);
      const float* x = (arch_->head.collapse ? b_.h : b_.x) + (rows_.tokens.data() == needed_.tokens.data() ? first : b_.needed_rows[first]) * d;
      norm(env_, arch_->head.norm, x, n, d, b_.head_in);
      linear(env_, {{arch_->head.matrix, b_.head_in, b_.logits, n}});
      if (arch_->head.softcap) {
        constexpr int64_t kChunk = 16384;
        env_.compute.pool->run(ceil_div(n * v, kChunk), [&](int64_t chunk, int) {
          env_.kernels().softcap(b_.logits + chunk * kChunk, std::min(kChunk, n * v - chunk * kChunk), *arch_->head.softcap);
        });
      }
      if (!sink(i, needed_.positions[first], n, b_.logits)) return false;
    }
  }
  return true;
}

Status Executor::step(std::span<const SequenceInput> inputs, const LogitsSink& sink) {
  LH_RETURN_IF_ERROR(check(inputs));
  env_.scratch = &arena_;
  env_.router_states = b_.router_states;
  gather_rows(inputs);
  run_on(all_);
  state_.begin(sequences_, all_.sequences);
  fill_rope_tables();
  embed();
  for (size_t i = 0; i < arch_->blocks.size(); ++i) {
    // With no row needed, blocks behind the last writer only bring rings up to date.
    if (rows_.n > 0) {
      run_block(i);
    } else if (const auto* s = as_attention(arch_->blocks[i])) {
      commit_after(i, s->state);
    }
  }
  state_.end();
  if (env_.weights->experts != nullptr && env_.weights->experts->is_damaged())
    return corrupt("the weights of an expert that was chosen are no numbers; the checkpoint is damaged");
  if (!emit_logits(sink)) return make_error(ErrorCode::kCancelled, "stopped");
  return {};
}

}  // namespace longhaul
