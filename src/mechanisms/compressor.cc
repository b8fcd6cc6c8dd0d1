#include "mechanisms/compressor.h"

#include "mechanisms/rope.h"

namespace longhaul {
namespace {

// Of a step whose positions are not known, as many as there can be.
int64_t completed_entries(const CompressorSpec& s, const RowSet& rows) {
  if (rows.positions.empty()) {
    return rows.n / s.ratio + static_cast<int64_t>(rows.sequences.size());
  }
  int64_t n = 0;
  for (const SequenceRows& r : rows.sequences) {
    if (r.n_rows == 0) continue;
    const int64_t first = rows.positions_of(r).front();
    n += (first + r.n_rows) / s.ratio - first / s.ratio;
  }
  return n;
}

}  // namespace

void compress(Env& env, const CompressorSpec& s, const CompressorInput& in) {
  const ArenaScope scope(*env.scratch);
  const int64_t n = completed_entries(s, in.rows), pairs = in.rope->n_pairs;
  const Rows<float> entries = env.scratch->take_rows<float>(n, s.width);
  const std::span<int64_t> positions = env.scratch->take_span<int64_t>(n);
  const Rows<float> cos = env.scratch->take_rows<float>(n, pairs);
  const Rows<float> sin = env.scratch->take_rows<float>(n, pairs);
  const WindowPooling pooling{.ratio = s.ratio,
                              .width = s.width,
                              .overlaps = s.overlaps,
                              .position_bias = env.weights->vector(s.position_bias)};
  env.ops->pool_windows(pooling, in.rows, in.kv, in.gate, in.open, entries, positions);
  norm(env, s.norm, entries, entries);
  rope_angles(env, *in.rope, in.frequencies, positions, cos, sin);
  rope(env, *in.rope, {cos, sin}, 1, entries);
  env.ops->store(in.entries, entries, {});
}

Wide entries_seen(int64_t n, int64_t ratio, int64_t top_k) {
  const auto all = [&](int64_t last) {
    const Wide q = static_cast<Wide>(last / ratio), r = static_cast<Wide>(last % ratio);
    return q == 0 ? Wide{0} : static_cast<Wide>(ratio) * (q * (q - 1) / 2) + q * (r + 1);
  };
  if (n / ratio <= top_k) return all(n);
  const Wide behind = static_cast<Wide>(n - ratio * top_k + 1);
  return all(ratio * top_k - 1) + behind * static_cast<Wide>(top_k);
}

Json compressor_json(const CompressorSpec& s) {
  return Json::object({{"ratio", s.ratio}, {"width", s.width}, {"overlaps", s.overlaps}});
}

}  // namespace longhaul
