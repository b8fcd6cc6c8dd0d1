#include "kernels/cpu/shared_attention.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "kernels/kernels_testing.h"

namespace longhaul {
namespace {

// Rows of one kind, [n, head_dim], and the blocks that keep them.
struct Rows {
  KvLayout layout;
  std::vector<float> values;
  std::vector<AlignedBytes> blocks;
  std::vector<KvSegment> segments;

  Rows(const KvLayout& layout_, int64_t n, uint64_t seed)
      : layout(layout_), values(random_floats(n * layout_.head_dim, seed)) {}

  int64_t size() const { return static_cast<int64_t>(values.size()) / layout.head_dim; }
  const float* row(int64_t i) const { return values.data() + i * layout.head_dim; }
  std::byte* add_block(int64_t slots) {
    return blocks.emplace_back(layout.block_bytes(slots)).data();
  }

  // All rows, page after page.
  void in_pages(int64_t slots) {
    for (int64_t p = 0; p < size(); p += slots) {
      std::byte* block = add_block(slots);
      const int64_t n = std::min(slots, size() - p);
      for (int64_t i = 0; i < n; ++i) store_kv(layout, block, slots, i, row(p + i), nullptr);
      segments.push_back({block, slots, 0, n, p});
    }
  }
  // As a step sees a window: the last `slots` rows before `waiting` in a ring, the others in a
  // block of their own, with the rows of the panel that is open.
  void in_ring(int64_t slots, int64_t waiting) {
    std::byte* ring = add_block(slots);
    for (int64_t p = 0; p < waiting; ++p) store_kv(layout, ring, slots, p % slots, row(p), nullptr);
    const int64_t border = waiting / kPanel * kPanel;
    for (int64_t p = std::max<int64_t>(0, waiting - slots); p < border;) {
      const int64_t n = std::min(border - p, slots - p % slots);
      segments.push_back({ring, slots, p % slots, p % slots + n, p});
      p += n;
    }
    const int64_t room = round_up(size() - border, kPanel) + kPanel;
    std::byte* block = add_block(room);
    for (int64_t p = border; p < size(); ++p)
      store_kv(layout, block, room, kPanel + p - border, row(p), nullptr);
    segments.push_back({block, room, kPanel, kPanel + size() - border, border});
  }
};

// Queries at consecutive positions of one sequence that keeps `rows` and `entries`.
struct Case {
  Rows rows, entries;
  std::vector<int64_t> positions;
  std::vector<float> q, out;
  std::vector<int32_t> chosen;

  Case(const SharedAttention& spec, int64_t first, int64_t n, uint64_t seed)
      : rows(spec.layout, first + n, seed),
        entries(spec.layout, std::max<int64_t>(1, spec.visible_entries(first + n - 1)), seed + 1) {
    positions.resize(static_cast<size_t>(n));
    std::iota(positions.begin(), positions.end(), first);
    q = random_floats(n * spec.n_heads * spec.layout.head_dim, seed + 2);
    out.assign(q.size(), -7.0f);
    entries.in_pages(32);
    choose(spec, seed);
  }

  // A random subset of what each query sees, ascending; the places behind it hold nonsense.
  void choose(const SharedAttention& spec, uint64_t seed) {
    std::mt19937_64 random(seed);
    for (size_t t = 0; spec.top_k > 0 && t < positions.size(); ++t) {
      std::vector<int32_t> all(static_cast<size_t>(spec.visible_entries(positions[t])));
      std::iota(all.begin(), all.end(), 0);
      std::shuffle(all.begin(), all.end(), random);
      all.resize(static_cast<size_t>(spec.seen_entries(positions[t])));
      std::sort(all.begin(), all.end());
      all.resize(static_cast<size_t>(spec.top_k), INT32_MIN);
      chosen.insert(chosen.end(), all.begin(), all.end());
    }
  }

