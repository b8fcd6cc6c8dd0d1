// Weights from a checkpoint's tensors into the form that kernels read.
#pragma once

#include <functional>
#include <memory>

#include "arch/architecture.h"
#include "base/buffer.h"
#include "base/thread_pool.h"
#include "formats/tensor_source.h"
#include "mechanisms/env.h"

namespace longhaul {

// Loaded weights and the memory behind them: one packed copy of what is multiplied, f32 vectors (together resident_weight_bytes of the
// description), and the mapped files for the tables.
struct LoadedWeights {
  Weights weights;
  TensorSource source;
  Buffer packed;
  Buffer vectors;
  uint64_t mapped_bytes = 0;  // of tables read by row

  // To be told of rows read. A table row drags its neighbours' pages into the process; every so many rows they are let go, so that the
  // process stays as large as planned. The system's file cache keeps them.
  void rows_read(int64_t n_rows);

 private:
  int64_t rows_since_release_ = 0;
};

using LoadProgress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

// Finds the tensor for every weight, checks shapes and dtypes, and packs. Missing, misshapen and unclaimed tensors are reported together in one error.
//   weights  dtype of packed matrices, f32 or bf16
Result<std::unique_ptr<LoadedWeights>> load_weights(const Architecture& arch, TensorSource source, DType weights, ThreadPool& pool,
                                                    const LoadProgress& progress);

// The dtype in which a checkpoint's matrices are kept unless the user says otherwise: its own, f16 widened to f32, and
// bf16 for what is narrower.
Result<DType> natural_weights_dtype(const Architecture& arch, const TensorSource& source);

}  // namespace longhaul
