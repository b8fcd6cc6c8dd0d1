#include "kernels/cpu/select_entries.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/codecs/quant_blocks.h"
#include "kernels/kernels_testing.h"
#include "kernels/kv/row_coding.h"

namespace longhaul {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Small integers: every score is one too and exact in each dtype and order of sums, so the choice
// is one, and ties are many.
std::vector<float> small_integers(int64_t n, int64_t reach, uint64_t seed) {
  std::vector<float> x = random_floats(n, seed);
  for (float& v : x) v = std::floor(v * static_cast<float>(reach + 1));
  return x;
}

struct Case {
  KvLayout layout;
  std::vector<float> keys, q, weights;
  std::vector<int64_t> positions;
  std::vector<AlignedBytes> pages;
  std::vector<KvSegment> segments;
  std::vector<int32_t> chosen;

  Case(const EntrySelection& spec, int64_t first, int64_t n, uint64_t seed, int64_t slots = 32)
      : layout(spec.layout), positions(static_cast<size_t>(n)) {
    std::iota(positions.begin(), positions.end(), first);
    const int64_t n_keys = spec.visible_entries(first + n - 1), dim = layout.head_dim;
    keys = small_integers(n_keys * dim, 2, seed);
    q = small_integers(n * spec.n_heads * dim, 2, seed + 1);
    weights = small_integers(n * spec.n_heads, 2, seed + 2);
    store(slots);
    chosen.assign(static_cast<size_t>(n * spec.top_k), -7);
  }

  int64_t n_keys() const { return static_cast<int64_t>(keys.size()) / layout.head_dim; }
  void store(int64_t slots) {
    pages.clear();
    segments.clear();
    for (int64_t p = 0; p < n_keys(); p += slots) {
      std::byte* block = pages.emplace_back(layout.block_bytes(slots)).data();
      const int64_t n = std::min(slots, n_keys() - p);
      for (int64_t i = 0; i < n; ++i)
        store_kv(layout, block, slots, i, keys.data() + (p + i) * layout.head_dim, nullptr);
      segments.push_back({block, slots, 0, n, p});
    }
  }
  SelectionQueries view() { return {q.data(), weights.data(), positions, segments, chosen.data()}; }
};

// I_i = sum_h w_h relu(q_h . k_i); the best top_k, ties to the lower entry, ascending.
std::vector<int32_t> naive(const EntrySelection& spec, const Case& c) {
  const int64_t dim = spec.layout.head_dim;
  std::vector<int32_t> out;
  for (size_t t = 0; t < c.positions.size(); ++t) {
    const int64_t visible = spec.visible_entries(c.positions[t]);
    std::vector<double> scores;
    for (int64_t i = 0; i < visible; ++i) {
      double score = 0.0;
      for (int64_t h = 0; h < spec.n_heads; ++h) {
        const int64_t row = static_cast<int64_t>(t) * spec.n_heads + h;
        double product = 0.0;
        for (int64_t d = 0; d < dim; ++d)
          product += double{c.q[static_cast<size_t>(row * dim + d)]} *
                     double{c.keys[static_cast<size_t>(i * dim + d)]};
        score += double{c.weights[static_cast<size_t>(row)]} * std::max(0.0, product);
      }
      scores.push_back(score);
    }
    std::vector<int32_t> order(static_cast<size_t>(visible));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
    });
    order.resize(static_cast<size_t>(std::min(visible, spec.top_k)));
    std::sort(order.begin(), order.end());
    order.resize(static_cast<size_t>(spec.top_k), -7);  // what is not filled is not touched
    out.insert(out.end(), order.begin(), order.end());
  }
  return out;
}

void run(const KernelSet& set, int n_threads, const EntrySelection& spec,
         std::span<const SelectionQueries> sequences) {
  ThreadPool pool(n_threads);
  const AlignedBytes scratch(select_entries_scratch_bytes(spec, n_threads));
  std::memset(scratch.data(), 0xff, scratch.span().size());
  select_entries({&set, &pool}, spec, sequences, scratch.span());
}

void expect_naive(const EntrySelection& spec, std::vector<Case>& cases, const std::string& what) {
  for (const KernelSet* set : all_kernel_sets()) {
    for (int n_threads : {1, 2}) {
      std::vector<SelectionQueries> views;
      for (Case& c : cases) {
        std::fill(c.chosen.begin(), c.chosen.end(), -7);
        views.push_back(c.view());
      }
      run(*set, n_threads, spec, views);
      for (size_t i = 0; i < cases.size(); ++i)
        ASSERT_EQ(cases[i].chosen, naive(spec, cases[i]))
            << set->name << " " << to_string(spec.layout.dtype) << " " << what << " " << i;
    }
  }
}

void expect_naive(const EntrySelection& spec, Case c, const std::string& what) {
  std::vector<Case> cases;
  cases.push_back(std::move(c));
  expect_naive(spec, cases, what);
}

