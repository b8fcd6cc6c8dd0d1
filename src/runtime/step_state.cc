#include "runtime/step_state.h"

#include <algorithm>

#include "mechanisms/step_layout.h"

namespace longhaul {

Result<StepState> StepState::create(const Architecture& arch, const StepLimits& limits) {
  StepState s;
  s.arch_ = &arch;
  s.format_ = limits.kv;
  s.in_flight_slots_ = in_flight_slots(limits.max_rows, limits.max_sequences);
  for (uint64_t bytes : in_flight_bytes(arch, limits)) {
    LH_TRY(Buffer buffer, Buffer::allocate(bytes));
    s.in_flight_.push_back(std::move(buffer));
  }
  const auto n = static_cast<size_t>(limits.max_sequences);
  s.parts_.reserve(n);
  s.views_.resize(arch.states.size());
  for (size_t state = 0; state < s.views_.size(); ++state) {
    StateViews& v = s.views_[state];
    v.by_sequence.reserve(n);
    v.fixed.reserve(n);
    // A ring is at most two runs and what is in flight. Rows begin and end within a page.
    v.segments.reserve(3 * n);
    const int64_t page = page_slots(arch.states[state]);
    v.writes.reserve(2 * n + static_cast<size_t>(limits.max_rows / page));
  }
  return s;
}

void StepState::begin(std::span<Sequence* const> sequences, std::span<const SequenceRows> rows) {
  is_proposed_ = false;
  parts_.clear();
  for (size_t i = 0; i < sequences.size(); ++i) {
    parts_.push_back({sequences[i], rows[i], sequences[i]->revision_, true});
  }
  for (size_t state = 0; state < views_.size(); ++state) {
    StateViews& v = views_[state];
    v.writes.clear();
    v.segments.clear();
    v.by_sequence.clear();
    v.fixed.clear();
    v.n_entries = v.slot = 0;
    for (const Part& part : parts_) add(state, part);
  }
}

void StepState::add(size_t state, const Part& part) {
  if (arch_->states[state].is_fixed()) return add_fixed(state, part);
  arch_->states[state].is_ring() ? add_ring(state, part) : add_pages(state, part);
}

// Every page is a segment from its first to its last slot: positions behind the step's rows are
// nobody's to see. So the sequence's own list serves every step.
void StepState::add_pages(size_t state, const Part& part) {
  StateViews& v = views_[state];
  const Sequence& s = *part.sequence;
  const Sequence::Layer& layer = s.layers_[state];
  LH_CHECK(s.length_ + part.rows.n_rows <= s.reserved_);
  const StateSpec& spec = arch_->states[state];
  const int64_t begin = s.length_ / spec.ratio, end = (s.length_ + part.rows.n_rows) / spec.ratio,
                slots = page_slots(spec);
  // Rows of a step are numbered over its sequences: tokens as they come, compressed entries as they
  // are completed.
  int64_t row = spec.ratio == 1 ? part.rows.first_row : v.n_entries;
  v.n_entries += end - begin;
  for (int64_t pos = begin; pos < end; ++n_visited_) {
    const KvSegment& page = layer.segments[static_cast<size_t>(pos / slots)];
    const int64_t n = std::min(end, page.end_pos()) - pos;
    v.writes.push_back(
        {layer.pages[static_cast<size_t>(pos / slots)].data(), slots, page.slot_of(pos), row, n});
    pos += n;
    row += n;
  }
  v.by_sequence.emplace_back(layer.segments);
}

// The ring holds the positions up to the last border of a panel; behind it stand, in one place, the
// rows of the open panel and the step's own.
void StepState::add_ring(size_t state, const Part& part) {
  StateViews& v = views_[state];
  const Sequence& s = *part.sequence;
  const Sequence::Layer& layer = s.layers_[state];
  const int64_t slots = layer.ring_slots, open = s.length_ % kPanel, border = s.length_ - open;
  const size_t first = v.segments.size();
  for (int64_t pos = std::max<int64_t>(0, s.length_ - slots); pos < border;) {
    const int64_t slot = pos % slots, n = std::min(border - pos, slots - slot);
    v.segments.push_back({layer.ring.data(), slots, slot, slot + n, pos});
    pos += n;
  }
  std::byte* waiting = in_flight_[state].data();
  const int64_t n_rows = part.rows.n_rows;
  v.segments.push_back({waiting, in_flight_slots_, v.slot, v.slot + open + n_rows, border});
  v.writes.push_back({waiting, in_flight_slots_, v.slot + open, part.rows.first_row, n_rows});
  v.slot += round_up(open + n_rows, kPanel);
  const size_t n_segments = v.segments.size() - first;
  v.by_sequence.emplace_back(v.segments.data() + first, n_segments);
  n_visited_ += static_cast<int64_t>(n_segments);
}

void StepState::add_fixed(size_t state, const Part& part) {
  StateViews& v = views_[state];
  const int64_t elements = arch_->states[state].fixed_elements, n = kept_blocks(part.rows.n_rows);
  auto* waiting = reinterpret_cast<float*>(in_flight_[state].data());
  v.fixed.push_back({reinterpret_cast<const float*>(part.sequence->layers_[state].fixed.data()),
                     {waiting + v.slot * elements, n, elements}});
  v.slot += n;
}

void StepState::prepare(StateId state) {
  const auto i = static_cast<size_t>(state);
  const StateSpec& spec = arch_->state(state);
  if (spec.is_fixed()) return;
  const KvLayout layout = kv_layout(spec, format_);
  for (size_t n = 0; spec.is_ring() && n < parts_.size(); ++n) {
    const Sequence& s = *parts_[n].sequence;
    const KvWrite& w = views_[i].writes[n];
    const int64_t slots = s.layers_[i].ring_slots, open = s.length_ % kPanel;
    if (open > 0) {
      copy_kv(layout, s.layers_[i].ring.data(), slots, (s.length_ - open) % slots, w.block, w.slots,
              w.first_slot - open, kPanel);
    }
  }
  for (const KvWrite& w : views_[i].writes) {
    clear_values_from(layout, w.block, w.slots, w.first_slot + w.n_rows);
  }
}

KvStep StepState::kv(StateId state) const {
  const StateViews& v = views_[static_cast<size_t>(state)];
  return {kv_layout(arch_->state(state), format_), v.writes, v.by_sequence};
}

FixedStep StepState::fixed(StateId state) const {
  return {views_[static_cast<size_t>(state)].fixed};
}

void StepState::drop() {
  is_proposed_ = false;
  parts_.clear();
}

Status StepState::check(size_t i, int64_t n) const {
  if (!is_proposed_ || i >= parts_.size() || !parts_[i].waits) {
    return invalid("no rows of sequence {} wait to be accepted; run a step first", i);
  }
  const int64_t n_rows = parts_[i].rows.n_rows;
  if (n < 0 || n > n_rows) {
    return invalid("of the step's {} rows, {} cannot be accepted; give 0 to {}", n_rows, n, n_rows);
  }
  if (n > 0 && n < n_rows && n_rows > kMaxPartialRows) {
    return invalid(
        "of a step of {} rows all or none can be accepted, given {}; take steps of at most {}",
        n_rows, n, kMaxPartialRows);
  }
  if (parts_[i].sequence->revision_ != parts_[i].revision) {
    return invalid("sequence {} was changed after its step; run the step again", i);
  }
  return {};
}

Status StepState::commit(size_t i, int64_t n) {
  LH_RETURN_IF_ERROR(check(i, n));
  for (size_t state = 0; state < views_.size() && n > 0; ++state) take_in(state, i, n);
  Sequence& s = *parts_[i].sequence;
  s.length_ += n;
  ++s.revision_;
  parts_[i].waits = false;
  return {};
}

Status StepState::commit_all() {
  size_t n_waiting = 0;
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (!parts_[i].waits) continue;
    LH_RETURN_IF_ERROR(check(i, parts_[i].rows.n_rows));
    ++n_waiting;
  }
  if (n_waiting == 0) return invalid("no rows wait to be accepted; run a step first");
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (parts_[i].waits) LH_RETURN_IF_ERROR(commit(i, parts_[i].rows.n_rows));
  }
  return {};
}

// Of pages there is nothing to do: their rows count as soon as the sequence is that long.
void StepState::take_in(size_t state, size_t i, int64_t n) {
  const StateSpec& spec = arch_->states[state];
  Sequence::Layer& layer = parts_[i].sequence->layers_[state];
  if (spec.is_fixed()) {
    const Rows<float> after = views_[state].fixed[i].after;
    const float* from = after.row(n < parts_[i].rows.n_rows ? n - 1 : after.n - 1);
    std::copy_n(from, after.width, reinterpret_cast<float*>(layer.fixed.data()));
  }
  if (!spec.is_ring()) return;
  const KvWrite& w = views_[state].writes[i];
  const int64_t slots = layer.ring_slots, length = parts_[i].sequence->length_;
  for (int64_t row = std::max<int64_t>(0, n - slots); row < n;) {
    const int64_t slot = (length + row) % slots, run = std::min(n - row, slots - slot);
    copy_kv(kv_layout(spec, format_), w.block, w.slots, w.first_slot + row, layer.ring.data(),
            slots, slot, run);
    row += run;
  }
}

}  // namespace longhaul
