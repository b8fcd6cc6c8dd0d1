// How fast products, attention and calls on elements run here, measured on made-up data of a
// model's shapes: what a forecast of its speed stands on (cost/forecast.h). Each takes about a
// tenth of a second; all threads of the pool together.
#pragma once

#include "kernels/cpu/matmul.h"

namespace longhaul {

// Of products by one codec's matrices.
struct ProductRate {
  double seconds_per_product = 0;    // of one row, beside the reading of weights
  double read_bytes_per_second = 0;  // of weights, by one row
  double flops_per_second = 0;       // by many rows; one multiply-add counts as 2
};

// Matrices [n, k] that a model multiplies by.
struct ProductCase {
  const Codec* codec = nullptr;
  int64_t n = 0, k = 0;
  bool has_fine_inputs = false;
  uint64_t model_bytes = 0;  // of all its matrices: caches hold here what they hold of the model
  int64_t n_rows = 512;      // that many rows are
};
// kOverBudget where the memory for it, at most kRateBytes and a matrix, is not there.
Result<ProductRate> measure_product(const Compute& compute, const ProductCase& product);
inline constexpr uint64_t kRateBytes = uint64_t{256} << 20;

// Scores and value sums over a cache.
struct AttentionRate {
  double row_flops_per_second = 0;  // one row, its keys in the processor's caches
  double flops_per_second = 0;      // many rows
};
Result<AttentionRate> measure_attention(const Compute& compute, DType kept);

// What is done between products: norms, activations, residuals.
struct ElementRate {
  double seconds_per_call = 0;     // of one row
  double seconds_per_element = 0;  // of many rows
};
Result<ElementRate> measure_elements(const Compute& compute, int64_t width);

}  // namespace longhaul
