#include "kernels/roofline.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/buffer.h"

namespace longhaul {
namespace {

constexpr int64_t kBufferBytes = int64_t{512} << 20;
constexpr int64_t kPassBytes = int64_t{64} << 20;  // a pass of a few ms often escapes other programs; passes go round the buffer
constexpr int64_t kChunkBytes = int64_t{1} << 20;
constexpr int64_t kPeakRounds = 100'000;
constexpr double kSecondsPerMark = 0.3;

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

// Units per second of one pass after another.
std::vector<double> speeds_of(double units_per_pass, auto&& pass) {
  std::vector<double> speeds;
  double total = 0.0;
  for (int64_t i = 0; total < kSecondsPerMark; ++i) {
    const double seconds = seconds_of([&] { pass(i); });
    speeds.push_back(units_per_pass / seconds);
    total += seconds;
  }
  std::sort(speeds.begin(), speeds.end());
  return speeds;
}

Status measure_reads(const Compute& compute, Roofline& roofline) {
  constexpr int64_t kWords = kChunkBytes / static_cast<int64_t>(sizeof(uint64_t));
  constexpr int64_t kChunks = kPassBytes / kChunkBytes, kPasses = kBufferBytes / kPassBytes;
  LH_TRY(const Buffer buffer, Buffer::allocate(kBufferBytes));  // huge pages, as weights and caches have them
  auto* const words = reinterpret_cast<uint64_t*>(buffer.data());
  std::fill_n(words, kWords * kChunks * kPasses, uint64_t{1});  // pages that were never written would all be the same page of zeros
  std::atomic<uint64_t> total{0};
  const auto speeds = speeds_of(static_cast<double>(kPassBytes), [&](int64_t pass) {
    const uint64_t* part = words + pass % kPasses * kChunks * kWords;
    compute.pool->run(kChunks, [&](int64_t chunk, int) { total += read_chunk(part + chunk * kWords, kWords); });
  });
  roofline.read_bytes_per_second = speeds.back();
  roofline.median_read_bytes_per_second = speeds[speeds.size() / 2];
  return {};
}

double measure_peak(const Compute& compute, int64_t (*peak)(int64_t rounds)) {
  const int n_threads = compute.pool->n_threads();
  const double flops = 2.0 * static_cast<double>(peak(1) * kPeakRounds * n_threads);
  return speeds_of(flops, [&](int64_t) { compute.pool->run(n_threads, [&](int64_t, int) { peak(kPeakRounds); }); }).back();
}

}  // namespace

Result<Roofline> measure_roofline(const Compute& compute) {
  Roofline roofline;
  LH_RETURN_IF_ERROR(measure_reads(compute, roofline));
  roofline.bf16_flops_per_second = measure_peak(compute, compute.kernels->peak_bf16);
  roofline.f32_flops_per_second = measure_peak(compute, compute.kernels->peak_f32);
  roofline.int8_flops_per_second = measure_peak(compute, compute.kernels->peak_int8);
  return roofline;
}

}  // namespace longhaul