EntrySelection make_spec(int64_t n_heads, int64_t head_dim, DType dtype, int64_t ratio,
                         int64_t top_k) {
  return {.n_heads = n_heads,
          .layout = {1, head_dim, dtype, RowKind::kKeys},
          .entry_ratio = ratio,
          .top_k = top_k};
}

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16};

TEST(SelectEntries, AnyNumberOfHeadsOfAnySize) {
  for (DType dtype : kDTypes) {
    for (int64_t heads : {1, 2, 3, 64, 65, 130}) {
      for (int64_t dim : {2, 10, 16, 48, 128}) {
        const auto spec = make_spec(heads, dim, dtype, 4, 5);
        expect_naive(spec, Case(spec, 90, 4, 3), fmt::format("{} heads of {}", heads, dim));
      }
    }
  }
}

TEST(SelectEntries, AsManyAsThereAreUpToTopK) {
  for (DType dtype : kDTypes) {
    for (int64_t ratio : {1, 4, 7}) {
      for (int64_t top_k : {1, 2, 16, 300}) {
        for (int64_t visible : {int64_t{0}, int64_t{1}, top_k - 1, top_k, top_k + 1, 2 * top_k - 1,
                                2 * top_k, 2 * top_k + 1, 5 * top_k}) {
          const auto spec = make_spec(2, 16, dtype, ratio, top_k);
          // The last token that sees so many, and a run of tokens up to it.
          const int64_t last = ratio * visible + ratio - 2;
          if (last < 0) continue;
          expect_naive(spec, Case(spec, last, 1, 5), fmt::format("top {} of {}", top_k, visible));
          expect_naive(
              spec,
              Case(spec, std::max<int64_t>(0, last - 9), std::min<int64_t>(10, last + 1), 6, 256),
              fmt::format("top {} of up to {}", top_k, visible));
        }
      }
    }
  }
}

TEST(SelectEntries, ManyEntriesOfOneQueryAreCutAndMerged) {
  for (DType dtype : kDTypes) {
    for (int64_t n : {2047, 2048, 4095, 4096, 4097, 6000, 40000}) {
      for (int64_t top_k : {1, 512, 3000}) {
        const auto spec = make_spec(2, 16, dtype, 1, top_k);
        expect_naive(spec, Case(spec, n - 1, 1, 7, 256), fmt::format("top {} of {}", top_k, n));
      }
    }
  }
}

TEST(SelectEntries, OfEqualScoresTheFirstAreTaken) {
  for (DType dtype : kDTypes) {
    for (int64_t n : {10, 100, 5000}) {
      const auto spec = make_spec(3, 16, dtype, 1, 8);
      Case c(spec, n - 1, 1, 9);
      std::fill(c.weights.begin(), c.weights.end(), 0.0f);
      expect_naive(spec, std::move(c), "all scores 0");
      Case rising(spec, n - 1, 1, 10);
      // The last key of all is best, the rest are equal.
      std::fill(rising.keys.begin(), rising.keys.end(), 1.0f);
      std::fill(rising.keys.end() - 16, rising.keys.end(), 2.0f);
      std::fill(rising.q.begin(), rising.q.end(), 1.0f);
      std::fill(rising.weights.begin(), rising.weights.end(), 1.0f);
      rising.store(32);
      expect_naive(spec, std::move(rising), "one best behind equals");
    }
  }
}

TEST(SelectEntries, SequencesOfAStepDoNotMix) {
  for (DType dtype : kDTypes) {
    const auto spec = make_spec(3, 16, dtype, 2, 20);
    std::vector<Case> cases;
    uint64_t seed = 11;
    for (const auto& [first, n] :
         {std::pair<int64_t, int64_t>{0, 1}, {9000, 1}, {0, 70}, {500, 3}, {20000, 1}})
      cases.emplace_back(spec, first, n, seed += 3, 32);
    expect_naive(spec, cases, "sequence");
  }
}

// A model of damaged weights may score anything: whatever is chosen is an entry, none twice, and as
// many as there should be.
TEST(SelectEntries, ScoresThatAreNoNumbersChooseEntriesAllTheSame) {
  for (const KernelSet* set : all_kernel_sets()) {
    for (DType dtype : kDTypes) {
      for (int64_t n : {3, 40, 6000}) {
        for (float bad : {kNaN, -kNaN, kMinusInfinity, -kMinusInfinity}) {
          for (int64_t every : {1, 3, 1000}) {
            const auto spec = make_spec(2, 16, dtype, 1, 8);
            Case c(spec, n - 1, 1, 13);
            for (int64_t i = 0; i < n; i += every) std::fill_n(c.keys.begin() + i * 16, 16, bad);
            c.store(32);
            const SelectionQueries view = c.view();
            run(*set, 2, spec, {&view, 1});
            const int64_t kept = std::min<int64_t>(8, n);
            for (int64_t i = 0; i < kept; ++i) {
              const int32_t entry = c.chosen[static_cast<size_t>(i)];
              ASSERT_TRUE(entry >= 0 && entry < n) << set->name << " " << entry << " of " << n;
              ASSERT_TRUE(i == 0 || entry > c.chosen[static_cast<size_t>(i - 1)]) << set->name;
            }
          }
        }
      }
    }
  }
}