  SharedQueries view() {
    return {.q = q.data(),
            .out = out.data(),
            .positions = positions,
            .rows = rows.segments,
            .entries = entries.segments,
            .chosen = chosen.empty() ? nullptr : chosen.data()};
  }
};

// The definition in f64, of the stored (rounded) queries and rows.
std::vector<float> naive(const SharedAttention& spec, const Case& c) {
  const int64_t dim = spec.layout.head_dim;
  const auto stored = [&](float x) {
    return spec.layout.dtype == DType::kBF16 ? double{to_f32(to_bf16(x))} : double{x};
  };
  std::vector<float> out;
  for (size_t t = 0; t < c.positions.size(); ++t) {
    const int64_t p = c.positions[t];
    std::vector<const float*> seen;
    for (int64_t i = std::max<int64_t>(0, p - spec.window + 1); i <= p; ++i)
      seen.push_back(c.rows.row(i));
    for (int64_t i = 0; i < spec.seen_entries(p); ++i)
      seen.push_back(c.entries.row(
          spec.top_k == 0
              ? i
              : c.chosen[t * static_cast<size_t>(spec.top_k) + static_cast<size_t>(i)]));
    for (int64_t h = 0; h < spec.n_heads; ++h) {
      const float* q = c.q.data() + (static_cast<int64_t>(t) * spec.n_heads + h) * dim;
      const double sink = spec.sinks == nullptr ? -1e300 : double{spec.sinks[h]};
      std::vector<double> scores, sums(static_cast<size_t>(dim));
      for (const float* row : seen) {
        double score = 0.0;
        for (int64_t d = 0; d < dim; ++d) score += stored(q[d]) * stored(row[d]);
        scores.push_back(score * double{spec.scale});
      }
      const double max = std::max(sink, *std::max_element(scores.begin(), scores.end()));
      double total = std::exp(sink - max);
      for (size_t i = 0; i < seen.size(); ++i) {
        const double weight = std::exp(scores[i] - max);
        total += weight;
        for (int64_t d = 0; d < dim; ++d)
          sums[static_cast<size_t>(d)] += weight * stored(seen[i][d]);
      }
      for (double s : sums) out.push_back(static_cast<float>(s / total));
    }
  }
  return out;
}

void run(const KernelSet& set, int n_threads, const SharedAttention& spec,
         std::span<const SharedQueries> sequences) {
  ThreadPool pool(n_threads);
  const AlignedBytes scratch(shared_attention_scratch_bytes(spec, n_threads));
  std::memset(scratch.data(), 0xff,
              scratch.span().size());  // NaN: what is not written must not be read
  shared_attention({&set, &pool}, spec, sequences, scratch.span());
}

// Weights rounded to bf16 are off by at most 2^-9, so an average over |v| <= 1 is by less than
// that. In f32 a score is a sum of up to 512 terms that reaches 20; its error, some 2^-24 * 20 *
// sqrt(512) / 4, is the relative error of the weight.
double bound(const SharedAttention& spec) {
  return spec.layout.dtype == DType::kBF16 ? 4e-3 : 1e-5;
}

void expect_naive(const SharedAttention& spec, std::vector<Case>& cases, const std::string& what) {
  std::vector<std::vector<float>> expected;
  for (const Case& c : cases) expected.push_back(naive(spec, c));
  for (const KernelSet* set : all_kernel_sets()) {
    std::vector<std::vector<float>> one;
    for (int n_threads : {1, 2}) {
      std::vector<SharedQueries> views;
      for (Case& c : cases) {
        std::fill(c.out.begin(), c.out.end(), -7.0f);
        views.push_back(c.view());
      }
      run(*set, n_threads, spec, views);
      for (size_t i = 0; i < cases.size(); ++i) {
        if (n_threads == 2) {
          ASSERT_TRUE(bitwise_equal(cases[i].out, one[i]))
              << set->name << " " << what << ": depends on the number of threads";
          continue;
        }
        one.push_back(cases[i].out);
        for (size_t e = 0; e < expected[i].size(); ++e) {
          ASSERT_NEAR(cases[i].out[e], expected[i][e], bound(spec))
              << set->name << " " << to_string(spec.layout.dtype) << " " << what << " sequence "
              << i << " at " << e;
        }
      }
    }
  }
}

void expect_naive(const SharedAttention& spec, Case c, const std::string& what) {
  std::vector<Case> cases;
  cases.push_back(std::move(c));
  expect_naive(spec, cases, what);
}

SharedAttention make_spec(int64_t n_heads, int64_t head_dim, DType dtype, int64_t window,
                          int64_t ratio = 0, int64_t top_k = 0) {
  return {.n_heads = n_heads,
          .layout = {1, head_dim, dtype, RowKind::kShared},
          .scale = 0.7f,
          .window = window,
          .entry_ratio = ratio,
          .top_k = top_k};
}

Case paged(const SharedAttention& spec, int64_t first, int64_t n, uint64_t seed) {
  Case c(spec, first, n, seed);
  c.rows.in_pages(16);
  return c;
}

Case ringed(const SharedAttention& spec, int64_t first, int64_t n, uint64_t seed) {
  Case c(spec, first, n, seed);
  c.rows.in_ring(round_up(spec.window, kPanel), first);
  return c;
}

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16};

TEST(SharedAttention, AnyNumberOfHeadsOfAnySize) {
  for (DType dtype : kDTypes) {
    for (int64_t heads : {1, 2, 3, 5, 63, 64, 65, 127, 128, 129, 130}) {
      for (int64_t dim : {10, 16, 48, 512}) {
        if (dim == 512 && heads > 5 && heads != 64 && heads != 130) continue;
        const auto spec = make_spec(heads, dim, dtype, 20, 4);
        expect_naive(spec, ringed(spec, 30, 3, 7), fmt::format("{} heads of {}", heads, dim));
      }
    }
  }
}

TEST(SharedAttention, TheWindowEndsWhereItShould) {
  for (DType dtype : kDTypes) {
    for (int64_t window : {1, 2, 15, 16, 17, 128}) {
      for (int64_t first :
           {int64_t{0}, int64_t{1}, window - 1, window, window + 1, 2 * window + 3}) {
        for (int64_t n : {1, 5, 40}) {
          const auto spec = make_spec(2, 16, dtype, window, 4);
          expect_naive(spec, ringed(spec, first, n, 11),
                       fmt::format("window {} at {}, {} queries", window, first, n));
        }
      }
    }
    const auto spec = make_spec(2, 16, dtype, kUnboundedWindow);
    expect_naive(spec, paged(spec, 0, 50, 12), "no window");
  }
}

TEST(SharedAttention, EntriesAreSeenFromTheirLastTokenOn) {
  for (DType dtype : kDTypes) {
    for (int64_t ratio : {1, 2, 4, 7, 128}) {
      // One query each, so that no neighbour hides a wrong border.
      for (int64_t position :
           {int64_t{0}, ratio - 2, ratio - 1, ratio, 2 * ratio - 2, 2 * ratio - 1, 9 * ratio}) {
        if (position < 0) continue;
        const auto spec = make_spec(3, 16, dtype, 8, ratio);
        expect_naive(spec, ringed(spec, position, 1, 13),
                     fmt::format("1:{} at {}", ratio, position));
      }
    }
  }
}

TEST(SharedAttention, ChosenEntriesAloneAreSeen) {
  for (DType dtype : kDTypes) {
    for (int64_t top_k : {1, 2, 7, 16, 140}) {
      // Around the token from which on there is a choice, and behind it.
      for (int64_t first : {int64_t{0}, 4 * top_k - 9, 4 * top_k + 30}) {
        for (int64_t n : {1, 2, 17}) {
          const auto spec = make_spec(5, 48, dtype, 9, 4, top_k);
          expect_naive(spec, ringed(spec, std::max<int64_t>(0, first), n, 17),
                       fmt::format("top {} from {}, {} queries", top_k, first, n));
        }
      }
    }
  }
}

TEST(SharedAttention, ManyKeysOfOneQueryAreCutAndMerged) {
  for (DType dtype : kDTypes) {
    for (int64_t n_keys : {255, 256, 511, 512, 513, 1000, 5000}) {
      const auto windowed = make_spec(4, 16, dtype, kUnboundedWindow);
      expect_naive(windowed, paged(windowed, n_keys - 1, 1, 19), fmt::format("{} rows", n_keys));
      const auto entries = make_spec(4, 16, dtype, 100, 1);
      expect_naive(entries, ringed(entries, n_keys - 1, 1, 20), fmt::format("{} entries", n_keys));
      const auto chosen = make_spec(4, 16, dtype, 100, 1, 700);
      expect_naive(chosen, ringed(chosen, n_keys - 1, 1, 21),
                   fmt::format("700 of {} entries", n_keys));
    }
  }
}

TEST(SharedAttention, SinksTakeWeightAndGiveNothing) {
  for (DType dtype : kDTypes) {
    for (float sink : {-1e30f, -3.0f, 0.0f, 5.0f, 30.0f}) {
      std::vector<float> sinks;
      for (int h = 0; h < 6; ++h) sinks.push_back(sink + 0.1f * static_cast<float>(h));
      for (int64_t first : {0, 700}) {
        auto spec = make_spec(6, 16, dtype, 600, 4);
        spec.sinks = sinks.data();
        expect_naive(spec, ringed(spec, first, 1, 23),
                     fmt::format("sinks of {} at {}", sink, first));
        expect_naive(spec, ringed(spec, first, 9, 24),
                     fmt::format("sinks of {} from {}", sink, first));
      }
    }
  }
}

TEST(SharedAttention, SequencesOfAStepDoNotMix) {
  for (DType dtype : kDTypes) {
    for (int64_t top_k : {0, 6}) {
      const auto spec = make_spec(3, 16, dtype, 12, 4, top_k);
      std::vector<Case> cases;
      uint64_t seed = 29;
      // Some are cut into spans, some into blocks of queries.
      for (const auto& [first, n] :
           {std::pair<int64_t, int64_t>{0, 1}, {4000, 1}, {3, 60}, {100, 2}, {6000, 1}})
        cases.push_back(ringed(spec, first, n, seed += 3));
      expect_naive(spec, cases, "five sequences");
    }
  }
}

// What is said of top_k: where it holds everything, choosing and looking at everything are the
// same, to the last bit.
TEST(SharedAttention, ChoosingAllIsSeeingAll) {
  for (DType dtype : kDTypes) {
    for (const KernelSet* set : all_kernel_sets()) {
      for (int64_t n : {1, 30}) {
        for (int64_t first : {0, 17, 3000}) {
          const auto dense = make_spec(5, 48, dtype, 9, 4);
          const int64_t visible = std::max<int64_t>(1, dense.visible_entries(first + n - 1));
          for (int64_t top_k : {visible, visible + 1, 2 * visible}) {
            const auto choosing = make_spec(5, 48, dtype, 9, 4, top_k);
            Case all = ringed(dense, first, n, 31), chosen = ringed(choosing, first, n, 31);
            const SharedQueries a = all.view(), b = chosen.view();
            run(*set, 1, dense, {&a, 1});
            run(*set, 1, choosing, {&b, 1});
            ASSERT_TRUE(bitwise_equal(all.out, chosen.out))
                << set->name << " top " << top_k << " at " << first;
          }
        }
      }
    }
  }
}

std::vector<float> run_one(const KernelSet& set, int n_threads, const SharedAttention& spec,
                           Case& c) {
  const SharedQueries view = c.view();
  run(set, n_threads, spec, {&view, 1});
  return c.out;
}

// The windows, entries and choices that the families have, small: kept in every format.
std::vector<SharedAttention> kinds() {
  std::vector<SharedAttention> specs;
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
    specs.push_back(make_spec(5, 48, dtype, 9));
    specs.push_back(make_spec(5, 48, dtype, 130, 4));
    specs.push_back(make_spec(5, 48, dtype, 300, 2, 290));
    specs.push_back(make_spec(3, 48, dtype, kUnboundedWindow));
  }
  specs.push_back(make_spec(5, 96, DType::kBF16, 130, 4, 30));
  specs.back().layout.format = {RowCoding::kFp8ByE8M0, 32};
  return specs;
}

