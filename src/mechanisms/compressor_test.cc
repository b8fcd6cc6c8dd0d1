#include "mechanisms/compressor.h"

#include <random>

#include "mechanisms/mechanisms_testing.h"
#include "mechanisms/rope.h"

namespace longhaul {
namespace {

// Projections of a sequence's tokens, as the linear layers give them.
struct Tokens {
  int64_t n = 0;
  std::vector<float> kv, gate;
};

// A compressor with random weights, and what it leaves behind.
class Compressor {
 public:
  Compressor(const KernelSet& kernels, int n_threads, int64_t ratio, int64_t width, bool overlaps,
             int64_t n_sequences)
      : t_(kernels, n_threads), spec_{.ratio = ratio, .width = width, .overlaps = overlaps} {
    bias_ = random_floats(ratio * spec_.series() * width, 3);
    norm_ = random_floats(width, 4);
    spec_.position_bias = t_.vector(bias_);
    spec_.norm = {t_.vector(norm_), 1e-5f};
    rope_ = {
        .n_pairs = 2, .live_pairs = 2, .denominator = 4, .theta = 160.0, .neighbours_at_end = true};
    frequencies_ = rope_frequencies(rope_);
    layout_ = {1, width, DType::kF32, RowKind::kShared};
    for (int64_t i = 0; i < n_sequences; ++i) {
      open_.emplace_back(static_cast<size_t>(spec_.state_elements()),
                         1e30f);  // what another sequence left there
      pages_.emplace_back(layout_.block_bytes(kSlots));
      lengths_.push_back(0);
    }
  }

  const CompressorSpec& spec() const { return spec_; }
  const std::vector<float>& bias() const { return bias_; }
  const std::vector<float>& norm() const { return norm_; }
  const std::vector<float>& frequencies() const { return frequencies_; }
  const std::vector<float>& open(size_t sequence) const { return open_[sequence]; }
  int64_t n_entries(size_t sequence) const { return lengths_[sequence] / spec_.ratio; }
  std::vector<float> entries(size_t sequence) const {
    std::vector<float> out;
    for (int64_t e = 0; e < n_entries(sequence); ++e) {
      const auto* row =
          reinterpret_cast<const float*>(layout_.shared_row(pages_[sequence].data(), e));
      out.insert(out.end(), row, row + spec_.width);
    }
    return out;
  }

  // The next n[i] tokens of each sequence, in one step.
  void step(const std::vector<Tokens>& all, const std::vector<int64_t>& n) {
    const int64_t width = spec_.series() * spec_.width;
    std::vector<float> kv, gate;
    std::vector<int64_t> positions;
    std::vector<SequenceRows> sequences;
    std::vector<KvWrite> writes;
    std::vector<FixedBlock> blocks;
    std::vector<std::vector<float>> after(n.size());
    int64_t entry = 0;
    for (size_t i = 0; i < n.size(); ++i) {
      const int64_t length = lengths_[i], first_entry = length / spec_.ratio,
                    new_entries = (length + n[i]) / spec_.ratio - first_entry;
      sequences.push_back({static_cast<int64_t>(positions.size()), n[i]});
      for (int64_t p = length; p < length + n[i]; ++p) positions.push_back(p);
      kv.insert(kv.end(), all[i].kv.begin() + length * width,
                all[i].kv.begin() + (length + n[i]) * width);
      gate.insert(gate.end(), all[i].gate.begin() + length * width,
                  all[i].gate.begin() + (length + n[i]) * width);
      if (new_entries > 0)
        writes.push_back({pages_[i].data(), kSlots, first_entry, entry, new_entries});
      entry += new_entries;
      after[i].resize(open_[i].size());
      blocks.push_back({open_[i].data(), {after[i].data(), 1, spec_.state_elements()}});
      lengths_[i] += n[i];
    }
    compress(t_.env, spec_,
             {.kv = {kv.data(), static_cast<int64_t>(positions.size()), width},
              .gate = {gate.data(), static_cast<int64_t>(positions.size()), width},
              .rows = {static_cast<int64_t>(positions.size()), {}, positions, sequences},
              .rope = &rope_,
              .frequencies = frequencies_,
              .open = {blocks},
              .entries = {layout_, writes, {}}});
    std::move(after.begin(), after.end(), open_.begin());
  }

