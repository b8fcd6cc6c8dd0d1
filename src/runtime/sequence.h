// The state of one sequence: pages, rings and fixed blocks exactly as the description declares
// them, drawn from a pool as the sequence grows.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "arch/architecture.h"
#include "base/errors.h"
#include "mechanisms/kv_cache.h"
#include "runtime/page_pool.h"

namespace longhaul {

// Bytes that a sequence made for max_tokens holds once there is room for n_tokens: what
// Sequence::create and reserve draw. Rings and fixed blocks from the beginning, pages as it grows.
uint64_t state_bytes(const Architecture& arch, int64_t n_tokens, int64_t max_tokens,
                     const StateFormat& format);
// Of one made for just as many.
uint64_t state_bytes(const Architecture& arch, int64_t n_tokens, const StateFormat& format);

// Would it fit, and at which length: the most tokens that a new sequence made for max_tokens could
// grow to with free_bytes (PagePool::free_bytes), were it alone to draw. max_tokens: it fits
// whole; 0: not even its first token does.
int64_t tokens_that_fit(const Architecture& arch, const StateFormat& format, int64_t max_tokens,
                        uint64_t free_bytes);

class StateSnapshot;

// One thread at a time uses a sequence. Forks, snapshots and the sequence they were made of are
// independent, and may be used by different threads.
class Sequence {
 public:
  // Draws rings, as long as max_tokens lets them be, and fixed blocks; no pages yet. `arch` must
  // outlive the sequence. Without a pool it gets one of its own that has no limit.
  static Result<Sequence> create(const Architecture& arch, const StateFormat& format,
                                 int64_t max_tokens, PagePool pool = PagePool());

  // Makes room for n_tokens in all, so that steps up to there draw nothing, unless the sequence is
  // forked or a snapshot of it taken before: then the page that is not full is copied once.
  // kOverBudget beyond max_tokens or what the pool has; the sequence is as it was then.
  Status reserve(int64_t n_tokens);
  // What that draws from the pool.
  uint64_t bytes_to_reserve(int64_t n_tokens) const;

  // A second sequence with the same past. Pages are shared until one of the two writes to them;
  // rings and fixed blocks are copied.
  Result<Sequence> fork() const;

  // What the sequence is now, to come back to; holds memory of the pool as a fork does.
  Result<StateSnapshot> snapshot() const;
  // Becomes again what the snapshot was made of: of this sequence, or of another of the same
  // description, format and length of rings, and not longer than this one may be (else
  // kInvalidArgument). Draws nothing. Rows of a step that wait to be accepted can no longer be.
  Status rewind(const StateSnapshot& snapshot);
  bool can_rewind(const StateSnapshot& snapshot) const;

  // The whole state to a file (temporary name, then rename), and back. The file is bound to the
  // architecture by a fingerprint and checked by a checksum; a damaged or foreign one is
  // kCorruptFile.
  Status save(const std::string& path) const;
  // What such a file holds, piece by piece.
  using ByteSink = std::function<Status(std::span<const std::byte>)>;
  Status write(const ByteSink& sink) const;
  static Result<Sequence> restore(const Architecture& arch, const std::string& path,
                                  int64_t max_tokens, PagePool pool = PagePool());
  // The same from a file's bytes; `where` names them in messages.
  static Result<Sequence> parse(const Architecture& arch, std::span<const std::byte> bytes,
                                std::string_view where, int64_t max_tokens,
                                PagePool pool = PagePool());

  // As if so many tokens had been read, of which nothing is known: every row and block random, from
  // the seed alone. For measuring.
  Status fill_random(int64_t n_tokens, uint64_t seed);

  int64_t length() const { return length_; }
  int64_t max_tokens() const { return max_tokens_; }
  const StateFormat& format() const { return format_; }
  // Of all that it holds, what it shares with others too.
  uint64_t allocated_bytes() const;

 private:
  friend class StateSnapshot;
  friend class StepState;
  struct Layer {
    std::vector<Page> pages;          // append-only state
    std::vector<KvSegment> segments;  // the same as steps look at them, each whole
    Page ring;
    Page fixed;
    int64_t ring_slots = 0;
  };

  static uint64_t bytes_of(std::span<const Layer> layers);
  // Rings as for a sequence of ring_tokens, room for max_tokens.
  static Result<Sequence> allocate(const Architecture& arch, const StateFormat& format,
                                   int64_t ring_tokens, int64_t max_tokens, PagePool pool);
  const StateSpec& spec(size_t state) const { return arch_->states[state]; }
  KvLayout layout(size_t state) const { return kv_layout(spec(state), format_); }
  int64_t pages_for(size_t state, int64_t n_tokens) const {
    return kv_slots(spec(state), n_tokens) / page_slots(spec(state));
  }
  uint64_t page_bytes(size_t state) const {
    return layout(state).block_bytes(page_slots(spec(state)));
  }
  // Whether rows up to n_tokens go to a page that others hold too.
  bool writes_to_shared(size_t state, int64_t n_tokens) const;
  Status grow(size_t state, int64_t n_tokens);
  Status own_page(size_t state, size_t page);
  Result<Page> copy_of(const Page& page) const;

  const Architecture* arch_ = nullptr;
  StateFormat format_;
  PagePool pool_;
  int64_t max_tokens_ = 0, length_ = 0, reserved_ = 0;
  uint64_t revision_ = 0;  // changes with what the sequence holds
  std::vector<Layer> layers_;
};

// A sequence at some length: its pages, shared with it, and copies of its rings and fixed blocks.
// A value: copies hold the same memory. Its architecture must outlive it.
class StateSnapshot {
 public:
  int64_t length() const { return length_; }
  // Of all that it holds, what it shares with others too.
  uint64_t allocated_bytes() const;

 private:
  friend class Sequence;
  const Architecture* arch_ = nullptr;
  StateFormat format_;
  int64_t length_ = 0;
  std::vector<Sequence::Layer> layers_;
};

}  // namespace longhaul
