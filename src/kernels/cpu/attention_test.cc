#include "kernels/cpu/attention.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "kernels/kernels_testing.h"
#include "kernels/kv/row_coding.h"

namespace longhaul {
namespace {

// One sequence's keys and values, [position, G, head_dim], and where they are kept.
struct Cache {
  KvLayout layout;
  int64_t n_positions = 0;
  std::vector<float> k, v;
  std::vector<AlignedBytes> blocks;
  std::vector<KvSegment> segments;

  Cache(const KvLayout& layout_, int64_t n, uint64_t seed)
      : layout(layout_),
        n_positions(n),
        k(random_floats(n * row(), seed)),
        v(random_floats(n * row(), seed + 1)) {}

  int64_t row() const { return layout.n_kv_heads * layout.head_dim; }

  std::byte* add_block(int64_t slots) {
    return blocks.emplace_back(layout.block_bytes(slots)).data();
  }

  void store(std::byte* block, int64_t slots, int64_t slot, int64_t position) {
    store_kv(layout, block, slots, slot, k.data() + position * row(), v.data() + position * row());
  }

  // Positions [first, end) from slot `begin` on.
  void add_segment(std::byte* block, int64_t slots, int64_t begin, int64_t first, int64_t end) {
    for (int64_t p = first; p < end; ++p) store(block, slots, begin + p - first, p);
    segments.push_back({block, slots, begin, begin + end - first, first});
  }

  void add_pages(int64_t slots, int64_t first, int64_t end) {
    for (int64_t p = first; p < end; p += slots)
      add_segment(add_block(slots), slots, 0, p, std::min(p + slots, end));
  }

  // The last `slots` positions before `end` in a ring where position p stands in slot p mod slots,
  // but for those behind the last border of a panel: two segments once it wrapped.
  void add_ring(int64_t slots, int64_t end) {
    std::byte* block = add_block(slots);
    for (int64_t p = 0; p < end; ++p) store(block, slots, p % slots, p);
    const int64_t border = end / kPanel * kPanel;
    for (int64_t p = std::max<int64_t>(0, end - slots); p < border;) {
      const int64_t n = std::min(border - p, slots - p % slots);
      segments.push_back({block, slots, p % slots, p % slots + n, p});
      p += n;
    }
  }
};

struct Queries {
  std::vector<int64_t> positions;
  std::vector<float> q, out;

  Queries(const Attention& spec, int64_t first, int64_t count, uint64_t seed) {
    for (int64_t t = 0; t < count; ++t) positions.push_back(first + t);
    q = random_floats(count * stride(spec), seed);
    out.assign(q.size(), -7.0f);
  }

  static int64_t stride(const Attention& spec) { return spec.n_heads * spec.layout.head_dim + 5; }

