#include "text/tokenizer/vocabulary.h"

#include "text/tokenizer/hash.h"

namespace longhaul {
namespace {
// Larger vocabularies do not exist; ids below this keep a hostile file's table at 64 MiB before
// check_density() ends it.
constexpr int64_t kMaxId = int64_t{1} << 23;
constexpr int64_t kFreeHoles = 65536;

uint32_t hash_of(std::string_view text) { return static_cast<uint32_t>(hash_bytes(text) >> 32); }
}  // namespace

Status Vocabulary::add(std::string_view text, int64_t id, std::string_view where) {
  if (id < 0 || id >= kMaxId)
    return corrupt("{}: token '{}' has id {}, not in 0..{}", where, text, id, kMaxId - 1);
  if (contains(id))
    return corrupt("{}: token '{}' has id {}, which '{}' has already", where, text, id,
                   this->text(id));
  if (texts_.size() + text.size() > UINT32_MAX)
    return corrupt("{}: more than 4 GiB of token texts", where);
  if (static_cast<size_t>(n_entries_ + 1) * 2 > slots_.size()) grow();
  const uint32_t hash = hash_of(text);
  Slot& slot = slots_[slot_of(text, hash)];
  if (slot.id >= 0)
    return corrupt("{}: token '{}' stands twice (ids {} and {})", where, text, slot.id, id);
  if (id >= size()) entries_.resize(static_cast<size_t>(id) + 1);
  entries_[static_cast<size_t>(id)] = {static_cast<uint32_t>(texts_.size()),
                                       static_cast<uint32_t>(text.size())};
  texts_ += text;
  slot = {hash, static_cast<int32_t>(id)};
  ++n_entries_;
  return {};
}

Status Vocabulary::check_density(std::string_view where) const {
  if (size() <= 4 * n_entries_ + kFreeHoles) return {};
  return corrupt("{}: the largest id is {}, but there are only {} tokens", where, size() - 1,
                 n_entries_);
}

std::optional<int32_t> Vocabulary::find(std::string_view text) const {
  if (slots_.empty()) return std::nullopt;
  const int32_t id = slots_[slot_of(text, hash_of(text))].id;
  return id < 0 ? std::nullopt : std::optional<int32_t>(id);
}

std::string_view Vocabulary::text(int64_t id) const {
  if (!contains(id)) return {};
  const Entry& e = entries_[static_cast<size_t>(id)];
  return std::string_view(texts_).substr(e.begin, e.size);
}

size_t Vocabulary::slot_of(std::string_view text, uint32_t hash) const {
  const size_t mask = slots_.size() - 1;
  size_t i = hash & mask;
  while (slots_[i].id >= 0 && (slots_[i].hash != hash || this->text(slots_[i].id) != text))
    i = (i + 1) & mask;
  return i;
}

void Vocabulary::grow() {
  std::vector<Slot> old(slots_.empty() ? 1024 : slots_.size() * 2);
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.id < 0) continue;
    size_t i = slot.hash & mask;
    while (slots_[i].id >= 0) i = (i + 1) & mask;
    slots_[i] = slot;
  }
}

}  // namespace longhaul
