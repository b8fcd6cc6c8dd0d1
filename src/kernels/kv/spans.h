// Where the keys of a query are cut: at borders that depend on positions alone. A row's keys are
// visited in order of position, tile after tile of a span, and span after span. So its sums do not
// depend on the rows beside it, on the step, or on how many threads share the spans.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace longhaul {

struct Range {
  int64_t begin = 0, end = 0;
  int64_t size() const { return std::max<int64_t>(0, end - begin); }
  bool is_empty() const { return begin >= end; }
};

inline Range intersect(Range a, Range b) {
  return {std::max(a.begin, b.begin), std::min(a.end, b.end)};
}

// Spans of consecutive positions, numbered from 0. Their borders are multiples of half of the least
// width.
class Spans {
 public:
  // Of a window: all of one width, so that a window meets a few of them wherever it lies.
  static Spans of_window(int64_t window) {
    constexpr int64_t kLeast = 256, kPerWindow = 8;
    const auto share = static_cast<uint64_t>(window / kPerWindow);
    return {std::max(kLeast, static_cast<int64_t>(std::bit_ceil(share))), false};
  }
  // Of everything before a position: an eighth of it wide and at least `least`, so that even a
  // million positions make few spans, of which none outweighs the rest. The first is halved: a
  // short context has two.
  static Spans growing(int64_t least) { return {least, true}; }

  int64_t of(int64_t position) const {
    const int64_t unit = position / least_;
    if (!grows_) return unit;
    if (unit == 0) return position < least_ / 2 ? 0 : 1;
    if (unit < kEven) return unit + 1;
    const int64_t octave = std::bit_width(static_cast<uint64_t>(unit / kEven)) - 1;
    return kEven + 1 + octave * kPerOctave + ((unit >> (octave + 1)) - kPerOctave);
  }

  Range at(int64_t span) const {
    if (!grows_) return {span * least_, (span + 1) * least_};
    if (span < 2) return {span * least_ / 2, (span + 1) * least_ / 2};
    if (span <= kEven) return {(span - 1) * least_, span * least_};
    const int64_t octave = (span - kEven - 1) / kPerOctave,
                  within = (span - kEven - 1) % kPerOctave;
    const int64_t width = least_ << (octave + 1);
    return {(kPerOctave + within) * width, (kPerOctave + within + 1) * width};
  }

 private:
  static constexpr int64_t kEven = 16;      // least widths before spans grow
  static constexpr int64_t kPerOctave = 8;  // behind them, until the positions have doubled

  Spans(int64_t least, bool grows) : least_(least), grows_(grows) {}

  int64_t least_;
  bool grows_;
};

}  // namespace longhaul