  AttentionQueries view(const Attention& spec, const Cache& cache) {
    return {q.data(), out.data(), stride(spec), stride(spec), positions, cache.segments};
  }
};

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kI8};

// A query as it meets keys; of 8-bit state it is rotated before it is rounded, and here turned
// back.
std::vector<double> rounded_query(const Attention& spec, const float* q) {
  const DType dtype = spec.layout.dtype;
  std::vector<float> x(q, q + spec.layout.head_dim);
  if (dtype == DType::kI8) rotate_row(x.data(), std::ssize(x));
  for (float& v : x) v = dtype == DType::kF32 ? v : to_f32(to_bf16(v));
  if (dtype == DType::kI8) rotate_row(x.data(), std::ssize(x));
  return {x.begin(), x.end()};
}

// A key or a value as it was stored: in 8 bits, rotated, codes of a scale that makes the largest
// 127. Turned back likewise.
std::vector<double> stored(const Attention& spec, const float* from) {
  if (spec.layout.dtype != DType::kI8) return rounded_query(spec, from);
  std::vector<float> x(from, from + spec.layout.head_dim);
  rotate_row(x.data(), std::ssize(x));
  float most = 0.0f;
  for (const float v : x) most = std::max(most, std::abs(v));
  const float scale = most / 127.0f, inverse = most > 0 ? 1.0f / scale : 0.0f;
  for (float& v : x) v = std::nearbyint(v * inverse) * scale;
  rotate_row(x.data(), std::ssize(x));
  return {x.begin(), x.end()};
}

// The definition: one softmax over all visible positions, in f64, of the stored (rounded) q, k and
// v.
std::vector<float> naive(const Attention& spec, const Cache& cache, const Queries& queries) {
  const int64_t dim = spec.layout.head_dim, group = spec.n_heads / spec.layout.n_kv_heads,
                stride = Queries::stride(spec);
  std::vector<float> out(queries.q.size(), -7.0f);
  for (size_t t = 0; t < queries.positions.size(); ++t) {
    const int64_t last = queries.positions[t], first = std::max<int64_t>(0, last - spec.window + 1);
    for (int64_t head = 0; head < spec.n_heads; ++head) {
      const int64_t row = static_cast<int64_t>(t) * stride + head * dim;
      std::vector<double> sums(static_cast<size_t>(dim)), scores;
      double total = 0.0, max = -1e300;
      const auto q = rounded_query(spec, queries.q.data() + row);
      for (int64_t p = first; p <= last; ++p) {
        double score = 0.0;
        const auto k = stored(spec, cache.k.data() + p * cache.row() + head / group * dim);
        for (size_t d = 0; d < q.size(); ++d) score += q[d] * k[d];
        scores.push_back(score * double{spec.scale});
        max = std::max(max, scores.back());
      }
      for (int64_t p = first; p <= last; ++p) {
        const double weight = std::exp(scores[static_cast<size_t>(p - first)] - max);
        const auto v = stored(spec, cache.v.data() + p * cache.row() + head / group * dim);
        total += weight;
        for (int64_t d = 0; d < dim; ++d)
          sums[static_cast<size_t>(d)] += weight * v[static_cast<size_t>(d)];
      }
      for (int64_t d = 0; d < dim; ++d)
        out[static_cast<size_t>(row + d)] =
            static_cast<float>(sums[static_cast<size_t>(d)] / total);
    }
  }
  return out;
}

// Weights rounded to bf16 are off by at most 2^-9, so an average over |v| <= 1 is by less than
// that. In f32 a score is a sum of up to 512 terms that reaches 20; its error, some 2^-24 * 20 *
// sqrt(512) / 4, is the relative error of the weight.
double bound(const Attention& spec) { return spec.layout.dtype == DType::kF32 ? 1e-5 : 4e-3; }

void run(const KernelSet& set, int n_threads, const Attention& spec,
         std::span<const AttentionQueries> sequences) {
  ThreadPool pool(n_threads);
  AlignedBytes scratch(attention_scratch_bytes(spec, n_threads));
  std::memset(scratch.data(), 0xff,
              scratch.span().size());  // NaN: what is not written must not be read
  attention({&set, &pool}, spec, sequences, scratch.span());
}

void expect_naive(const Attention& spec, const Cache& cache, Queries& queries, const char* what) {
  const auto expected = naive(spec, cache, queries);
  for (const KernelSet* set : all_kernel_sets()) {
    const AttentionQueries view = queries.view(spec, cache);
    run(*set, 1, spec, {&view, 1});
    const auto one = queries.out;
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(one[i], expected[i], bound(spec))
          << set->name << " " << to_string(spec.layout.dtype) << " " << what << " at " << i;
    }
    run(*set, 2, spec, {&view, 1});
    ASSERT_TRUE(bitwise_equal(queries.out, one))
        << set->name << " " << what << ": depends on the number of threads";
  }
}

Attention make_spec(int64_t n_heads, int64_t n_kv_heads, int64_t head_dim, DType dtype,
                    int64_t window = kUnboundedWindow) {
  return {
      .n_heads = n_heads, .layout = {n_kv_heads, head_dim, dtype}, .scale = 0.7f, .window = window};
}

