#include "kernels/rates.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/buffer.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/cpu_ops.h"

namespace longhaul {
namespace {

using Clock = std::chrono::steady_clock;

// The mean of passes for a while: what other programs take away, they take from the model too.
double mean_seconds(auto&& pass) {
  constexpr auto kWhile = std::chrono::milliseconds(120);
  constexpr int kLeast = 3;
  pass();  // pages and caches
  const auto start = Clock::now();
  int n = 0;
  while (n < kLeast || Clock::now() < start + kWhile) {
    pass();
    ++n;
  }
  return std::chrono::duration<double>(Clock::now() - start).count() / n;
}

Result<Buffer> filled(uint64_t bytes, int fill) {
  LH_TRY(Buffer buffer, Buffer::allocate(std::max<uint64_t>(bytes, 1)));
  std::memset(buffer.data(), fill, buffer.size());
  return buffer;
}

constexpr uint64_t kPassBytes = uint64_t{48} << 20;
constexpr int kSmallFloats = 0x3b;   // about 0.003, in bf16 and in f32
constexpr int kLargeFactors = 0x7b;  // of blocks: with scales that make no subnormal products

// A matrix as often as a model has ones like it, with inputs for so many rows.
class Products {
 public:
  static Result<Products> create(const ProductCase& c, int64_t n, int64_t n_copies,
                                 int64_t n_rows) {
    Products p;
    p.case_ = c;
    p.n_ = n;
    p.n_copies_ = n_copies;
    p.n_rows_ = n_rows;
    const auto floats = [&](int64_t width) { return static_cast<uint64_t>(n_rows * width) * 4; };
    LH_TRY(p.weights_, filled(c.codec->bytes(n, c.k) * static_cast<uint64_t>(n_copies),
                              c.codec->is_plain ? kSmallFloats : kLargeFactors));
    LH_TRY(p.x_, filled(floats(c.k), kSmallFloats));
    LH_TRY(p.y_, filled(floats(n), 0));
    LH_TRY(p.scratch_, filled(matmul_scratch_bytes(p.matrix(0), n_rows), 0));
    return p;
  }

  void multiply(const Compute& compute, int64_t copy) {
    Matmul product{.x = reinterpret_cast<const float*>(x_.data()),
                   .x_stride = case_.k,
                   .w = matrix(copy % n_copies_),
                   .y = reinterpret_cast<float*>(y_.data()),
                   .y_stride = n_,
                   .m = n_rows_};
    matmul(compute, {&product, 1}, scratch_.bytes());
  }

 private:
  PackedMatrix matrix(int64_t copy) const {
    const uint64_t at = case_.codec->bytes(n_, case_.k) * static_cast<uint64_t>(copy);
    return {weights_.data() + at, case_.codec, n_, case_.k, case_.has_fine_inputs};
  }

