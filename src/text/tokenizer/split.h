// What becomes of the matches of a splitting pattern and of the text between them.
#pragma once

#include <optional>

#include "text/tokenizer/pre_tokenizer.h"

namespace longhaul {

// Fed with a piece's matches from left to right; gives the resulting ranges to emit(MatchRange),
// which returns false to stop.
template <class Emit>
class Splitter {
 public:
  Splitter(SplitBehavior behavior, bool invert, size_t size, Emit& emit)
      : behavior_(behavior), invert_(invert), size_(size), emit_(emit) {}

  bool match(MatchRange range) {
    if (range.begin > end_ && !add({end_, range.begin}, invert_)) return false;
    end_ = range.end;
    return add(range, !invert_);
  }
  bool finish() {
    if (end_ < size_ && !add({end_, size_}, invert_)) return false;
    return !pending_ || emit_(*pending_);
  }

 private:
  bool add(MatchRange range, bool is_match) {
    const bool before = pending_is_match_;
    switch (behavior_) {
      case SplitBehavior::kRemoved: return is_match || emit_(range);
      case SplitBehavior::kIsolated: return emit_(range);
      case SplitBehavior::kContiguous:
        return is_match == before ? extend(range) : replace(range, is_match);
      case SplitBehavior::kMergedWithPrevious:
        if (is_match && !before && pending_) {
          pending_is_match_ = true;
          return extend(range);
        }
        return replace(range, is_match);
      case SplitBehavior::kMergedWithNext:
        if (before && !is_match && pending_) {
          pending_is_match_ = false;
          return extend(range);
        }
        return replace(range, is_match);
    }
    return false;
  }
  bool extend(MatchRange range) {
    if (pending_) {
      pending_->end = range.end;
    } else {
      pending_ = range;
    }
    return true;
  }
  bool replace(MatchRange range, bool is_match) {
    const auto done = pending_;
    pending_ = range;
    pending_is_match_ = is_match;
    return !done || emit_(*done);
  }

  SplitBehavior behavior_;
  bool invert_;
  size_t size_;
  Emit& emit_;
  size_t end_ = 0;                     // of the last match
  std::optional<MatchRange> pending_;  // may still grow
  bool pending_is_match_ = false;
};

}  // namespace longhaul
