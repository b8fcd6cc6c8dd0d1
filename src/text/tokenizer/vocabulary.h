// Token texts and ids, both ways, packed: one string for all texts, one table of ids hashed by
// text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/errors.h"

namespace longhaul {

class Vocabulary {
 public:
  // Adds an entry; texts and ids must be unique. `where` names the entry's list in messages.
  Status add(std::string_view text, int64_t id, std::string_view where);

  // Ids may have holes, but a few large ids must not make a small file need much memory.
  Status check_density(std::string_view where) const;

  std::optional<int32_t> find(std::string_view text) const;
  bool contains(int64_t id) const {
    return id >= 0 && id < size() && entries_[static_cast<size_t>(id)].size != kHole;
  }
  // Empty for an id that has no entry.
  std::string_view text(int64_t id) const;
  // One more than the largest id.
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }

 private:
  static constexpr uint32_t kHole = UINT32_MAX;
  struct Entry {
    uint32_t begin = 0;
    uint32_t size = kHole;
  };

  struct Slot {
    uint32_t hash = 0;
    int32_t id = -1;  // -1: free
  };

  size_t slot_of(std::string_view text, uint32_t hash) const;
  void grow();

  std::string texts_;
  std::vector<Entry> entries_;  // by id
  std::vector<Slot> slots_;     // open addressing, power of two
  int64_t n_entries_ = 0;
};

}  // namespace longhaul