TEST(Attention, HeadSizesAndGroups) {
  const std::pair<int64_t, int64_t> heads[] = {{8, 1}, {1, 1}, {4, 2}};
  for (DType dtype : kDTypes) {
    for (int64_t dim : {16, 24, 64, 65, 512}) {
      for (const auto& [n_heads, n_kv_heads] : heads) {
        const auto spec = make_spec(n_heads, n_kv_heads, dim, dtype);
        Cache cache(spec.layout, 150, 20);
        cache.add_pages(64, 0, 150);
        Queries queries(spec, 139, 11, 21);  // rows of one block and of several
        expect_naive(spec, cache, queries,
                     fmt::format("dim {} heads {}:{}", dim, n_heads, n_kv_heads).c_str());
      }
    }
  }
}

TEST(Attention, WindowsFromOneToAll) {
  for (DType dtype : kDTypes) {
    for (int64_t window : {int64_t{1}, int64_t{2}, int64_t{31}, int64_t{128}, int64_t{299},
                           int64_t{300}, int64_t{301}, kUnboundedWindow}) {
      const auto spec = make_spec(2, 1, 32, dtype, window);
      Cache cache(spec.layout, 300, 22);
      cache.add_pages(256, 0, 300);
      for (int64_t count : {1, 5, 40}) {
        Queries queries(spec, 300 - count, count, 23);
        expect_naive(spec, cache, queries,
                     fmt::format("window {} queries {}", window, count).c_str());
      }
    }
  }
}

TEST(Attention, FirstTokensOfASequence) {
  for (DType dtype : kDTypes) {
    const auto spec = make_spec(4, 2, 48, dtype, 7);
    Cache cache(spec.layout, 20, 24);
    cache.add_pages(256, 0, 20);
    Queries queries(spec, 0, 20, 25);
    expect_naive(spec, cache, queries, "prefill from 0");
  }
}

TEST(Attention, RingThatWrappedWithTheNewRowsBeside) {
  for (DType dtype : kDTypes) {
    for (int64_t past : {3, 63, 64, 65, 150}) {
      const auto spec = make_spec(4, 2, 32, dtype, 64);
      const int64_t n_new = 9;
      Cache cache(spec.layout, past + n_new, 26);
      cache.add_ring(64, past);
      cache.add_segment(cache.add_block(48), 48, 16, past / kPanel * kPanel,
                        past + n_new);  // in flight
      Queries queries(spec, past, n_new, 27);
      expect_naive(spec, cache, queries, fmt::format("ring, past {}", past).c_str());
    }
  }
}

TEST(Attention, LongContextIsSplitAndMerged) {
  for (DType dtype : kDTypes) {
    for (int64_t n : {255, 512, 1025, 5000}) {
      const auto spec = make_spec(8, 2, 32, dtype);
      Cache cache(spec.layout, n, 28);
      cache.add_pages(256, 0, n);
      Queries queries(spec, n - 3, 3, 29);
      expect_naive(spec, cache, queries, fmt::format("context {}", n).c_str());
    }
  }
}

TEST(Attention, SequencesTogetherEqualEachAlone) {
  const auto spec = make_spec(4, 2, 32, DType::kBF16, 700);
  std::vector<Cache> caches;
  std::vector<Queries> queries;
  const std::pair<int64_t, int64_t> shapes[] = {{900, 1}, {40, 40}, {2000, 2}, {1, 1}, {600, 30}};
  for (const auto& [n, count] : shapes) {
    caches.emplace_back(spec.layout, n, 30 + static_cast<uint64_t>(n)).add_pages(256, 0, n);
    queries.emplace_back(spec, n - count, count, 31);
  }
  for (const KernelSet* set : all_kernel_sets()) {
    std::vector<AttentionQueries> views;
    for (size_t i = 0; i < caches.size(); ++i) views.push_back(queries[i].view(spec, caches[i]));
    run(*set, 2, spec, views);
    for (size_t i = 0; i < caches.size(); ++i) {
      const auto together = queries[i].out;
      run(*set, 1, spec, {&views[i], 1});
      EXPECT_TRUE(bitwise_equal(queries[i].out, together)) << set->name << " sequence " << i;
    }
  }
}

