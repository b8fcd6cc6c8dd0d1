// State of rows: storing, attending, selecting, pooling.
#include <cmath>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/op_scratch.h"

namespace longhaul {
namespace {

// Calls body(i, rows) for each sequence that has rows.
template <class Body>
void for_sequences(const RowSet& rows, const Body& body) {
  for (size_t i = 0; i < rows.sequences.size(); ++i) {
    if (rows.sequences[i].n_rows > 0) body(i, rows.sequences[i]);
  }
}

// Some channels of one series: what a softmax over the rows so far has come to.
struct Pool {
  float *max, *sum, *weighted;

  void clear(int64_t n) const {
    std::fill_n(max, n, kMinusInfinity);
    std::fill_n(sum, n, 0.0f);
    std::fill_n(weighted, n, 0.0f);
  }
  void copy(const Pool& from, int64_t n) const {
    std::copy_n(from.max, n, max);
    std::copy_n(from.sum, n, sum);
    std::copy_n(from.weighted, n, weighted);
  }
  void add(const float* value, const float* gate, const float* bias, int64_t n) const {
    for (int64_t c = 0; c < n; ++c) {
      const float g = gate[c] + bias[c];
      if (g <= max[c]) {
        const float weight = std::exp(g - max[c]);
        sum[c] += weight;
        weighted[c] += weight * value[c];
      } else {
        const float factor = std::exp(max[c] - g);
        sum[c] = sum[c] * factor + 1.0f;
        weighted[c] = weighted[c] * factor + value[c];
        max[c] = g;
      }
    }
  }
};

// Of the open windows of one sequence: pool 0 becomes the next entry; with overlap, pool 1 is what
// the current window hands to the one after.
Pool pool_at(const WindowPooling& s, float* state, int64_t series, int64_t channel) {
  float* first = state + series * 3 * s.width + channel;
  return {first, first + s.width, first + 2 * s.width};
}

struct Channels {
  int64_t begin, n;
};

void copy_pools(const WindowPooling& s, const float* from, Channels channels, float* to) {
  for (int64_t part = 0; part < 3 * s.series(); ++part) {
    const int64_t at = part * s.width + channels.begin;
    std::copy_n(from + at, channels.n, to + at);
  }
}

// Some channels of a sequence's open windows as its first row finds them.
void begin_pools(const WindowPooling& s, bool has_past, const FixedBlock& block,
                 Channels channels) {
  float* state = block.after.row(0);
  if (has_past) return copy_pools(s, block.past, channels, state);
  for (int64_t series = 0; series < s.series(); ++series) {
    pool_at(s, state, series, channels.begin).clear(channels.n);
  }
}

// One sequence's rows through some channels. `entry` is its first new entry.
void pool_rows(const WindowPooling& s, std::span<const int64_t> positions, Rows<const float> kv,
               Rows<const float> gate, const FixedBlock& block, Channels channels, float* entry) {
  begin_pools(s, positions.front() > 0, block, channels);
  const int64_t n = channels.n, own = (s.series() - 1) * s.width + channels.begin;
  for (int64_t row = 0; row < kv.n; ++row) {
    const int64_t kept = block.kept_at(row, kv.n);
    float* state = block.after.row(kept);
    if (kept > 0) copy_pools(s, block.after.row(kept - 1), channels, state);
    const Pool current = pool_at(s, state, 0, channels.begin);
    const int64_t slot = positions[static_cast<size_t>(row)] % s.ratio;
    const float* bias = s.position_bias.data() + slot * kv.width;
    current.add(kv.row(row) + own, gate.row(row) + own, bias + own, n);
    if (s.overlaps) {
      const int64_t c = channels.begin;
      pool_at(s, state, 1, c).add(kv.row(row) + c, gate.row(row) + c, bias + c, n);
    }
    if (slot != s.ratio - 1) continue;
    for (int64_t c = 0; c < n; ++c) {
      entry[channels.begin + c] = current.weighted[c] / current.sum[c];
    }
    entry += s.width;
    current.clear(n);
    if (!s.overlaps) continue;
    current.copy(pool_at(s, state, 1, channels.begin), n);
    pool_at(s, state, 1, channels.begin).clear(n);
  }
}

}  // namespace

// Slots of one step of the layout share memory words, so one thread stores whole panels.
void CpuOps::store(const KvStep& kv, Rows<const float> k, Rows<const float> v) {
  LH_DCHECK(k.width == kv.layout.n_kv_heads * kv.layout.head_dim);
  for (const KvWrite& w : kv.writes) {
    const int64_t lead = w.first_slot % kPanel;
    compute_.pool->run(ceil_div(lead + w.n_rows, kPanel), [&](int64_t chunk, int) {
      const int64_t begin = std::max<int64_t>(0, chunk * kPanel - lead);
      const int64_t end = std::min(w.n_rows, (chunk + 1) * kPanel - lead);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t row = w.first_row + i;
        store_kv(kv.layout, w.block, w.slots, w.first_slot + i, k.row(row),
                 v.n == 0 ? nullptr : v.row(row));
      }
    });
  }
}