std::string name_of(const SharedAttention& spec, const KernelSet& set) {
  return fmt::format("{} {} window {} top {}", set.name, to_string(spec.layout.dtype), spec.window,
                     spec.top_k);
}

Case pages_or_ring(const SharedAttention& spec, int64_t first, int64_t n, bool in_ring,
                   uint64_t seed) {
  return in_ring && spec.window < first ? ringed(spec, first, n, seed)
                                        : paged(spec, first, n, seed);
}

TEST(SharedAttention, AQueryIsTheSameAloneAndBesideOthers) {
  for (const SharedAttention& spec : kinds()) {
    for (const KernelSet* set : all_kernel_sets()) {
      for (const int64_t first : {int64_t{0}, int64_t{555}, int64_t{1203}}) {
        const int64_t n = 33, width = spec.n_heads * spec.layout.head_dim;
        Case all = pages_or_ring(spec, first, n, true, 51);
        const auto expected = run_one(*set, 1, spec, all);
        for (int64_t size : {1, 2, 16}) {
          for (int64_t begin = 0; begin < n; begin += size) {
            const int64_t count = std::min(size, n - begin);
            SharedQueries some = all.view();
            some.q += begin * width;
            some.positions =
                some.positions.subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
            if (some.chosen != nullptr) some.chosen += begin * spec.top_k;
            run(*set, 1, spec, {&some, 1});
            ASSERT_TRUE(
                bitwise_equal(std::span(all.out).first(static_cast<size_t>(count * width)),
                              std::span(expected).subspan(static_cast<size_t>(begin * width),
                                                          static_cast<size_t>(count * width))))
                << name_of(spec, *set) << ": queries from " << begin << " in steps of " << size;
          }
        }
      }
    }
  }
}

