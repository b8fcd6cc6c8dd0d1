#include "runtime/step_state.h"

#include <algorithm>

#include "mechanisms/step_layout.h"

namespace longhaul {
Result<StepState> StepState::create(const Architecture& arch, const StepLimits& limits) {
  StepState s;
  s.arch_ = &arch;
  s.format_ = limits.kv;
  s.plan_ = plan_in_flight(arch);
  s.in_flight_slots_ = in_flight_slots(limits.max_rows, limits.max_sequences);
  for (uint64_t bytes : in_flight_buffer_bytes(arch, s.plan_, limits)) {
    LH_TRY(Buffer buffer, Buffer::allocate(bytes));
    s.in_flight_.push_back(std::move(buffer));
  }
  s.views_.resize(arch.states.size());
  for (StateViews& v : s.views_) {
    v.by_sequence.reserve(static_cast<size_t>(limits.max_sequences));
    v.fixed.reserve(static_cast<size_t>(limits.max_sequences));
  }
  s.sequences_.reserve(static_cast<size_t>(limits.max_sequences));
  s.rows_.reserve(static_cast<size_t>(limits.max_sequences));
  return s;
}

void StepState::begin(std::span<Sequence* const> sequences, std::span<const SequenceRows> rows) {
  sequences_.assign(sequences.begin(), sequences.end());
  rows_.assign(rows.begin(), rows.end());
  for (size_t state = 0; state < views_.size(); ++state) {
    StateViews& v = views_[state];
    v.writes.clear();
    v.segments.clear();
    v.by_sequence.clear();
    v.fixed.clear();
    v.n_entries = 0;
    size_t n_segments = 0;
    for (const Sequence* s : sequences) n_segments += s->layers_[state].pages.size() + 3;
    v.segments.reserve(n_segments);  // spans into it are taken below
    int64_t slot = 0;
    for (size_t i = 0; i < sequences.size(); ++i) {
      if (arch_->states[state].is_fixed()) {
        v.fixed.push_back(reinterpret_cast<float*>(sequences[i]->layers_[state].fixed.data()));
        continue;
      }
      const size_t first = v.segments.size();
      if (arch_->states[state].is_ring()) {
        slot += add_ring(state, *sequences[i], rows[i], slot);
      } else {
        add_pages(state, *sequences[i], rows[i]);
      }
      v.by_sequence.emplace_back(v.segments.data() + first, v.segments.size() - first);
    }
  }
}

void StepState::add_pages(size_t state, const Sequence& s, const SequenceRows& rows) {
  StateViews& v = views_[state];
  LH_CHECK(s.length_ + rows.n_rows <= s.reserved_);
  const StateSpec& spec = arch_->states[state];
  const int64_t old_length = s.length_ / spec.ratio,
                length = (s.length_ + rows.n_rows) / spec.ratio, slots = page_slots(spec);
  // Rows of a step are numbered over its sequences: tokens as they come, compressed entries as they
  // are completed.
  const int64_t first_row = spec.ratio == 1 ? rows.first_row : v.n_entries;
  v.n_entries += length - old_length;
  for (int64_t pos = 0; pos < length; pos += slots) {
    std::byte* page = s.layers_[state].pages[static_cast<size_t>(pos / slots)]->data();
    const int64_t end = std::min(length, pos + slots);
    v.segments.push_back({page, slots, 0, end - pos, pos});
    const int64_t write_begin = std::max(pos, old_length);
    if (write_begin < end)
      v.writes.push_back({page, slots, write_begin - pos, first_row + write_begin - old_length,
                          end - write_begin});
  }
}

// The ring holds the positions up to the last border of a panel; behind it stand, in one place, the
// rows of the open panel and the step's own.
int64_t StepState::add_ring(size_t state, const Sequence& s, const SequenceRows& rows,
                            int64_t in_flight_slot) {
  StateViews& v = views_[state];
  const Sequence::Layer& layer = s.layers_[state];
  const int64_t slots = layer.ring_slots, open = s.length_ % kPanel, border = s.length_ - open;
  for (int64_t pos = std::max<int64_t>(0, s.length_ - slots); pos < border;) {
    const int64_t slot = pos % slots, n = std::min(border - pos, slots - slot);
    v.segments.push_back({layer.ring.data(), slots, slot, slot + n, pos});
    pos += n;
  }
  std::byte* waiting = in_flight_[static_cast<size_t>(plan_.buffer[state])].data();
  v.segments.push_back(
      {waiting, in_flight_slots_, in_flight_slot, in_flight_slot + open + rows.n_rows, border});
  v.writes.push_back(
      {waiting, in_flight_slots_, in_flight_slot + open, rows.first_row, rows.n_rows});
  return round_up(open + rows.n_rows, kPanel);
}

void StepState::bring_open_panels(StateId state) {
  const auto i = static_cast<size_t>(state);
  if (plan_.buffer[i] == kNone) return;
  const KvLayout layout = kv_layout(arch_->state(state), format_);
  for (size_t n = 0; n < sequences_.size(); ++n) {
    const Sequence& s = *sequences_[n];
    const KvWrite& w = views_[i].writes[n];
    const int64_t slots = s.layers_[i].ring_slots, open = s.length_ % kPanel;
    if (open > 0)
      copy_kv(layout, s.layers_[i].ring.data(), slots, (s.length_ - open) % slots, w.block, w.slots,
              w.first_slot - open, kPanel);
  }
}

KvStep StepState::kv(StateId state) const {
  const StateViews& v = views_[static_cast<size_t>(state)];
  return {kv_layout(arch_->state(state), format_), v.writes, v.by_sequence};
}

FixedStep StepState::fixed(StateId state) const {
  return {views_[static_cast<size_t>(state)].fixed};
}

void StepState::commit(StateId state) {
  const auto i = static_cast<size_t>(state);
  if (plan_.buffer[i] == kNone) return;
  const KvLayout layout = kv_layout(arch_->state(state), format_);
  for (size_t n = 0; n < sequences_.size(); ++n) {
    Sequence& s = *sequences_[n];
    const KvWrite& w = views_[i].writes[n];
    const int64_t slots = s.layers_[i].ring_slots;
    for (int64_t row = std::max<int64_t>(0, w.n_rows - slots); row < w.n_rows;) {
      const int64_t slot = (s.length_ + row) % slots, run = std::min(w.n_rows - row, slots - slot);
      copy_kv(layout, w.block, w.slots, w.first_slot + row, s.layers_[i].ring.data(), slots, slot,
              run);
      row += run;
    }
  }
}

void StepState::end() {
  for (size_t n = 0; n < sequences_.size(); ++n) sequences_[n]->length_ += rows_[n].n_rows;
}

}  // namespace longhaul
