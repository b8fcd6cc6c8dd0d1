// The state of one sequence: pages and rings exactly as the description declares them.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "arch/architecture.h"
#include "base/buffer.h"
#include "base/errors.h"
#include "mechanisms/kv_cache.h"

namespace longhaul {

// Bytes of all states of one sequence that may grow to n_tokens; what Sequence::create and reserve
// allocate.
uint64_t state_bytes(const Architecture& arch, int64_t n_tokens, const StateFormat& format);

class Sequence {
 public:
  // Allocates rings for max_tokens and no pages yet. `arch` must outlive the sequence.
  static Result<Sequence> create(const Architecture& arch, const StateFormat& format,
                                 int64_t max_tokens);

  // Makes room for n_tokens in all, so that steps up to there allocate nothing. kOverBudget beyond
  // max_tokens or memory.
  Status reserve(int64_t n_tokens);

  // A second sequence with the same past: full pages are shared, the open page and the rings
  // copied.
  Result<Sequence> fork() const;

  // The whole state to a file (temporary name, then rename), and back. The file is bound to the
  // architecture by a fingerprint and checked by a checksum; a damaged or foreign one is
  // kCorruptFile.
  Status save(const std::string& path) const;
  // What such a file holds, piece by piece.
  using ByteSink = std::function<Status(std::span<const std::byte>)>;
  Status write(const ByteSink& sink) const;
  static Result<Sequence> restore(const Architecture& arch, const std::string& path,
                                  int64_t max_tokens);
  // The same from a file's bytes; `where` names them in messages.
  static Result<Sequence> parse(const Architecture& arch, std::span<const std::byte> bytes,
                                std::string_view where, int64_t max_tokens);

  // As if so many tokens had been read, of which nothing is known: every row and block random, from
  // the seed alone. For measuring.
  Status fill_random(int64_t n_tokens, uint64_t seed);

  int64_t length() const { return length_; }
  int64_t max_tokens() const { return max_tokens_; }
  const StateFormat& format() const { return format_; }
  uint64_t allocated_bytes() const;

 private:
  friend class StepState;
  struct Layer {
    std::vector<std::shared_ptr<Buffer>> pages;  // append-only state
    Buffer ring;
    Buffer fixed;
    int64_t ring_slots = 0;
  };

  // Rings as for a sequence of ring_tokens, room for max_tokens.
  static Result<Sequence> allocate(const Architecture& arch, const StateFormat& format,
                                   int64_t ring_tokens, int64_t max_tokens);
  const StateSpec& spec(size_t state) const { return arch_->states[state]; }
  KvLayout layout(size_t state) const { return kv_layout(spec(state), format_); }

  const Architecture* arch_ = nullptr;
  StateFormat format_;
  int64_t max_tokens_ = 0, length_ = 0, reserved_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace longhaul