// Results of all heads for a query, the gap behind them left out.
std::vector<float> row_of(const Attention& spec, const Queries& queries, int64_t t) {
  const auto begin = queries.out.begin() + t * Queries::stride(spec);
  return {begin, begin + spec.n_heads * spec.layout.head_dim};
}

std::vector<float> run_one(const KernelSet& set, int n_threads, const Attention& spec,
                           const Cache& cache, Queries queries) {
  const AttentionQueries view = queries.view(spec, cache);
  run(set, n_threads, spec, {&view, 1});
  return queries.out;
}

// Of queries [first, first + n): in one step, in steps of several sizes, each alone.
void expect_rows_alike(const Attention& spec, const Cache& cache, int64_t first, int64_t n,
                       std::initializer_list<int64_t> sizes, const std::string& what) {
  const Queries all(spec, first, n, 41);
  for (const KernelSet* set : all_kernel_sets()) {
    const auto expected = run_one(*set, 1, spec, cache, all);
    for (const int64_t size : sizes) {
      for (int64_t begin = 0; begin < n; begin += size) {
        Queries some = all;
        some.positions = {all.positions.begin() + begin,
                          all.positions.begin() + std::min(n, begin + size)};
        some.q.erase(some.q.begin(), some.q.begin() + begin * Queries::stride(spec));
        const auto out = run_one(*set, 1, spec, cache, some);
        for (size_t t = 0; t < some.positions.size(); ++t) {
          const int64_t row = begin + static_cast<int64_t>(t);
          const auto width = static_cast<size_t>(spec.n_heads * spec.layout.head_dim),
                     stride = static_cast<size_t>(Queries::stride(spec));
          ASSERT_TRUE(
              bitwise_equal(std::span(out).subspan(t * stride, width),
                            std::span(expected).subspan(static_cast<size_t>(row) * stride, width)))
              << set->name << " " << to_string(spec.layout.dtype) << " " << what << ": query "
              << row << " of " << n << " in steps of " << size;
        }
      }
    }
  }
}

TEST(Attention, AQueryIsTheSameAloneAndBesideOthers) {
  for (DType dtype : kDTypes) {
    for (int64_t window : {int64_t{1}, int64_t{7}, int64_t{130}, int64_t{600}, kUnboundedWindow}) {
      const auto spec = make_spec(4, 2, 24, dtype, window);
      Cache cache(spec.layout, 1100, 36);
      cache.add_pages(256, 0, 1100);
      expect_rows_alike(spec, cache, 1000, 100, {1, 7, 16, 64}, fmt::format("window {}", window));
      expect_rows_alike(spec, cache, 0, 40, {1, 3, 15}, fmt::format("window {} from 0", window));
    }
  }
}

// Rings of several sizes with new rows in flight, and pages: where a key is kept changes nothing.
TEST(Attention, ARingGivesTheBitsOfPages) {
  for (DType dtype : kDTypes) {
    for (const auto& [window, past] :
         {std::pair<int64_t, int64_t>{5, 37}, {64, 150}, {100, 1000}, {300, 1003}, {300, 17}}) {
      const auto spec = make_spec(4, 2, 24, dtype, window);
      const int64_t n = 40;
      Cache pages(spec.layout, past + n, 38);
      pages.add_pages(256, 0, past + n);
      for (int64_t slots :
           {round_up(window, kPanel), round_up(window, kPanel) + 16, round_up(past, kPanel)}) {
        if (slots < std::min(window, past)) continue;
        Cache ring(spec.layout, past + n, 38);
        ring.add_ring(slots, past);
        ring.add_segment(ring.add_block(96), 96, 32, past / kPanel * kPanel, past + n);
        const Queries queries(spec, past, n, 39);
        for (const KernelSet* set : all_kernel_sets()) {
          ASSERT_TRUE(bitwise_equal(run_one(*set, 1, spec, ring, queries),
                                    run_one(*set, 1, spec, pages, queries)))
              << set->name << " " << to_string(dtype) << " window " << window << ", " << past
              << " positions in " << slots << " slots";
        }
      }
    }
  }
}