TEST(SelectEntries, WhatIsANumberGoesBeforeWhatIsNone) {
  for (const KernelSet* set : all_kernel_sets()) {
    for (int64_t n : {20, 6000}) {
      const auto spec = make_spec(1, 16, DType::kF32, 1, 4);
      Case c(spec, n - 1, 1, 15);
      std::fill(c.keys.begin(), c.keys.end(), kNaN);
      std::fill(c.q.begin(), c.q.end(), 1.0f);
      std::fill(c.weights.begin(), c.weights.end(), -1.0f);
      for (int64_t i : {n / 2, n - 1}) std::fill_n(c.keys.begin() + i * 16, 16, 3.0f);
      c.store(32);
      const SelectionQueries view = c.view();
      run(*set, 1, spec, {&view, 1});
      EXPECT_EQ(c.chosen, (std::vector<int32_t>{0, 1, static_cast<int32_t>(n / 2),
                                                static_cast<int32_t>(n - 1)}))
          << set->name;
    }
  }
}

// Scores of any numbers, whose sums are rounded: an entry's score is the same in every tile, page
// and span.
TEST(SelectEntries, TheChoiceDoesNotDependOnTheCut) {
  for (const KernelSet* set : all_kernel_sets()) {
    for (DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
      const auto spec = make_spec(3, 16, dtype, 1, 70);
      Case c(spec, 9990, 10, 61, 256);
      c.keys = random_floats(static_cast<int64_t>(c.keys.size()), 62);
      c.q = random_floats(static_cast<int64_t>(c.q.size()), 63);
      c.weights = random_floats(static_cast<int64_t>(c.weights.size()), 64);
      c.store(256);
      const SelectionQueries all = c.view();
      run(*set, 1, spec, {&all, 1});
      const auto expected = c.chosen;
      c.store(48);
      for (int threads : {2, 3}) {
        for (size_t t = 0; t < c.positions.size(); ++t) {
          SelectionQueries one = c.view();
          one.q += t * 3 * 16;
          one.weights += t * 3;
          one.positions = one.positions.subspan(t, 1);
          one.chosen += t * 70;
          run(*set, threads, spec, {&one, 1});
        }
        ASSERT_EQ(c.chosen, expected) << set->name << " " << to_string(dtype);
      }
    }
  }
}

// What a vector is in MXFP4 after its rotation.
void round_to_fp4(float* x) {
  hadamard(x, kQuantBlock);
  for (int64_t g = 0; g < kBlockGroups; ++g) {
    const Fp4Group group = encode_fp4_group(x + g * kQuantGroup);
    for (int64_t i = 0; i < kQuantGroup; ++i)
      x[g * kQuantGroup + i] =
          e2m1_to_f32(group.codes[static_cast<size_t>(i)]) * to_f32(e8m0{group.scale});
  }
}

TEST(SelectEntries, Fp4KeysAreChosenByTheirRoundedScores) {
  for (const int64_t heads : {1, 5, 64}) {
    const EntrySelection spec{
        .n_heads = heads,
        .layout = {1, kQuantBlock, DType::kBF16, RowKind::kKeys, {RowCoding::kMxFp4}},
        .entry_ratio = 4,
        .top_k = 7};
    EXPECT_EQ(spec.layout.bytes_per_slot(), 68u);
    Case c(spec, 4 * 300, 3, 40);
    c.keys = random_floats(static_cast<int64_t>(c.keys.size()), 41);
    c.q = random_floats(static_cast<int64_t>(c.q.size()), 42);
    c.weights = random_floats(static_cast<int64_t>(c.weights.size()), 43);
    c.store(32);
    Case rounded(spec, 4 * 300, 3, 40);
    rounded.keys = c.keys;
    rounded.q = c.q;
    rounded.weights = c.weights;
    for (int64_t i = 0; i < c.n_keys(); ++i) round_to_fp4(rounded.keys.data() + i * kQuantBlock);
    for (size_t i = 0; i < c.q.size(); i += kQuantBlock) round_to_fp4(rounded.q.data() + i);
    const auto expected = naive(spec, rounded);
    for (const KernelSet* set : all_kernel_sets()) {
      const SelectionQueries view = c.view();
      run(*set, 1, spec, {&view, 1});
      EXPECT_EQ(c.chosen, expected) << set->name << " with " << heads << " heads";
    }
  }
}

}  // namespace
}  // namespace longhaul
