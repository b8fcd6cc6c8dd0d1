// Matrix products and attention of real shapes as shares of what the machine can do: the dot peak
// and the read bandwidth.
//   kernels_bench [threads]     LONGHAUL_KERNELS picks the set
//   kernels_bench --onednn      products of many rows beside oneDNN's, on one thread
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "base/buffer.h"
#include "kernels/cpu/attention.h"
#include "kernels/roofline.h"
#include "onednn.h"

namespace longhaul {
namespace {

// Filled with one byte: 0x3b makes small numbers in bf16 and in f32 (about 0.003). In huge pages
// where large, as the engine has it.
Buffer allocate(uint64_t bytes, int fill = 0x3b) {
  auto buffer = Buffer::allocate(std::max<uint64_t>(bytes, 1));
  if (!buffer.ok()) {
    fmt::print(stderr, "{}\n", buffer.error().message);
    std::exit(exit_status(buffer.error().code));
  }
  std::memset(buffer->data(), fill, buffer->size());
  return std::move(*buffer);
}

// The best of enough runs to fill about a third of a second.
template <class Body>
double best_seconds(const Body& body) {
  double best = 1e9, total = 0.0;
  for (int i = 0; i < 5 || (total < 0.35 && i < 2000); ++i) {
    const auto start = std::chrono::steady_clock::now();
    body(i);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::min(best, seconds);
    total += seconds;
  }
  return best;
}

double peak_of(const Roofline& roofline, InputCoding inputs) {
  if (is_int8(inputs)) return roofline.int8_flops_per_second;
  return inputs == InputCoding::kF32 ? roofline.f32_flops_per_second
                                     : roofline.bf16_flops_per_second;
}

// Copies of a matrix with what multiplies by them.
class MatmulCase {
 public:
  MatmulCase(const Codec& codec, int64_t m, int64_t k, int64_t n, int64_t copies)
      : codec_(codec),
        m_(m),
        k_(k),
        n_(n),
        weights_(allocate(codec.bytes(n, k) * static_cast<uint64_t>(copies),
                          codec.is_plain ? 0x3b : kLargeFactors)),
        x_(allocate(static_cast<uint64_t>(m * k) * sizeof(float))),
        y_(allocate(static_cast<uint64_t>(m * n) * sizeof(float))),
        scratch_(allocate(matmul_scratch_bytes(matrix(0), m))) {}

  void multiply(const Compute& compute, int64_t copy) {
    Matmul product{.x = reinterpret_cast<const float*>(x_.data()),
                   .x_stride = k_,
                   .w = matrix(copy),
                   .y = reinterpret_cast<float*>(y_.data()),
                   .y_stride = n_,
                   .m = m_};
    matmul(compute, {&product, 1}, {scratch_.data(), matmul_scratch_bytes(product.w, m_)});
  }