TEST(SharedAttention, ARingGivesTheBitsOfPages) {
  for (const SharedAttention& spec : kinds()) {
    if (spec.window == kUnboundedWindow) continue;
    for (const KernelSet* set : all_kernel_sets()) {
      for (int64_t first : {1203, 1200, 1215}) {
        Case ring = pages_or_ring(spec, first, 20, true, 53),
             pages = pages_or_ring(spec, first, 20, false, 53);
        ASSERT_TRUE(bitwise_equal(run_one(*set, 1, spec, ring), run_one(*set, 1, spec, pages)))
            << name_of(spec, *set) << " at " << first;
      }
    }
  }
}

TEST(SharedAttention, SharedSpansAreThoseOfOneThread) {
  for (const SharedAttention& spec : kinds()) {
    for (const KernelSet* set : sets_but_ref()) {
      for (int64_t n : {1, 4}) {
        Case one = paged(spec, 9000, n, 55);
        const auto expected = run_one(*set, 1, spec, one);
        for (int threads : {2, 3, 8})
          ASSERT_TRUE(bitwise_equal(run_one(*set, threads, spec, one), expected))
              << name_of(spec, *set);
      }
    }
  }
}

TEST(SharedAttention, NothingToDoIsNoWork) {
  const auto spec = make_spec(2, 16, DType::kF32, 8, 4);
  run(ref_kernels(), 1, spec, {});
}

}  // namespace
}  // namespace longhaul
