// Matrix products over the thread pool: what a mechanism calls.
#pragma once

#include <span>

#include "base/thread_pool.h"
#include "kernels/kernels.h"
#include "tensor/rows.h"

namespace longhaul {

// y [m, w.n] = x [m, w.k] * W^T (f32 in, f32 out). x is rounded once per product, as W's codec says
// (InputCoding); sums are f32.
struct Matmul {
  const float* x = nullptr;
  int64_t x_stride = 0;  // elements
  PackedMatrix w;
  float* y = nullptr;
  int64_t y_stride = 0;  // elements
  int64_t m = 0;

  // Where the product stands in its group: matmul() sets it.
  struct Place {
    const std::byte* inputs = nullptr;            // rounded
    int64_t first_rounding = 0, first_block = 0;  // of the group's pieces of work
  };
  Place place = {};
};

// A product of whole views; y has as many rows as x.
inline Matmul product(Rows<const float> x, const PackedMatrix& w, Rows<float> y) {
  LH_DCHECK(x.width == w.k && y.width == w.n && x.n == y.n);
  return {.x = x.data, .x_stride = x.stride, .w = w, .y = y.data, .y_stride = y.stride, .m = x.n};
}

// What kernels run on: chosen once, shared by all. Owns nothing.
struct Compute {
  const KernelSet* kernels = nullptr;
  ThreadPool* pool = nullptr;
};

// Runs all products as one parallel region (after one that rounds the inputs): q, k and v together,
// or one product an expert. Products that share x must name the same x, stride, m and k and stand
// near each other: then x is rounded once. No product's y may overlap another's x or y.
//   scratch  rounded copies of the inputs, at least matmul_scratch_bytes() of the group; 64-byte
//   aligned
void matmul(const Compute& compute, std::span<Matmul> group, std::span<std::byte> scratch);

// Of m rows by these weights.
uint64_t matmul_scratch_bytes(const PackedMatrix& weights, int64_t m);
// Of a whole group: inputs that are rounded alike and shared count once.
uint64_t matmul_scratch_bytes(std::span<const Matmul> group);

}  // namespace longhaul
