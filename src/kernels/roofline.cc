#include "kernels/roofline.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <numeric>
#include <vector>

namespace longhaul {
namespace {

constexpr int64_t kPassBytes = int64_t{64} << 20;  // passes go round the buffer
constexpr int64_t kChunkBytes = int64_t{1} << 20;
constexpr int64_t kPeakRounds = 100'000;
constexpr auto kMarkTime = std::chrono::milliseconds(300);

double seconds_of(auto&& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A word of every cache line: whole lines come from memory, and even one load after another is many
// times faster than they do.
uint64_t read_chunk(const uint64_t* words, int64_t n_words) {
  constexpr int64_t kWordsALine = 8, kLines = 8;
  uint64_t sums[kLines] = {};
  for (int64_t i = 0; i < n_words; i += kLines * kWordsALine) {
    for (int64_t line = 0; line < kLines; ++line) sums[line] += words[i + line * kWordsALine];
  }
  return std::accumulate(std::begin(sums), std::end(sums), uint64_t{0});
}

// What one pass after another returns, for a while; ascending.
std::vector<double> speeds_of(auto&& pass) {
  std::vector<double> speeds;
  const auto end = std::chrono::steady_clock::now() + kMarkTime;
  while (std::chrono::steady_clock::now() < end) speeds.push_back(pass());
  std::sort(speeds.begin(), speeds.end());
  return speeds;
}

double measure_peak(const Compute& compute, int64_t (*peak)(int64_t rounds)) {
  const int n_threads = compute.pool->n_threads();
  const double flops = 2.0 * static_cast<double>(peak(1) * kPeakRounds * n_threads);
  const auto pass = [&] { compute.pool->run(n_threads, [&](int64_t, int) { peak(kPeakRounds); }); };
  return speeds_of([&] { return flops / seconds_of(pass); }).back();
}

}  // namespace

Result<ReadProbe> ReadProbe::create() {
  ReadProbe probe;
  LH_TRY(probe.buffer_, Buffer::allocate(kBytes));  // huge pages, as weights and caches have them
  // Pages that were never written would all be the same page of zeros.
  std::fill_n(reinterpret_cast<uint64_t*>(probe.buffer_.data()),
              kBytes / static_cast<int64_t>(sizeof(uint64_t)), uint64_t{1});
  return probe;
}

double ReadProbe::pass(const Compute& compute) {
  constexpr int64_t kWords = kChunkBytes / static_cast<int64_t>(sizeof(uint64_t)),
                    kChunks = kPassBytes / kChunkBytes;
  const auto* part = reinterpret_cast<const uint64_t*>(buffer_.data()) +
                     passes_++ % (kBytes / kPassBytes) * kChunks * kWords;
  std::atomic<uint64_t> total{0};
  return static_cast<double>(kPassBytes) / seconds_of([&] {
           compute.pool->run(kChunks, [&](int64_t chunk, int) {
             total += read_chunk(part + chunk * kWords, kWords);
           });
         });
}

double ReadProbe::now(const Compute& compute) {
  std::array<double, 5> speeds;
  for (double& speed : speeds) speed = pass(compute);
  std::sort(speeds.begin(), speeds.end());
  return speeds[speeds.size() / 2];
}

Result<Roofline> measure_roofline(const Compute& compute) {
  Roofline roofline;
  {
    LH_TRY(ReadProbe probe, ReadProbe::create());
    const auto reads = speeds_of([&] { return probe.pass(compute); });
    roofline.read_bytes_per_second = reads.back();
    roofline.median_read_bytes_per_second = reads[reads.size() / 2];
  }
  roofline.bf16_flops_per_second = measure_peak(compute, compute.kernels->peak_bf16);
  roofline.f32_flops_per_second = measure_peak(compute, compute.kernels->peak_f32);
  roofline.int8_flops_per_second = measure_peak(compute, compute.kernels->peak_int8);
  return roofline;
}

}  // namespace longhaul