  ProductCase case_;
  int64_t n_ = 0, n_copies_ = 0, n_rows_ = 0;
  Buffer weights_, x_, y_, scratch_;
};

// Fewer outputs than asked for, where all of them were too much to read or to multiply.
int64_t outputs(const ProductCase& c, int64_t most) {
  return std::min(c.n, std::max(kPanel, most / kPanel * kPanel));
}

// Of one row and n outputs. Passes of some milliseconds go round the copies.
Result<double> product_seconds(const Compute& compute, const ProductCase& c, int64_t n) {
  const uint64_t bytes = c.codec->bytes(n, c.k);
  const auto copies =
      static_cast<int64_t>(std::max<uint64_t>(1, std::min(kRateBytes, c.model_bytes) / bytes));
  const int64_t per_pass = std::clamp<int64_t>(static_cast<int64_t>(kPassBytes / bytes), 1, copies);
  LH_TRY(Products products, Products::create(c, n, copies, 1));
  int64_t next = 0;
  const double seconds = mean_seconds([&] {
    for (int64_t i = 0; i < per_pass; ++i) products.multiply(compute, next++);
  });
  return seconds / static_cast<double>(per_pass);
}

// Two sizes tell what a product takes by itself from what its weights take.
Status measure_one_row(const Compute& compute, const ProductCase& c, ProductRate& rate) {
  const auto panel = static_cast<int64_t>(c.codec->layout.panel_bytes(c.k));
  const int64_t n = outputs(c, static_cast<int64_t>(kPassBytes) / panel * kPanel);
  ProductCase one_panel = c;
  one_panel.model_bytes = static_cast<uint64_t>(panel);
  LH_TRY(const double small, product_seconds(compute, one_panel, kPanel));
  LH_TRY(const double large, product_seconds(compute, c, n));
  rate.seconds_per_product = std::min(small, large / 2);
  rate.read_bytes_per_second =
      static_cast<double>(c.codec->bytes(n, c.k)) / (large - rate.seconds_per_product);
  return {};
}

Result<double> measure_many_rows(const Compute& compute, const ProductCase& c) {
  constexpr double kMostFlops = 2e9;
  const double flops_per_output = 2.0 * static_cast<double>(c.n_rows) * static_cast<double>(c.k);
  const int64_t n =
      outputs(c, std::max<int64_t>(256, static_cast<int64_t>(kMostFlops / flops_per_output)));
  LH_TRY(Products products, Products::create(c, n, 1, c.n_rows));
  const double seconds = mean_seconds([&] { products.multiply(compute, 0); });
  return flops_per_output * static_cast<double>(n) / seconds;
}

// A layer's cache of a usual shape, and queries at its end.
Result<double> attention_flops_per_second(const Compute& compute, DType kept, int64_t n_queries,
                                          int64_t context) {
  constexpr int64_t kPage = 256, kHeads = 8, kDim = 128;
  const Attention spec{.n_heads = kHeads, .layout = {1, kDim, kept}};
  const uint64_t page_bytes = spec.layout.block_bytes(kPage);
  const int64_t n_pages = ceil_div(context, kPage);
  LH_TRY(const Buffer cache, filled(page_bytes * static_cast<uint64_t>(n_pages), kSmallFloats));
  std::vector<KvSegment> segments;
  for (int64_t p = 0; p < n_pages; ++p)
    segments.push_back(
        {cache.data() + static_cast<uint64_t>(p) * page_bytes, kPage, 0, kPage, p * kPage});
  std::vector<int64_t> positions(static_cast<size_t>(n_queries));
  std::iota(positions.begin(), positions.end(), n_pages * kPage - n_queries);
  const int64_t width = kHeads * kDim;
  LH_TRY(const Buffer q, filled(static_cast<uint64_t>(n_queries * width) * 4, kSmallFloats));
  LH_TRY(const Buffer out, filled(q.size(), 0));
  LH_TRY(const Buffer scratch, filled(attention_scratch_bytes(spec, compute.pool->n_threads()), 0));
  const AttentionQueries queries{.q = reinterpret_cast<const float*>(q.data()),
                                 .out = reinterpret_cast<float*>(out.data()),
                                 .q_stride = width,
                                 .out_stride = width,
                                 .positions = positions,
                                 .segments = segments};
  const double seconds =
      mean_seconds([&] { attention(compute, spec, {&queries, 1}, scratch.bytes()); });
  const double keys =
      static_cast<double>(n_pages * kPage) - static_cast<double>(n_queries - 1) / 2.0;
  return 4.0 * keys * static_cast<double>(n_queries * width) / seconds;
}

// A norm and the activation of a gated MLP: the cheapest and the dearest of what comes often.
double seconds_of_two_calls(CpuOps& ops, Rows<float> a, Rows<float> b, Vector w) {
  return mean_seconds([&] {
    ops.norm(a, w, 1e-6f, b);
    ops.activate({}, b, a);  // `a` stays as it is: numbers that shrink would end as subnormal ones
  });
}

}  // namespace

Result<ProductRate> measure_product(const Compute& compute, const ProductCase& product) {
  ProductRate rate;
  LH_RETURN_IF_ERROR(measure_one_row(compute, product, rate));
  LH_TRY(rate.flops_per_second, measure_many_rows(compute, product));
  return rate;
}

Result<AttentionRate> measure_attention(const Compute& compute, DType kept) {
  AttentionRate rate;
  LH_TRY(rate.row_flops_per_second, attention_flops_per_second(compute, kept, 1, 4096));
  LH_TRY(rate.flops_per_second, attention_flops_per_second(compute, kept, 128, 2048));
  return rate;
}

Result<ElementRate> measure_elements(const Compute& compute, int64_t width) {
  constexpr int64_t kRows = 128;
  CpuOps ops(compute);
  const auto bytes = static_cast<uint64_t>(kRows * width) * sizeof(float);
  LH_TRY(const Buffer a, filled(bytes, kSmallFloats));
  LH_TRY(const Buffer b, filled(bytes, kSmallFloats));
  const std::vector<float> w(static_cast<size_t>(width), 1.0f);
  const Rows<float> rows_a(reinterpret_cast<float*>(a.data()), kRows, width),
      rows_b(reinterpret_cast<float*>(b.data()), kRows, width);
  return ElementRate{
      .seconds_per_call = seconds_of_two_calls(ops, rows_a.slice(0, 1), rows_b.slice(0, 1), w) / 2,
      .seconds_per_element =
          seconds_of_two_calls(ops, rows_a, rows_b, w) / 2 / static_cast<double>(rows_a.size())};
}

}  // namespace longhaul
