// Experts that stay in the checkpoint's files until tokens choose them: bigger than memory, at the
// price of reading.
//
// A bounded number of slots, shared over all layers, holds whole experts as the loader would have
// brought them, so results are those of resident experts to the bit. A missing expert takes the
// slot of the least used one. Uses are counted for every expert, in a slot or not, a use a row, and
// fade with a half-life of some hundred tokens: what is chosen often stays while a long prompt or
// the walk over the layers passes through the rest (counting recency alone, a cache smaller than
// one token's walk would never hit).
//
// Memory is allocated at creation. A step takes no lock and no heap; a miss costs page faults and
// advice to the kernel.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "arch/architecture.h"
#include "base/buffer.h"
#include "base/thread_pool.h"
#include "checkpoint/weight_source.h"
#include "longhaul/planner.h"
#include "mechanisms/expert_source.h"
#include "mechanisms/resident_weights.h"

namespace longhaul {

class ExpertCache final : public ExpertSource {
 public:
  //   source    what experts are read from; must outlive the cache, as must pool
  //   matrices  by weight id: codec and shape of one expert's
  static Result<std::unique_ptr<ExpertCache>> create(const Architecture& arch,
                                                     const WeightSource& source,
                                                     std::span<const PackedMatrix> matrices,
                                                     const ExpertCacheLayout& layout,
                                                     ThreadPool& pool);

  int64_t acquire(WeightId of_mixture, std::span<ExpertRows> wanted) override;
  PackedMatrix expert(WeightId weight, int64_t e) const override;
  bool take_damage() override;

  uint64_t bytes() const { return slots_.size() + widened_.size(); }
  const ExpertStats& stats() const { return stats_; }

 private:
  // One matrix of each expert of a mixture.
  struct Part {
    WeightId weight = kNone;
    PackedMatrix packed;  // without data
    uint64_t offset = 0;  // in a slot
    int64_t rows_per_task = 0;

    int64_t n_tasks() const { return ceil_div(packed.n, rows_per_task); }
    MatrixRows all_rows(int64_t e) const { return {weight, e, 0, packed.n}; }
  };
  struct StoredMixture {
    int64_t first_expert = 0, n_experts = 0;  // in the numbering of all experts
    std::array<Part, 3> parts;

    int64_t n_tasks() const { return parts[0].n_tasks() + parts[1].n_tasks() + parts[2].n_tasks(); }
  };
  struct Place {
    int32_t mixture = kNone, part = kNone;
  };

  void add_mixture(const Mixture& mixture, std::span<const PackedMatrix> matrices);
  std::byte* slot_data(int32_t slot) const {
    return slots_.data() + static_cast<uint64_t>(slot) * layout_.slot_bytes;
  }
  void read_ahead(const StoredMixture& mixture, std::span<const ExpertRows> missing);
  void take_slots(const StoredMixture& mixture, std::span<const ExpertRows> missing);
  void bring(const StoredMixture& mixture, std::span<const ExpertRows> missing);
  void run_task(const StoredMixture& mixture, int64_t e, int64_t task, int thread);
  void drop_stored(const StoredMixture& mixture, int64_t e) const;
  void count_use(const StoredMixture& mixture, std::span<const ExpertRows> used);

  ExpertCacheLayout layout_;
  ThreadPool* pool_ = nullptr;
  const WeightSource* source_ = nullptr;
  std::vector<StoredMixture> mixtures_;
  std::vector<Place> places_;  // by weight id
  Buffer slots_, widened_;
  std::vector<int32_t> slot_of_;  // by expert; kNone: not here
  std::vector<uint8_t> asked_;    // by expert: the kernel was told that it will be read
  std::vector<double> use_;       // by expert
  std::vector<int32_t> held_;     // by slot: the expert, kNone: empty
  std::vector<int32_t> order_;    // all slots
  std::vector<std::atomic<int64_t>> tasks_left_;  // by missing expert, while it is packed
  double unit_ = 1.0;  // what a use counts now: it grows, instead of all that was counted fading
  std::atomic<bool> damaged_ = false;
  ExpertStats stats_;
};

}  // namespace longhaul
