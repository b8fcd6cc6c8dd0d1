#include "kernels/roofline.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

namespace longhaul {
namespace {

constexpr int64_t kBufferBytes = int64_t{512} << 20;
constexpr int64_t kChunkBytes = int64_t{1} << 20;
constexpr int kPasses = 15;
constexpr int64_t kPeakRounds = 200'000;

double seconds_of(auto&& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Reads every byte: plain sums that the compiler turns into 16-byte loads, many times faster than memory is.
uint64_t read_chunk(const uint64_t* words, int64_t n_words) {
  uint64_t sums[8] = {};
  for (int64_t i = 0; i < n_words; i += 8) {
    for (int64_t j = 0; j < 8; ++j) sums[j] += words[i + j];
  }
  uint64_t total = 0;
  for (uint64_t sum : sums) total += sum;
  return total;
}

void measure_reads(const Compute& compute, Roofline& roofline) {
  constexpr int64_t kWords = kChunkBytes / static_cast<int64_t>(sizeof(uint64_t)), kChunks = kBufferBytes / kChunkBytes;
  // Ones, because never written pages of zeros would all be the same page.
  const std::vector<uint64_t> buffer(static_cast<size_t>(kWords * kChunks), 1);
  std::atomic<uint64_t> total{0};
  std::vector<double> speeds;
  for (int pass = 0; pass < kPasses; ++pass) {
    const double seconds = seconds_of([&] {
      compute.pool->run(kChunks, [&](int64_t chunk, int) { total += read_chunk(buffer.data() + chunk * kWords, kWords); });
    });
    speeds.push_back(static_cast<double>(kBufferBytes) / seconds);
  }
  std::sort(speeds.begin(), speeds.end());
  roofline.read_bytes_per_second = speeds.back();
  roofline.median_read_bytes_per_second = speeds[speeds.size() / 2];
}

double measure_peak(const Compute& compute, int64_t (*peak)(int64_t rounds)) {
  const int n_threads = compute.pool->n_threads();
  double best = 0.0;
  for (int pass = 0; pass < kPasses; ++pass) {
    std::atomic<int64_t> multiply_adds{0};
    const double seconds = seconds_of([&] {
      compute.pool->run(n_threads, [&](int64_t, int) { multiply_adds += peak(kPeakRounds); });
    });
    best = std::max(best, 2.0 * static_cast<double>(multiply_adds) / seconds);
  }
  return best;
}

}  // namespace

Roofline measure_roofline(const Compute& compute) {
  Roofline roofline;
  measure_reads(compute, roofline);
  roofline.bf16_flops_per_second = measure_peak(compute, compute.kernels->peak_bf16);
  roofline.f32_flops_per_second = measure_peak(compute, compute.kernels->peak_f32);
  return roofline;
}

}  // namespace longhaul
