// Weights from a checkpoint's tensors into the form that kernels read.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "arch/architecture.h"
#include "base/buffer.h"
#include "base/thread_pool.h"
#include "checkpoint/expert_cache.h"
#include "checkpoint/weight_source.h"
#include "mechanisms/env.h"

namespace longhaul {

// Loaded weights and the memory behind them: one packed copy of what is multiplied, f32 vectors
// (together resident_weight_bytes of the description), and the mapped files for the tables. Experts
// are packed too, or stay in the files behind a cache. A folder of packed weights is their memory
// itself.
struct LoadedWeights {
  Weights weights;
  std::unique_ptr<WeightSource> source;
  Buffer packed;
  Buffer vectors;
  std::unique_ptr<ExpertCache> experts;  // null: they are packed
  uint64_t packed_in_files = 0;  // bytes of packed weights that are read where the files are mapped
  std::vector<const TensorInfo*> tables;  // read by row
  uint64_t mapped_bytes = 0;              // of the tables

  uint64_t resident_bytes() const {
    return packed.size() + packed_in_files + vectors.size() + (experts ? experts->bytes() : 0);
  }

  // To be told of rows read. A table row drags its neighbours' pages into the process; every so
  // many rows they are let go, so that the process stays as large as planned. The system's file
  // cache keeps them.
  void rows_read(int64_t n_rows);
  // An error if a file has become shorter: what was read of it since may be zeros.
  Status check_files() const;

 private:
  int64_t rows_since_release_ = 0;
};

using LoadProgress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

// Packs the weights of a source; or, where they are packed already, takes them where they are
// mapped and brings their pages in.
//   source   matched with the description (match_tensors.h)
//   format   one of source->formats()
//   experts  given: they stay in the files behind such a cache, and pool must outlive it
Result<std::unique_ptr<LoadedWeights>> load_weights(
    const Architecture& arch, std::unique_ptr<WeightSource> source, const WeightFormat& format,
    ThreadPool& pool, const LoadProgress& progress,
    const std::optional<ExpertCacheLayout>& experts = {});

}  // namespace longhaul