 private:
  PackedMatrix matrix(int64_t copy) const {
    return {weights_.data() + static_cast<uint64_t>(copy) * codec_.bytes(n_, k_), &codec_, n_, k_};
  }
  // of block formats, whose products with scales must not be subnormal: those are slow
  static constexpr int kLargeFactors = 0x7b;
  const Codec& codec_;
  int64_t m_, k_, n_;
  Buffer weights_, x_, y_, scratch_;
};

void bench_matmul(const Compute& compute, const Roofline& roofline, const Codec& codec, int64_t m,
                  int64_t k, int64_t n) {
  // Few rows read the weights from memory: as many matrices as a model has, so that no cache holds
  // them; a pass of a few ms, which often escapes other programs, multiplies by some of them.
  constexpr uint64_t kModelBytes = uint64_t{1} << 30, kPassBytes = uint64_t{64} << 20;
  const auto bytes = codec.bytes(n, k);
  const auto copies = m > 8 ? 1 : std::max<int64_t>(1, static_cast<int64_t>(kModelBytes / bytes));
  const auto copies_per_pass =
      std::clamp<int64_t>(static_cast<int64_t>(kPassBytes / bytes), 1, copies);
  MatmulCase matmul(codec, m, k, n, copies);
  const double seconds = best_seconds([&](int pass) {
    for (int64_t i = 0; i < copies_per_pass; ++i)
      matmul.multiply(compute, (pass * copies_per_pass + i) % copies);
  });
  const double flops = 2.0 * static_cast<double>(m * k * n * copies_per_pass) / seconds;
  const double read = static_cast<double>(bytes) * static_cast<double>(copies_per_pass) / seconds;
  fmt::print(
      "matmul {:<7} M={:<4} K={:<5} N={:<6} {:8.1f} GFLOP/s {:5.1f} % of peak   {:6.1f} GB/s "
      "{:5.1f} % of bandwidth\n",
      codec.name, m, k, n, flops / 1e9, 100.0 * flops / peak_of(roofline, codec.inputs), read / 1e9,
      100.0 * read / roofline.read_bytes_per_second);
}

constexpr std::pair<int64_t, int64_t> kShapes[] = {
    {1536, 6144}, {6144, 1536}, {1536, 2048}};  // K, N: E2B's

int compare_with_onednn(const Compute& compute) {
  for (const Codec* codec : {&kQ4Codec, &kQ8Codec, &kBf16Codec}) {
    for (const auto& [k, n] : kShapes) {
      for (int64_t m : {64, 512}) {
        const auto theirs =
            onednn_product(codec == &kBf16Codec ? DType::kBF16 : DType::kI8, m, k, n);
        if (!theirs) {
          fmt::print(stderr,
                     "no oneDNN to compare with: install libdnnl-dev, configure and build "
                     "kernels_bench again\n");
          return 2;
        }
        MatmulCase ours(*codec, m, k, n, 1);
        const double flops = 2.0 * static_cast<double>(m * k * n),
                     own = flops / best_seconds([&](int) { ours.multiply(compute, 0); }),
                     other = flops / best_seconds([&](int) { (*theirs)(); });
        fmt::print(
            "matmul {:<4} M={:<4} K={:<5} N={:<6} {:7.1f} GFLOP/s, oneDNN {} {:7.1f}: {:5.1f} %\n",
            codec->name, m, k, n, own / 1e9, codec == &kBf16Codec ? "bf16" : "int8", other / 1e9,
            100.0 * own / other);
      }
    }
  }
  return 0;
}

void bench_attention(const Compute& compute, const Roofline& roofline, DType dtype, int64_t heads,
                     int64_t kv_heads, int64_t dim, int64_t queries, int64_t context) {
  constexpr int64_t kPage = 256;
  const Attention spec{.n_heads = heads, .layout = {kv_heads, dim, dtype}};
  const int64_t n_pages = ceil_div(context, kPage);
  const auto page_bytes = spec.layout.block_bytes(kPage);
  const Buffer cache = allocate(page_bytes * static_cast<uint64_t>(n_pages));
  std::vector<KvSegment> segments;
  for (int64_t p = 0; p < n_pages; ++p) {
    segments.push_back({cache.data() + static_cast<uint64_t>(p) * page_bytes, kPage, 0,
                        std::min(kPage, context - p * kPage), p * kPage});
  }
  std::vector<int64_t> positions;
  for (int64_t t = 0; t < queries; ++t) positions.push_back(context - queries + t);
  const int64_t stride = heads * dim;
  const Buffer q = allocate(static_cast<uint64_t>(queries * stride) * sizeof(float)),
               out = allocate(static_cast<uint64_t>(queries * stride) * sizeof(float));
  const uint64_t scratch_bytes = attention_scratch_bytes(spec, compute.pool->n_threads());
  const Buffer scratch = allocate(scratch_bytes);
  const AttentionQueries sequence{.q = reinterpret_cast<const float*>(q.data()),
                                  .out = reinterpret_cast<float*>(out.data()),
                                  .q_stride = stride,
                                  .out_stride = stride,
                                  .positions = positions,
                                  .segments = segments};
  const double seconds = best_seconds(
      [&](int) { attention(compute, spec, {&sequence, 1}, {scratch.data(), scratch_bytes}); });
  const double pairs = static_cast<double>(queries) *
                       (static_cast<double>(context) - static_cast<double>(queries - 1) / 2.0);
  const double flops = 4.0 * pairs * static_cast<double>(heads * dim) / seconds;
  const double read = static_cast<double>(page_bytes) * static_cast<double>(n_pages) / seconds;
  const double peak =
      peak_of(roofline, dtype == DType::kF32 ? InputCoding::kF32 : InputCoding::kBf16);
  fmt::print(
      "attention {} H={} G={} d={:<3} T={:<4} S={:<6} {:8.3f} ms {:8.1f} GFLOP/s {:5.1f} % of peak "
      "  {:6.1f} GB/s {:5.1f} % of bandwidth\n",
      to_string(dtype), heads, kv_heads, dim, queries, context, seconds * 1e3, flops / 1e9,
      100.0 * flops / peak, read / 1e9, 100.0 * read / roofline.read_bytes_per_second);
}

// names: of the codecs to measure; none: all, and attention
int run(int n_threads, bool with_onednn, std::span<const char* const> names) {
  const auto kernels = choose_kernels();
  if (!kernels.ok()) {
    fmt::print(stderr, "{}\n", kernels.error().message);
    return exit_status(kernels.error().code);
  }
  ThreadPool pool(n_threads);
  const Compute compute{*kernels, &pool};
  if (with_onednn) return compare_with_onednn(compute);
  const auto measured = measure_roofline(compute);
  if (!measured.ok()) {
    fmt::print(stderr, "{}\n", measured.error().message);
    return exit_status(measured.error().code);
  }
  const Roofline& roofline = *measured;
  fmt::print(
      "{} threads {}: reads {:.1f} GB/s (median {:.1f}), dots: int8 {:.1f}, bf16 {:.1f}, f32 "
      "{:.1f} GFLOP/s\n",
      (*kernels)->name, n_threads, roofline.read_bytes_per_second / 1e9,
      roofline.median_read_bytes_per_second / 1e9, roofline.int8_flops_per_second / 1e9,
      roofline.bf16_flops_per_second / 1e9, roofline.f32_flops_per_second / 1e9);
  const auto is_wanted = [&](const Codec* codec) {
    return names.empty() || std::any_of(names.begin(), names.end(), [&](const char* name) {
             return std::string_view(name) == codec->name;
           });
  };
  for (const Codec* codec : codecs()) {
    if (!is_wanted(codec)) continue;
    for (const auto& [k, n] : kShapes) {
      for (int64_t m : {1, 2, 4, 8, 64, 512}) bench_matmul(compute, roofline, *codec, m, k, n);
    }
  }
  if (!names.empty()) return 0;
  for (const Codec* codec : {&kQ4Codec, &kQ8Codec, &kBf16Codec})
    bench_matmul(compute, roofline, *codec, 1, 1536, 262144);
  for (DType dtype : {DType::kBF16, DType::kF32}) {
    bench_attention(compute, roofline, dtype, 8, 1, 512, 1, 32768);
    bench_attention(compute, roofline, dtype, 8, 1, 256, 1, 512);
    bench_attention(compute, roofline, dtype, 8, 1, 512, 64, 8192);
    bench_attention(compute, roofline, dtype, 8, 1, 256, 512, 512);
    bench_attention(compute, roofline, dtype, 16, 8, 128, 128, 4096);
  }
  return 0;
}

}  // namespace
}  // namespace longhaul

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "--onednn") return longhaul::run(1, true, {});
  return longhaul::run(
      argc > 1 ? std::max(1, std::atoi(argv[1])) : longhaul::default_thread_count(), false,
      std::span<const char* const>(argv, static_cast<size_t>(argc)).subspan(std::min(argc, 2)));
}