void CpuOps::attend(const Attention& spec, const KvStep& kv, const RowSet& rows,
                    Rows<const float> q, Rows<float> out, Arena& scratch) {
  LH_DCHECK(q.n == rows.n && same_shape(q, out));
  const ArenaScope scope(scratch);
  const AttendScratch s = take_attend(scratch, spec, rows, n_threads());
  size_t n = 0;
  for_sequences(rows, [&](size_t i, const SequenceRows& r) {
    s.queries[n++] = {.q = q.row(r.first_row),
                      .out = out.row(r.first_row),
                      .q_stride = q.stride,
                      .out_stride = out.stride,
                      .positions = rows.positions_of(r),
                      .segments = kv.segments[i]};
  });
  attention(compute_, spec, s.queries.first(n), s.work);
}

void CpuOps::attend_shared(const SharedAttention& spec, const KvStep& kv, const KvStep* entries,
                           const RowSet& rows, Rows<const int32_t> chosen, Rows<const float> q,
                           Rows<float> out, Arena& scratch) {
  LH_DCHECK(q.n == rows.n && same_shape(q, out) && q.is_dense() && out.is_dense());
  LH_DCHECK(chosen.n == 0 || chosen.width == spec.top_k);
  const ArenaScope scope(scratch);
  const AttendSharedScratch s = take_attend_shared(scratch, spec, rows, n_threads());
  size_t n = 0;
  for_sequences(rows, [&](size_t i, const SequenceRows& r) {
    SharedQueries& queries = s.queries[n++];
    queries = {.q = q.row(r.first_row),
               .out = out.row(r.first_row),
               .positions = rows.positions_of(r),
               .rows = kv.segments[i]};
    if (entries != nullptr) queries.entries = entries->segments[i];
    if (chosen.n > 0) queries.chosen = chosen.row(r.first_row);
  });
  shared_attention(compute_, spec, s.queries.first(n), s.work);
}

void CpuOps::select_entries(const EntrySelection& spec, const KvStep& keys, const RowSet& rows,
                            Rows<const float> q, Rows<const float> weights, Rows<int32_t> chosen,
                            Arena& scratch) {
  LH_DCHECK(q.n == rows.n && weights.n == rows.n && weights.width == spec.n_heads);
  LH_DCHECK(chosen.n == rows.n && chosen.width == spec.top_k && q.is_dense());
  const ArenaScope scope(scratch);
  const SelectScratch s = take_select(scratch, spec, rows, n_threads());
  size_t n = 0;
  for_sequences(rows, [&](size_t i, const SequenceRows& r) {
    s.queries[n++] = {.q = q.row(r.first_row),
                      .weights = weights.row(r.first_row),
                      .positions = rows.positions_of(r),
                      .keys = keys.segments[i],
                      .chosen = chosen.row(r.first_row)};
  });
  longhaul::select_entries(compute_, spec, s.queries.first(n), s.work);
  for (int64_t row = 0; row < rows.n; ++row) {
    const int64_t position = rows.positions[static_cast<size_t>(row)];
    const int64_t kept = std::min(spec.top_k, spec.visible_entries(position));
    std::fill(chosen.row(row) + kept, chosen.row(row) + spec.top_k, -1);
  }
}

void CpuOps::pool_windows(const WindowPooling& s, const RowSet& rows, Rows<const float> kv,
                          Rows<const float> gate, const FixedStep& open, Rows<float> entries,
                          std::span<int64_t> positions) {
  LH_DCHECK(same_shape(kv, gate) && kv.width == s.series() * s.width && kv.n == rows.n);
  LH_DCHECK(entries.width == s.width && entries.is_dense());
  constexpr int64_t kChannels = 64;
  int64_t n_entries = 0;
  for_sequences(rows, [&](size_t i, const SequenceRows& r) {
    const std::span<const int64_t> at = rows.positions_of(r);
    const int64_t first = at.front();
    const Rows<const float> own_kv = kv.slice(r.first_row, r.n_rows);
    const Rows<const float> own_gate = gate.slice(r.first_row, r.n_rows);
    compute_.pool->run(ceil_div(s.width, kChannels), [&](int64_t chunk, int) {
      const int64_t begin = chunk * kChannels;
      pool_rows(s, at, own_kv, own_gate, open.blocks[i],
                {begin, std::min(kChannels, s.width - begin)}, entries.data + n_entries * s.width);
    });
    for (int64_t e = first / s.ratio; e < (first + r.n_rows) / s.ratio; ++e) {
      positions[static_cast<size_t>(n_entries++)] = e * s.ratio;
    }
  });
}

}  // namespace longhaul