// One thread goes through a block's spans, several share them, in one wave or more.
TEST(Attention, SharedSpansAreThoseOfOneThread) {
  for (DType dtype : kDTypes) {
    for (const auto& [n, count] :
         {std::pair<int64_t, int64_t>{513, 1}, {3000, 1}, {3000, 9}, {20000, 1}, {20000, 24}}) {
      const auto spec = make_spec(2, 1, 16, dtype);
      Cache cache(spec.layout, n, 44);
      cache.add_pages(256, 0, n);
      const Queries queries(spec, n - count, count, 45);
      for (const KernelSet* set : sets_but_ref()) {
        const auto expected = run_one(*set, 1, spec, cache, queries);
        for (int threads : {2, 3, 8})
          ASSERT_TRUE(bitwise_equal(run_one(*set, threads, spec, cache, queries), expected))
              << set->name << " " << n << " " << count;
      }
    }
    const auto windowed = make_spec(8, 1, 16, dtype, 1500);
    Cache cache(windowed.layout, 4000, 46);
    cache.add_pages(256, 0, 4000);
    const Queries queries(windowed, 3998, 2, 47);
    for (const KernelSet* set : all_kernel_sets())
      ASSERT_TRUE(bitwise_equal(run_one(*set, 3, windowed, cache, queries),
                                run_one(*set, 1, windowed, cache, queries)))
          << set->name;
  }
}

// A page of keys that stands for every page of a million positions.
TEST(Attention, FarSpansAreFoldedAlike) {
  for (DType dtype : {DType::kBF16, DType::kI8}) {
    const auto spec = make_spec(2, 1, 16, dtype);
    const int64_t n = (int64_t{1} << 20) + 77;
    Cache cache(spec.layout, 256, 48);
    cache.add_pages(256, 0, 256);
    const KvSegment page = cache.segments.front();
    cache.segments.clear();
    for (int64_t p = 0; p < n; p += 256)
      cache.segments.push_back({page.block, 256, 0, std::min<int64_t>(256, n - p), p});
    const Queries queries(spec, n - 2, 2, 49);
    const KernelSet& set = *all_kernel_sets().back();
    const auto expected = run_one(set, 1, spec, cache, queries);
    EXPECT_TRUE(bitwise_equal(run_one(set, 3, spec, cache, queries), expected));
    Queries last = queries;
    last.positions.erase(last.positions.begin());
    last.q.erase(last.q.begin(), last.q.begin() + Queries::stride(spec));
    last.out = run_one(set, 2, spec, cache, last);
    EXPECT_TRUE(
        bitwise_equal(row_of(spec, last, 0),
                      std::span(expected).subspan(static_cast<size_t>(Queries::stride(spec)), 32)));
  }
}

TEST(Attention, LargeScoresDoNotOverflow) {
  for (DType dtype : kDTypes) {
    auto spec = make_spec(2, 1, 16, dtype);
    spec.scale = 1e4f;
    Cache cache(spec.layout, 400, 32);
    cache.add_pages(256, 0, 400);
    Queries queries(spec, 399, 1, 33);
    const AttentionQueries view = queries.view(spec, cache);
    for (const KernelSet* set : all_kernel_sets()) {
      run(*set, 1, spec, {&view, 1});
      for (int64_t d = 0; d < 32; ++d)
        EXPECT_LE(std::abs(queries.out[static_cast<size_t>(d)]), 1.0f) << set->name;
    }
  }
}

TEST(Attention, CopiedPositionsAreTheSame) {
  for (DType dtype : kDTypes) {
    const auto spec = make_spec(4, 2, 24, dtype);
    Cache cache(spec.layout, 30, 34), copied(spec.layout, 30, 34);
    cache.add_pages(32, 0, 30);
    std::byte* block = copied.add_block(64);
    for (int64_t p = 0; p < 30; ++p)
      copy_kv(spec.layout, cache.segments[0].block, 32, p, block, 64, p + 16, 1);
    copied.segments.push_back({block, 64, 16, 46, 0});
    Queries queries(spec, 29, 1, 35);
    expect_naive(spec, copied, queries, "copied");
  }
}

}  // namespace
}  // namespace longhaul
