#include "checkpoint/expert_cache.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "checkpoint/pack.h"

namespace longhaul {
namespace {

constexpr double kHalfLifeTokens = 512;
constexpr int64_t kElementsPerTask = int64_t{1}
                                     << 17;  // enough pieces of one expert for many threads

}  // namespace

Result<std::unique_ptr<ExpertCache>> ExpertCache::create(const Architecture& arch,
                                                         const WeightSource& source,
                                                         std::span<const PackedMatrix> matrices,
                                                         const ExpertCacheLayout& layout,
                                                         ThreadPool& pool) {
  auto cache = std::make_unique<ExpertCache>();
  cache->layout_ = layout;
  cache->stats_ = {.n_experts = layout.n_experts, .n_slots = layout.n_slots};
  cache->pool_ = &pool;
  cache->source_ = &source;
  cache->places_.resize(arch.weights.size());
  for (const Mixture& m : mixtures(arch)) cache->add_mixture(m, matrices);
  LH_TRY(cache->slots_,
         Buffer::allocate(static_cast<uint64_t>(layout.n_slots) * layout.slot_bytes));
  LH_TRY(cache->widened_, Buffer::allocate(layout.widen_bytes));
  const auto n_experts = static_cast<size_t>(layout.n_experts),
             n_slots = static_cast<size_t>(layout.n_slots);
  cache->slot_of_.assign(n_experts, kNone);
  cache->asked_.assign(n_experts, 0);
  cache->use_.assign(n_experts, 0.0);
  cache->held_.assign(n_slots, kNone);
  cache->tasks_left_ = std::vector<std::atomic<int64_t>>(n_slots);
  for (int32_t slot = 0; slot < layout.n_slots; ++slot) cache->order_.push_back(slot);
  return cache;
}

void ExpertCache::add_mixture(const Mixture& mixture, std::span<const PackedMatrix> matrices) {
  StoredMixture m{.n_experts = mixture.n_experts};
  if (!mixtures_.empty())
    m.first_expert = mixtures_.back().first_expert + mixtures_.back().n_experts;
  uint64_t offset = 0;
  LH_CHECK(mixture.matrices.size() == m.parts.size());
  for (size_t i = 0; i < m.parts.size(); ++i) {
    const WeightId id = mixture.matrices[i];
    const PackedMatrix& matrix = matrices[static_cast<size_t>(id)];
    m.parts[i] = {id, matrix, offset, rows_per_task(matrix.k, kElementsPerTask)};
    offset += matrix.codec->bytes(matrix.n, matrix.k);
    places_[static_cast<size_t>(id)] = {static_cast<int32_t>(mixtures_.size()),
                                        static_cast<int32_t>(i)};
  }
  LH_CHECK(offset <= layout_.slot_bytes);
  mixtures_.push_back(m);
}

int64_t ExpertCache::acquire(WeightId of_mixture, std::span<ExpertRows> wanted) {
  const StoredMixture& mixture =
      mixtures_[static_cast<size_t>(places_[static_cast<size_t>(of_mixture)].mixture)];
  const auto is_here = [&](const ExpertRows& w) {
    return slot_of_[static_cast<size_t>(mixture.first_expert + w.expert)] != kNone;
  };
  std::sort(wanted.begin(), wanted.end(), [&](const ExpertRows& a, const ExpertRows& b) {
    return is_here(a) != is_here(b) ? is_here(a) : a.expert < b.expert;
  });
  const auto n_here = static_cast<size_t>(
      std::partition_point(wanted.begin(), wanted.end(), is_here) - wanted.begin());
  const auto missing = wanted.subspan(n_here);
  const auto n_slots = static_cast<size_t>(layout_.n_slots);
  // Those that come next are read while those that are here run.
  read_ahead(mixture, missing.first(std::min(missing.size(), 2 * n_slots)));
  const size_t n = n_here > 0 ? n_here : std::min(missing.size(), n_slots);
  if (n_here == 0) bring(mixture, missing.first(n));
  (n_here > 0 ? stats_.hits : stats_.misses) += static_cast<int64_t>(n);
  count_use(mixture, wanted.first(n));
  return static_cast<int64_t>(n);
}

bool ExpertCache::take_damage() {
  if (!damaged_.exchange(false, std::memory_order_relaxed)) return false;
  // Rare enough that the sound ones may go with them.
  std::fill(held_.begin(), held_.end(), kNone);
  std::fill(slot_of_.begin(), slot_of_.end(), kNone);
  return true;
}

PackedMatrix ExpertCache::expert(WeightId weight, int64_t e) const {
  const Place place = places_[static_cast<size_t>(weight)];
  const StoredMixture& mixture = mixtures_[static_cast<size_t>(place.mixture)];
  const Part& part = mixture.parts[static_cast<size_t>(place.part)];
  const int32_t slot = slot_of_[static_cast<size_t>(mixture.first_expert + e)];
  LH_DCHECK(slot != kNone);
  PackedMatrix m = part.packed;
  m.data = slot_data(slot) + part.offset;
  return m;
}

void ExpertCache::read_ahead(const StoredMixture& mixture, std::span<const ExpertRows> missing) {
  for (const ExpertRows& w : missing) {
    uint8_t& asked = asked_[static_cast<size_t>(mixture.first_expert + w.expert)];
    if (asked != 0) continue;
    asked = 1;
    for (const Part& part : mixture.parts) source_->will_need(part.all_rows(w.expert));
  }
}

// The slots of the least used experts; empty ones first.
void ExpertCache::take_slots(const StoredMixture& mixture, std::span<const ExpertRows> missing) {
  const auto use_of = [&](int32_t slot) {
    const int32_t expert = held_[static_cast<size_t>(slot)];
    return expert == kNone ? -1.0 : use_[static_cast<size_t>(expert)];
  };
  const auto less_used = [&](int32_t a, int32_t b) {
    return use_of(a) != use_of(b) ? use_of(a) < use_of(b) : a < b;
  };
  std::nth_element(order_.begin(), order_.begin() + static_cast<int64_t>(missing.size()) - 1,
                   order_.end(), less_used);
  for (size_t i = 0; i < missing.size(); ++i) {
    const int32_t slot = order_[i],
                  expert = static_cast<int32_t>(mixture.first_expert) + missing[i].expert;
    int32_t& held = held_[static_cast<size_t>(slot)];
    if (held != kNone) slot_of_[static_cast<size_t>(held)] = kNone;
    held = expert;
    slot_of_[static_cast<size_t>(expert)] = slot;
    asked_[static_cast<size_t>(expert)] = 0;
  }
}

void ExpertCache::bring(const StoredMixture& mixture, std::span<const ExpertRows> missing) {
  take_slots(mixture, missing);
  const int64_t n_tasks = mixture.n_tasks();
  for (size_t i = 0; i < missing.size(); ++i)
    tasks_left_[i].store(n_tasks, std::memory_order_relaxed);
  pool_->run(static_cast<int64_t>(missing.size()) * n_tasks, [&](int64_t task, int thread) {
    const auto i = static_cast<size_t>(task / n_tasks);
    run_task(mixture, missing[i].expert, task % n_tasks, thread);
    // What is packed is not needed in the form of the file: the process stays as large as planned.
    if (tasks_left_[i].fetch_sub(1, std::memory_order_acq_rel) == 1)
      drop_stored(mixture, missing[i].expert);
  });
  for (const ExpertRows& w : missing) {
    for (const Part& part : mixture.parts)
      stats_.read_bytes += source_->stored_bytes(part.all_rows(w.expert));
  }
}

void ExpertCache::drop_stored(const StoredMixture& mixture, int64_t e) const {
  for (const Part& part : mixture.parts) source_->drop(part.all_rows(e));
}

void ExpertCache::run_task(const StoredMixture& mixture, int64_t e, int64_t task, int thread) {
  for (const Part& part : mixture.parts) {
    if (task >= part.n_tasks()) {
      task -= part.n_tasks();
      continue;
    }
    const int64_t row = task * part.rows_per_task,
                  n = std::min(part.rows_per_task, part.packed.n - row);
    std::byte* out = slot_data(slot_of_[static_cast<size_t>(mixture.first_expert + e)]) +
                     part.offset + part.packed.codec->bytes(row, part.packed.k);
    const uint64_t widen_bytes = layout_.widen_bytes / static_cast<uint64_t>(pool_->n_threads());
    auto* widened =
        reinterpret_cast<float*>(widened_.data() + static_cast<uint64_t>(thread) * widen_bytes);
    if (!source_->bring({part.weight, e, row, n}, *part.packed.codec, out, widened).ok())
      damaged_.store(true, std::memory_order_relaxed);
    return;
  }
}

void ExpertCache::count_use(const StoredMixture& mixture, std::span<const ExpertRows> used) {
  int64_t n_rows = 0;
  for (const ExpertRows& w : used) {
    use_[static_cast<size_t>(mixture.first_expert + w.expert)] += w.n_rows * unit_;
    n_rows += w.n_rows;
  }
  unit_ *= std::exp2(static_cast<double>(n_rows) /
                     (kHalfLifeTokens * static_cast<double>(layout_.n_chosen)));
  constexpr double kLarge = 1e100;
  if (unit_ < kLarge) return;
  for (double& use : use_) use /= unit_;
  unit_ = 1.0;
}

}  // namespace longhaul
