// What a mechanism runs with: kernels and threads, the loaded weights, scratch memory, the rows of the step.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "arch/specs.h"
#include "kernels/ops.h"
#include "mechanisms/expert_source.h"
#include "tensor/arena.h"
#include "tensor/dtype.h"
#include "tensor/state_format.h"
#include "tensor/weight_format.h"

namespace longhaul {

// The largest step an executor is built for: scratch is planned from these numbers and never grows.
struct StepLimits {
  int64_t max_rows = 512;  // tokens in one step, over all sequences
  int64_t max_sequences = 1;
  int64_t max_logit_rows = 1;  // rows of logits computed at a time
  int n_threads = 1;
  WeightFormat weights = WeightFormat::kBF16;
  StateFormat kv;
};

// Scratch for the rounded inputs of products that share so many rows of so many inputs. Where matrices of one input are kept in several types, it is
// rounded for each way of multiplying.
inline uint64_t product_scratch_bytes(const StepLimits& limits, int64_t rows, int64_t inputs) {
  if (limits.weights == WeightFormat::kF32) return 0;
  const uint64_t halves = matmul_scratch_bytes(DType::kBF16, rows, inputs);
  if (limits.weights == WeightFormat::kBF16) return halves;
  const uint64_t bytes = halves + matmul_scratch_bytes(DType::kQ8, rows, inputs);
  return limits.weights == WeightFormat::kReleased ? bytes + matmul_scratch_bytes(DType::kF8E4M3, rows, inputs) : bytes;
}

// Loaded weights by id. Filled by the loader, read by mechanisms; views only, the memory is the loader's.
struct Weights {
  WeightFormat format = WeightFormat::kF32;
  std::vector<PackedMatrix> matrices;  // kMatrix, kFine; kExpert: the first expert, the others behind it, or no data
  std::vector<const float*> vectors;   // kVector
  std::vector<LookupTable> tables;     // kLookup, kIndex
  ExpertSource* experts = nullptr;     // of kExpert; null: all of them are among the matrices

  const PackedMatrix& matrix(WeightId id) const { return matrices[static_cast<size_t>(id)]; }
  // Of several matrices of a weight, one.
  PackedMatrix matrix(WeightId id, int64_t e) const {
    PackedMatrix m = matrix(id);
    m.data += static_cast<uint64_t>(e) * packed_bytes(m.dtype, m.n, m.k);
    return m;
  }
  PackedMatrix expert(WeightId id, int64_t e) const { return experts != nullptr ? experts->expert(id, e) : matrix(id, e); }
  const float* vector(WeightId id) const { return id == kNone ? nullptr : vectors[static_cast<size_t>(id)]; }
  const LookupTable& table(WeightId id) const { return tables[static_cast<size_t>(id)]; }
};

// What a mechanism chose out of many for each row that ran: experts by a router, cached entries by an indexer. Tests hold choices against the
// reference's: where logits agree, a wrong choice may hide behind a small weight.
struct Choice {
  const char* what = "";  // "experts"
  int64_t layer = 0;
  int64_t n_rows = 0, k = 0;
  const int32_t* chosen = nullptr;  // [n_rows, k] in any order; valid during the call
};
using OnChoice = std::function<void(const Choice&)>;

struct Env {
  Compute compute;
  const Weights* weights = nullptr;
  Arena* scratch = nullptr;
  StepLimits limits;
  const int32_t* tokens = nullptr;  // [rows] ids, for the rows that still run
  float* router_states = nullptr;   // [rows, router_state_width]: what each layer's router hands to the next, for the rows that still run
  int64_t layer = 0;                // of the block that runs
  OnChoice on_choice = {};          // may be empty
  uint64_t flops = 0;               // done so far: 2 per multiply-add of matrix products and attention, as in the cost model

  const KernelSet& kernels() const { return *compute.kernels; }
};

// Runs body(row) for each row of so many elements; large work is shared out over the threads, small work runs here.
template <class Body>
void for_rows(const Env& env, int64_t n_rows, int64_t row_elements, const Body& body) {
  const int64_t per_chunk = std::max<int64_t>(1, 16384 / row_elements);
  env.compute.pool->run(ceil_div(n_rows, per_chunk), [&](int64_t chunk, int) {
    const int64_t end = std::min(n_rows, (chunk + 1) * per_chunk);
    for (int64_t row = chunk * per_chunk; row < end; ++row) body(row);
  });
}

}  // namespace longhaul
