#include "checkpoint/random_elements.h"

#include <xxhash.h>

namespace longhaul {
namespace {

Distribution distribution(const TensorSpec& tensor, float offset) {
  if (tensor.shape.size() == 1) return {1.0f - offset, 0.1f};
  return {0.0f, 1.0f / std::sqrt(static_cast<float>(tensor.shape.back()))};
}

}  // namespace

uint64_t seed_of(const std::string& name, uint64_t seed) {
  return XXH3_64bits_withSeed(name.data(), name.size(), seed);
}

RandomElements::RandomElements(const std::string& name, uint64_t seed, const TensorSpec& tensor,
                               const WeightSpec* weight, DType dtype)
    : random_(seed_of(name, seed), distribution(tensor, weight == nullptr ? 0.0f : weight->offset)),
      limit_(weight == nullptr ? 0 : weight->limit),
      cols_(tensor.shape.back()),
      dtype_(dtype) {}

void RandomElements::fill(int64_t n, std::vector<std::byte>& out) {
  out.resize(static_cast<size_t>(n) * bytes_per_element(dtype_));
  for (int64_t e = 0; e < n; ++e) {
    if (dtype_ == DType::kI64) {
      reinterpret_cast<int64_t*>(out.data())[e] = next_index();
    } else if (dtype_ == DType::kF32) {
      reinterpret_cast<float*>(out.data())[e] = random_.next();
    } else {
      reinterpret_cast<bf16*>(out.data())[e] = to_bf16(random_.next());
    }
  }
}

// A row's indices follow one another from a random one on, so that they differ.
int64_t RandomElements::next_index() {
  if (index_++ % cols_ == 0)
    first_ = static_cast<int64_t>(random_.bits() % static_cast<uint64_t>(limit_));
  return (first_ + (index_ - 1) % cols_) % limit_;
}

}  // namespace longhaul