 private:
  static constexpr int64_t kSlots = 128;
  TestEnv t_;
  CompressorSpec spec_;
  RopeSpec rope_;
  KvLayout layout_;
  std::vector<float> bias_, norm_, frequencies_;
  std::vector<std::vector<float>> open_;
  std::vector<AlignedBytes> pages_;
  std::vector<int64_t> lengths_;
};

Tokens random_tokens(const CompressorSpec& spec, int64_t n, uint64_t seed) {
  Tokens t{n, random_floats(n * spec.series() * spec.width, seed),
           random_floats(n * spec.series() * spec.width, seed + 1)};
  for (float& g : t.gate) g *= 8.0f;
  return t;
}

// The definition: one softmax over all rows of an entry, channel by channel, then norm and
// rotation, in f64.
std::vector<double> naive(const Compressor& c, const Tokens& t) {
  const CompressorSpec& s = c.spec();
  const int64_t stride = s.series() * s.width;
  std::vector<double> out;
  for (int64_t e = 0; e < t.n / s.ratio; ++e) {
    std::vector<double> entry;
    for (int64_t ch = 0; ch < s.width; ++ch) {
      double total = 0.0, sum = 0.0;
      const auto pool = [&](int64_t window, int64_t column) {
        for (int64_t slot = 0; window >= 0 && slot < s.ratio; ++slot) {
          const auto at = static_cast<size_t>((window * s.ratio + slot) * stride + column);
          const double weight = std::exp(
              double{t.gate[at]} + double{c.bias()[static_cast<size_t>(slot * stride + column)]});
          total += weight;
          sum += weight * double{t.kv[at]};
        }
      };
      if (s.overlaps) pool(e - 1, ch);
      pool(e, s.overlaps ? s.width + ch : ch);
      entry.push_back(sum / total);
    }
    double squares = 0.0;
    for (double v : entry) squares += v * v;
    const double factor = 1.0 / std::sqrt(squares / static_cast<double>(s.width) + 1e-5);
    for (size_t ch = 0; ch < entry.size(); ++ch) entry[ch] *= factor * double{c.norm()[ch]};
    for (size_t pair = 0; pair < 2; ++pair) {
      double &a = entry[entry.size() - 4 + 2 * pair], &b = entry[entry.size() - 3 + 2 * pair];
      const double angle = static_cast<double>(e * s.ratio) * double{c.frequencies()[pair]}, x = a,
                   y = b;
      a = x * std::cos(angle) - y * std::sin(angle);
      b = x * std::sin(angle) + y * std::cos(angle);
    }
    out.insert(out.end(), entry.begin(), entry.end());
  }
  return out;
}

TEST(Compressor, EntriesAreSoftmaxesOverTheirWindows) {
  for (const KernelSet* set : all_kernel_sets()) {
    for (bool overlaps : {false, true}) {
      for (int64_t ratio : {1, 2, 4, 7, 33}) {
        for (int64_t width : {4, 10, 64, 130}) {
          Compressor c(*set, 2, ratio, width, overlaps, 1);
          const Tokens tokens = random_tokens(c.spec(), 70, 5);
          c.step({tokens}, {70});
          const std::vector<double> expected = naive(c, tokens);
          const std::vector<float> entries = c.entries(0);
          ASSERT_EQ(entries.size(), expected.size());
          // A running sum of up to 66 weights and the angle's product in f32: some 1e-6 of values
          // up to 4.
          for (size_t i = 0; i < entries.size(); ++i)
            ASSERT_NEAR(entries[i], expected[i], 2e-5)
                << set->name << " 1:" << ratio << " width " << width << " at " << i;
        }
      }
    }
  }
}

TEST(Compressor, AnyCutIntoStepsGivesTheSameBits) {
  std::mt19937_64 random(7);
  for (bool overlaps : {false, true}) {
    for (int64_t ratio : {1, 4, 7}) {
      Compressor whole(ref_kernels(), 1, ratio, 70, overlaps, 1);
      const Tokens tokens = random_tokens(whole.spec(), 61, 9);
      whole.step({tokens}, {61});
      for (int64_t cut = 1; cut <= 12; ++cut) {
        // Steps of one size, then of sizes by chance.
        for (const bool even : {true, false}) {
          Compressor c(ref_kernels(), 2, ratio, 70, overlaps, 1);
          for (int64_t done = 0; done < 61;) {
            const int64_t n =
                std::min<int64_t>(61 - done, even ? cut : 1 + static_cast<int64_t>(random() % 13));
            c.step({tokens}, {n});
            done += n;
          }
          ASSERT_TRUE(bitwise_equal(c.entries(0), whole.entries(0)))
              << "1:" << ratio << " steps of " << cut;
          ASSERT_TRUE(bitwise_equal(c.open(0), whole.open(0)))
              << "1:" << ratio << " steps of " << cut;
        }
      }
    }
  }
}

TEST(Compressor, SequencesOfAStepAreThoseAlone) {
  for (bool overlaps : {false, true}) {
    const int64_t ratio = 4;
    Compressor together(ref_kernels(), 2, ratio, 20, overlaps, 3);
    std::vector<Tokens> tokens;
    for (uint64_t i = 0; i < 3; ++i)
      tokens.push_back(random_tokens(together.spec(), 40, 11 + 2 * i));
    const std::vector<std::vector<int64_t>> steps = {{1, 3, 9}, {2, 1, 1}, {8, 13, 1}, {1, 1, 5}};
    for (const auto& n : steps) together.step(tokens, n);
    for (size_t i = 0; i < 3; ++i) {
      Compressor alone(ref_kernels(), 1, ratio, 20, overlaps, 1);
      for (const auto& n : steps) alone.step({tokens[i]}, {n[i]});
      EXPECT_TRUE(bitwise_equal(together.entries(i), alone.entries(0))) << i;
      EXPECT_TRUE(bitwise_equal(together.open(i), alone.open(0))) << i;
    }
  }
}

// The largest gate decides, whatever its size and wherever it stands: no exp overflows.
TEST(Compressor, LargeGatesDoNotOverflow) {
  for (bool overlaps : {false, true}) {
    for (int64_t best : {0, 3, 6, 7}) {
      Compressor c(ref_kernels(), 1, 4, 4, overlaps, 1);
      Tokens tokens = random_tokens(c.spec(), 8, 17);
      const int64_t stride = c.spec().series() * 4;
      for (int64_t p = 0; p < 8; ++p)
        std::fill_n(tokens.gate.begin() + p * stride, stride, p == best ? 3e4f : -3e4f);
      c.step({tokens}, {8});
      for (float v : c.entries(0)) EXPECT_TRUE(std::isfinite(v));
    }
  }
}

}  // namespace
}  // namespace longhaul
