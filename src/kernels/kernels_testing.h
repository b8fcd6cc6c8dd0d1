// What the kernel tests share: repeatable random rows, aligned memory, measures of difference.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "base/numbers.h"
#include "kernels/kernels.h"

namespace longhaul {

// Uniform in [-1, 1), the same on every machine.
inline std::vector<float> random_floats(int64_t n, uint64_t seed) {
  std::vector<float> x(static_cast<size_t>(n));
  uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (float& v : x) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    v = static_cast<float>(static_cast<int64_t>(state) >> 40) * 0x1p-23f;
  }
  return x;
}

inline std::vector<bf16> random_bf16(int64_t n, uint64_t seed) {
  std::vector<bf16> x;
  for (float v : random_floats(n, seed)) x.push_back(to_bf16(v));
  return x;
}

// Zeroed, 64-byte aligned.
class AlignedBytes {
 public:
  explicit AlignedBytes(uint64_t size)
      : size_(size),
        data_(static_cast<std::byte*>(::operator new(size + 64, std::align_val_t{64}))) {
    std::memset(data_.get(), 0, size + 64);
  }
  std::byte* data() const { return data_.get(); }
  std::span<std::byte> span() const { return {data_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t{64}); }
  };
  size_t size_;
  std::unique_ptr<std::byte, Free> data_;
};

// Energy of the difference over energy of the expected values.
inline double nmse(std::span<const float> actual, std::span<const float> expected) {
  double difference = 0.0, energy = 1e-30;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(double{actual[i]} - double{expected[i]}, 2);
    energy += std::pow(double{expected[i]}, 2);
  }
  return difference / energy;
}

inline bool bitwise_equal(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

inline std::span<const KernelSet* const> sets_but_ref() { return all_kernel_sets().subspan(1); }

}  // namespace longhaul
