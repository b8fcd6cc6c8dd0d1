// Random elements of tensors: what synthetic checkpoints are filled with.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "arch/weights.h"
#include "base/numbers.h"
#include "tensor/dtype.h"

namespace longhaul {

struct Distribution {
  float mean, spread;
};

// Uniform with the wanted mean and deviation: cheap, and the products of many are Gaussian anyway.
class Random {
 public:
  Random(uint64_t seed, Distribution d)
      : state_(seed), mean_(d.mean), scale_(d.spread * std::sqrt(3.0f) * 0x1p-31f) {}
  uint64_t bits() {
    state_ += 0x9e3779b97f4a7c15ull;  // splitmix64
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    return (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  }
  float next() { return mean_ + scale_ * static_cast<float>(static_cast<int32_t>(bits() >> 32)); }

 private:
  uint64_t state_;
  float mean_, scale_;
};

// Values that do not depend on which other tensors are written.
uint64_t seed_of(const std::string& name, uint64_t seed);

// One tensor's elements, a piece at a time, in f32, bf16 or, of an index table, i64. Vectors
// (norms, scales) scatter around 1, or around 0 where the model adds an offset; matrices keep the
// variance of their input.
class RandomElements {
 public:
  //   weight  the first that the tensor serves, or null
  RandomElements(const std::string& name, uint64_t seed, const TensorSpec& tensor,
                 const WeightSpec* weight, DType dtype);

  void fill(int64_t n, std::vector<std::byte>& out);

 private:
  int64_t next_index();

  Random random_;
  int64_t limit_, cols_, index_ = 0, first_ = 0;
  DType dtype_;
};

}  // namespace longhaul
