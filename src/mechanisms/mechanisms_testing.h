// What the mechanisms' tests share: weights made here instead of loaded, and an environment around
// them.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <vector>

#include "kernels/kernels_testing.h"
#include "mechanisms/env.h"

namespace longhaul {

class TestEnv {
 public:
  explicit TestEnv(const KernelSet& kernels = ref_kernels(), int n_threads = 1)
      : pool_(n_threads), ops_(cpu_ops({&kernels, &pool_})), memory_(uint64_t{1} << 24) {
    std::memset(memory_.data(), 0xff,
                memory_.span().size());  // NaN: what is not written must not be read
    arena_ = Arena(memory_.span());
    env = {.ops = ops_.get(), .weights = &weights_, .scratch = &arena_};
  }

  WeightId vector(std::vector<float> values) {
    values_.push_back(std::move(values));
    return next({}, values_.back(), {});
  }
  // rows matrices' outputs, packed as f32
  WeightId matrix(const std::vector<float>& values, int64_t rows, int64_t cols) {
    packed_.emplace_back(kF32Codec.bytes(rows, cols));
    std::byte* out = packed_.back().data();
    EXPECT_TRUE(pack_rows(values.data(), DType::kF32, rows, cols, kF32Codec, out).ok());
    return next({out, &kF32Codec, rows, cols}, {}, {});
  }
  WeightId index(std::vector<int64_t> values, int64_t rows) {
    indices_.push_back(std::move(values));
    const std::vector<int64_t>& kept = indices_.back();
    return next({}, {},
                {reinterpret_cast<const std::byte*>(kept.data()), DType::kI64, rows,
                 static_cast<int64_t>(kept.size()) / rows});
  }

  Env env;

 private:
  WeightId next(const PackedMatrix& matrix, Vector vector, const LookupTable& table) {
    weights_.matrices.push_back(matrix);
    weights_.vectors.push_back(vector);
    weights_.tables.push_back(table);
    return static_cast<WeightId>(weights_.tables.size()) - 1;
  }

  ThreadPool pool_;
  std::unique_ptr<Ops> ops_;
  AlignedBytes memory_;
  Arena arena_;
  Weights weights_;
  std::deque<std::vector<float>> values_;
  std::deque<std::vector<int64_t>> indices_;
  std::deque<AlignedBytes> packed_;
};

}  // namespace longhaul
