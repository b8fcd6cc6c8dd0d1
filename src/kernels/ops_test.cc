// Every call of a backend on every kernel set, held against the plain loops of ref_ops.
#include "kernels/ops.h"

#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <functional>
#include <numeric>

#include "kernels/codecs/codecs.h"
#include "kernels/codecs/quant_blocks.h"
#include "kernels/kernels_testing.h"
#include "kernels/kv/row_coding.h"
#include "kernels/packed_testing.h"

namespace longhaul {
namespace {

constexpr uint64_t kScratch = uint64_t{1} << 21;

// What a call is given: a backend, scratch, and numbers that are the same for every backend.
class Call {
 public:
  // Each draw is a step of its own: in one call's arguments two of them come in either order.
  explicit Call(Ops& ops) : ops(ops), memory_(kScratch), scratch(memory_.span()) {}

  Rows<float> rows(int64_t n, int64_t width, int64_t gap = 0) {
    numbers_.push_back(random_floats(n * (width + gap), ++seed_));
    return {numbers_.back().data(), n, width, width + gap};
  }
  Vector vector(int64_t n) {
    const Rows<float> one = rows(1, n);
    return {one.data, static_cast<size_t>(n)};
  }
  std::vector<int32_t>& tokens(std::vector<int32_t> ids) { return ids_.emplace_back(ids); }
  // A weight, packed from random numbers as its type asks for.
  PackedMatrix matrix(const Codec& codec, int64_t n, int64_t k, int64_t count = 1) {
    const uint64_t one = codec.bytes(n, k);
    std::byte* data = bytes(one * static_cast<uint64_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      const Rows<float> values = rows(n, k);
      std::byte* out = data + static_cast<uint64_t>(i) * one;
      if (codec.option == nullptr) {
        std::memcpy(out, random_weights(&codec, n, k, ++seed_).data(), one);
      } else {
        EXPECT_TRUE(pack_rows(values.data, DType::kF32, n, k, codec, out).ok());
      }
    }
    return {data, &codec, n, k};
  }
  std::byte* bytes(uint64_t n) { return bytes_.emplace_back(n).data(); }

  // What the call is judged by.
  void out(Rows<const float> x) {
    for (int64_t i = 0; i < x.n; ++i) result.insert(result.end(), x.row(i), x.row(i) + x.width);
  }
  template <class T>
  void out(Rows<T> x) {
    for (int64_t i = 0; i < x.n; ++i) {
      for (int64_t c = 0; c < x.width; ++c) result.push_back(static_cast<float>(x.row(i)[c]));
    }
  }

  Ops& ops;

 private:
  AlignedBytes memory_;
  uint64_t seed_ = 0;
  std::deque<std::vector<float>> numbers_;
  std::deque<std::vector<int32_t>> ids_;
  std::deque<AlignedBytes> bytes_;

 public:
  Arena scratch;
  std::vector<float> result;
};

// The results of every set on two threads are those of ref_ops, to an error energy of `bound`.
void hold(double bound, const std::function<void(Call&)>& run) {
  const std::unique_ptr<Ops> reference = ref_ops();
  Call expected(*reference);
  run(expected);
  ASSERT_FALSE(expected.result.empty());
  for (const KernelSet* set : all_kernel_sets()) {
    ThreadPool pool(2);
    const std::unique_ptr<Ops> ops = cpu_ops({set, &pool});
    Call found(*ops);
    run(found);
    ASSERT_EQ(found.result.size(), expected.result.size()) << set->name;
    EXPECT_LE(nmse(found.result, expected.result), bound) << set->name;
    EXPECT_EQ(found.scratch.used(), 0u) << "scratch is given back";
  }
}

constexpr double kExact = 0.0;
constexpr double kF32 = 1e-11;   // sums of some hundred terms in f32
constexpr double kBf16 = 3e-5;   // inputs of 8 bits of mantissa
constexpr double kBytes = 3e-4;  // inputs of 8 bits

TEST(Ops, MoveRows) {
  hold(kExact, [](Call& c) {
    const Rows<float> x = c.rows(7, 33, 5), y = c.rows(7, 33), z = c.rows(3, 33, 2);
    c.ops.copy(x, y);
    c.out(y);
    const std::vector<int64_t> some = {1, 4, 6};
    c.ops.gather(x, some, z);
    c.out(z);
    c.ops.keep(some, x);
    c.out(x.slice(0, 3));
    const Rows<float> twice = c.rows(7, 66);
    c.ops.repeat(y, 2, twice);
    c.out(twice);
    c.ops.clear(z);
    c.out(z);
  });
}

TEST(Ops, SumsAndScales) {
  hold(kF32, [](Call& c) {
    const Rows<float> x = c.rows(70, 301, 3);
    c.ops.add(c.rows(70, 301), x);
    c.ops.add_vector(c.vector(301), x);
    c.ops.scale(0.37f, x);
    c.ops.scale_by(c.vector(301), x);
    c.out(x);
  });
}

TEST(Ops, Norms) {
  hold(kF32, [](Call& c) {
    const Rows<float> x = c.rows(9, 130, 6), y = c.rows(9, 130);
    c.ops.norm(x, c.vector(130), 1e-6f, y);
    c.out(y);
    c.ops.norm(x, {}, 1e-6f, x);
    c.out(x);
  });
}

TEST(Ops, Activations) {
  for (const Activation activation : {Activation::kGeluTanh, Activation::kSilu}) {
    for (const std::optional<float> limit : {std::optional<float>(), std::optional(0.4f)}) {
      hold(kF32, [&](Call& c) {
        const Rows<float> gate = c.rows(5, 77);
        c.ops.activate({activation, limit}, gate, c.rows(5, 77));
        c.out(gate);
      });
    }
  }
  hold(kF32, [](Call& c) {
    const Rows<float> x = c.rows(3, 40000), y = c.rows(4, 50);
    c.ops.scale(90.0f, x);
    c.ops.softcap(30.0f, x);
    c.out(x);
    c.ops.scale(4.0f, y);
    c.ops.gelu(y);
    c.out(y);
  });
}

TEST(Ops, GatesOfHeadsAndElements) {
  for (const int64_t width : {4, 4 * 24}) {
    hold(kF32, [&](Call& c) {
      const Rows<float> gate = c.rows(6, width), x = c.rows(6, 4 * 24);
      c.ops.scale(30.0f, gate);  // beyond 20 the softplus is its argument
      c.ops.gate_heads(4, gate, x);
      c.out(x);
    });
  }
}

TEST(Ops, HandsOnWhatItHasTakenOver) {
  for (const bool takes_over : {false, true}) {
    hold(kF32, [&](Call& c) {
      const Rows<float> x = c.rows(5, 19), state = c.rows(5, 19);
      c.ops.hand_on(takes_over ? c.vector(19) : Vector(), x, state);
      c.out(x);
      c.out(state);
    });
  }
}

TEST(Ops, LooksUpRowsOfUnalignedTables) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    hold(kExact, [&](Call& c) {
      const Rows<float> values = c.rows(5, 12);
      std::byte* file = c.bytes(5 * 12 * 4 + 1) + 1;
      for (int64_t i = 0; i < values.size(); ++i) {
        const uint16_t half = dtype == DType::kBF16 ? to_bf16(values.data[i]).bits : 0x3c00 + i;
        if (dtype == DType::kF32) {
          std::memcpy(file + 4 * i, values.data + i, 4);
        } else {
          std::memcpy(file + 2 * i, &half, 2);
        }
      }
      const Rows<float> x = c.rows(5, 7);
      // Tokens beyond the table read its first row.
      c.ops.lookup({file, dtype, 5, 12}, c.tokens({4, 0, 5, -1, 2}), 3, 1.5f, x);
      c.out(x);
    });
  }
}

// Rows of whole blocks, of which columns are read that begin and end within one.
TEST(Ops, LookupUnpacksBlocks) {
  static constexpr ElementBlock kBlock{32, 18};
  const auto unpack = [](const std::byte* blocks, int64_t n_blocks, float* out) {
    for (int64_t i = 0; i < n_blocks * kBlock.elements; ++i)
      out[i] =
          static_cast<float>(std::to_integer<int>(blocks[i / kBlock.elements * kBlock.bytes])) +
          0.25f * static_cast<float>(i % kBlock.elements);
  };
  ASSERT_EQ(block_of(DType::kQ4_0).bytes, kBlock.bytes);
  std::vector<std::byte> file(5 * 3 * kBlock.bytes);
  for (size_t b = 0; b < 15; ++b) file[b * kBlock.bytes] = static_cast<std::byte>(b + 1);
  for (const auto& [column, width] : {std::pair<int64_t, int64_t>{0, 96}, {32, 32}, {20, 50}}) {
    hold(kF32, [&](Call& c) {
      const Rows<float> x = c.rows(3, width);
      c.ops.lookup({file.data(), DType::kQ4_0, 5, 96, unpack}, c.tokens({4, 0, 5}), column, 1.5f,
                   x);
      EXPECT_EQ(x.row(0)[0], 1.5f * (13.0f + static_cast<float>(column / 32) +
                                     0.25f * static_cast<float>(column % 32)));
      c.out(x);
    });
  }
}

// Rows that something else decodes: those columns that are asked for.
TEST(Ops, LookupReadsDecodedRows) {
  struct Counting final : RowSource {
    void read(int64_t row, int64_t first, int64_t n, float* out) const override {
      for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(100 * row + first + i);
    }
  } const rows;
  hold(kExact, [&](Call& c) {
    const Rows<float> x = c.rows(3, 7);
    // Tokens beyond the table read its first row.
    c.ops.lookup({nullptr, DType::kI32, 5, 12, nullptr, &rows}, c.tokens({4, 0, 5}), 3, 0.5f, x);
    EXPECT_EQ(x.row(0)[6], 0.5f * 409.0f);
    EXPECT_EQ(x.row(2)[0], 0.5f * 3.0f);
    c.out(x);
  });
}

TEST(Ops, RopeTurnsAndTurnsBack) {
  for (const RopePairs pairs : {RopePairs::kHalves, RopePairs::kNeighboursAtEnd}) {
    hold(kF32, [&](Call& c) {
      const std::vector<int64_t> positions = {0, 1, 7, 100, 70000};
      const std::vector<float> frequencies = {1.0f, 0.1f, 0.02f};
      const Rows<float> cos = c.rows(5, 3), sin = c.rows(5, 3), x = c.rows(5, 4 * 10);
      c.ops.rope_angles(positions, frequencies, 1.25f, cos, sin);
      c.out(cos);
      c.out(sin);
      c.ops.rope(pairs, Turn::kForward, {cos, sin}, 4, x);
      c.out(x);
      if (pairs == RopePairs::kHalves) return;
      c.ops.rope(pairs, Turn::kBack, {cos, sin}, 4, x);
      c.out(x);
    });
  }
}

double bound_of(const Codec& weights) {
  if (weights.inputs == InputCoding::kF32) return kF32;
  return weights.inputs == InputCoding::kBf16 ? kBf16 : kBytes;
}

TEST(Ops, ProductsInEveryFormat) {
  for (const Codec* codec : codecs()) {
    for (const int64_t rows : {1, 5, 40}) {
      hold(bound_of(*codec), [&](Call& c) {
        const Rows<float> x = c.rows(rows, 200), a = c.rows(rows, 48), b = c.rows(rows, 20, 9);
        std::array<Matmul, 2> group = {product(x, c.matrix(*codec, 48, 200), a),
                                       product(x, c.matrix(*codec, 20, 200), b)};
        c.ops.matmul(group, c.scratch);
        c.out(a);
        c.out(b);
        const Rows<float> y = c.rows(rows, 4 * 16);
        c.ops.grouped_matmul(c.matrix(*codec, 16, 50, 4), 4, x, y, c.scratch);
        c.out(y);
      });
    }
  }
}

// A state of rows of several sequences, stored by the backend itself.
struct State {
  KvLayout layout;
  std::vector<std::vector<KvSegment>> segments;
  std::vector<std::span<const KvSegment>> by_sequence;

  static constexpr int64_t kSlots = 32;

  // lengths[i] rows of each sequence.
  State(Call& c, const KvLayout& l, const std::vector<int64_t>& lengths) : layout(l) {
    segments.resize(lengths.size());
    const bool has_values = l.rows == RowKind::kKeysAndValues;
    for (size_t i = 0; i < lengths.size(); ++i) {
      const Rows<float> k = c.rows(lengths[i], l.n_kv_heads * l.head_dim);
      const Rows<float> v = has_values ? c.rows(lengths[i], k.width) : Rows<float>();
      std::vector<KvWrite> writes;
      for (int64_t p = 0; p < lengths[i]; p += kSlots) {
        const int64_t n = std::min(kSlots, lengths[i] - p);
        std::byte* page = c.bytes(l.block_bytes(kSlots));
        segments[i].push_back({page, kSlots, 0, n, p});
        writes.push_back({page, kSlots, 0, p, n});
      }
      c.ops.store({layout, writes, {}}, k, v);
    }
    for (const auto& s : segments) by_sequence.emplace_back(s);
  }
  KvStep step() const { return {layout, {}, by_sequence}; }
};

// The last rows of two sequences, of which the first has none in between.
struct Tokens {
  std::vector<int64_t> positions;
  std::vector<SequenceRows> sequences;

  Tokens(const std::vector<int64_t>& lengths, const std::vector<int64_t>& n) {
    for (size_t i = 0; i < n.size(); ++i) {
      sequences.push_back({static_cast<int64_t>(positions.size()), n[i]});
      for (int64_t p = lengths[i] - n[i]; p < lengths[i]; ++p) positions.push_back(p);
    }
  }
  RowSet rows() const { return {static_cast<int64_t>(positions.size()), {}, positions, sequences}; }
};

TEST(Ops, AttentionOverKeysAndValues) {
  const std::vector<int64_t> lengths = {70, 9, 300};
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
    for (const int64_t window : {kUnboundedWindow, int64_t{20}}) {
      hold(dtype == DType::kF32 ? kF32 : 1e-4, [&](Call& c) {
        const State state(c, {2, 20, dtype, RowKind::kKeysAndValues}, lengths);
        const Tokens tokens(lengths, {3, 0, 1});
        const Attention spec{.n_heads = 4, .layout = state.layout, .scale = 0.3f, .window = window};
        const Rows<float> q = c.rows(4, 80, 3), out = c.rows(4, 80);
        c.ops.attend(spec, state.step(), tokens.rows(), q, out, c.scratch);
        c.out(out);
      });
    }
  }
}

TEST(Ops, AttentionOverSharedRowsAndEntries) {
  const std::vector<int64_t> lengths = {70, 9, 300}, n_entries = {17, 2, 75};
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
    for (const int64_t top_k : {0, 5}) {
      for (const bool released : {false, true}) {
        if (released && dtype != DType::kBF16) continue;
        hold(dtype == DType::kF32 ? kF32 : 1e-4, [&](Call& c) {
          const RowFormat format = released ? RowFormat{RowCoding::kFp8ByE8M0, 16} : RowFormat{};
          const KvLayout layout{1, 80, dtype, RowKind::kShared, format};
          const State window(c, layout, lengths), entries(c, layout, n_entries);
          const Tokens tokens(lengths, {3, 0, 1});
          const SharedAttention spec{.n_heads = 3,
                                     .layout = layout,
                                     .scale = 0.2f,
                                     .window = 12,
                                     .entry_ratio = 4,
                                     .top_k = top_k,
                                     .sinks = c.vector(3).data()};
          std::vector<int32_t>& chosen =
              c.tokens({0, 3, 4, 9, 16, 1, 2, 3, 4, 5, 0, 1, 7, 11, 15, 2, 30, 31, 32, 74});
          const Rows<const int32_t> of(chosen.data(), 4, 5);
          const Rows<float> q = c.rows(4, 240), out = c.rows(4, 240);
          const KvStep kept = entries.step();
          c.ops.attend_shared(spec, window.step(), &kept, tokens.rows(),
                              top_k > 0 ? of : Rows<const int32_t>(), q, out, c.scratch);
          c.out(out);
        });
      }
    }
  }
}

TEST(Ops, SelectsTheBestEntries) {
  const std::vector<int64_t> lengths = {70, 9, 300}, n_entries = {17, 2, 75};
  hold(kExact, [&](Call& c) {
    const State keys(c, {1, 24, DType::kF32, RowKind::kKeys}, n_entries);
    const Tokens tokens(lengths, {3, 1, 2});
    const EntrySelection spec{.n_heads = 3, .layout = keys.layout, .entry_ratio = 4, .top_k = 6};
    std::vector<int32_t>& memory = c.tokens(std::vector<int32_t>(36, -7));
    const Rows<int32_t> chosen(memory.data(), 6, 6);
    const Rows<float> q = c.rows(6, 72), weights = c.rows(6, 3);
    c.ops.select_entries(spec, keys.step(), tokens.rows(), q, weights, chosen, c.scratch);
    c.out(chosen);
  });
}

// Queries that MXFP4 holds without loss: after the rotation they are levels of its codes. The
// largest of each group is 4, so that its scale is 1 whichever way the rotation rounds.
Rows<float> coded_queries(Call& c, int64_t n, int64_t n_heads) {
  const Rows<float> q = c.rows(n, n_heads * kQuantBlock);
  for (int64_t i = 0; i < q.size(); ++i) {
    const float level = e2m1_to_f32(static_cast<uint8_t>(8.0f * (q.data[i] + 1.0f)));
    q.data[i] = i % kFp4Group == 0 ? 4.0f : std::clamp(level, -4.0f, 4.0f);
  }
  for (int64_t block = 0; block < q.size(); block += kQuantBlock)
    hadamard(q.data + block, kQuantBlock);
  return q;
}

// The backends code the query as well as the keys, ref_ops does not: where the code loses nothing
// of it, both choose the same.
TEST(Ops, SelectsByCodedKeysWhatTheirValuesSay) {
  const std::vector<int64_t> lengths = {70, 300}, n_entries = {70, 300};
  hold(kExact, [&](Call& c) {
    const RowFormat format{RowCoding::kMxFp4};
    const State keys(c, {1, kQuantBlock, DType::kBF16, RowKind::kKeys, format}, n_entries);
    const Tokens tokens(lengths, {3, 2});
    const EntrySelection spec{.n_heads = 2, .layout = keys.layout, .entry_ratio = 1, .top_k = 20};
    std::vector<int32_t>& memory = c.tokens(std::vector<int32_t>(100, -7));
    const Rows<int32_t> chosen(memory.data(), 5, 20);
    const Rows<float> q = coded_queries(c, 5, 2), weights = c.rows(5, 2);
    c.ops.select_entries(spec, keys.step(), tokens.rows(), q, weights, chosen, c.scratch);
    c.out(chosen);
  });
}

// Fixed blocks of two sequences from step to step, kept behind the last row alone or behind every.
class Blocks {
 public:
  Blocks(Call& c, int64_t elements, bool of_every_row)
      : c_(c), elements_(elements), of_every_row_(of_every_row) {
    for (FixedBlock& b : blocks_) b.past = c.rows(1, elements).data;
  }
  FixedStep step(const std::vector<int64_t>& n_rows) {
    for (size_t i = 0; i < 2; ++i) {
      if (is_begun_) blocks_[i].past = blocks_[i].after.row(blocks_[i].after.n - 1);
      blocks_[i].after = c_.rows(of_every_row_ ? n_rows[i] : 1, elements_);
      pasts_[i].assign(blocks_[i].past, blocks_[i].past + elements_);
    }
    is_begun_ = true;
    return {blocks_};
  }
  // What the step left, and that it left the past alone.
  void out() {
    for (size_t i = 0; i < 2; ++i) {
      const Rows<float> after = blocks_[i].after;
      // a pool that is empty
      std::replace(after.data, after.data + after.size(), kMinusInfinity, -1.0f);
      c_.out(after);
      EXPECT_TRUE(std::equal(pasts_[i].begin(), pasts_[i].end(), blocks_[i].past));
      std::replace(after.data, after.data + after.size(), -1.0f, kMinusInfinity);
    }
  }

 private:
  Call& c_;
  int64_t elements_;
  bool of_every_row_, is_begun_ = false;
  std::array<FixedBlock, 2> blocks_;
  std::array<std::vector<float>, 2> pasts_;
};

void pool_windows(bool overlaps, bool of_every_row) {
  hold(kF32, [&](Call& c) {
    WindowPooling spec{.ratio = 4, .width = 70, .overlaps = overlaps};
    const int64_t width = spec.series() * spec.width;
    spec.position_bias = c.vector(4 * width);
    Blocks open(c, 3 * width, of_every_row);
    // Two steps: windows stay open in between.
    for (const auto& [lengths, n] :
         {std::pair{std::vector<int64_t>{6, 3}, std::vector<int64_t>{6, 3}},
          std::pair{std::vector<int64_t>{15, 4}, std::vector<int64_t>{9, 1}}}) {
      const Tokens tokens(lengths, n);
      const Rows<float> kv = c.rows(n[0] + n[1], width), gate = c.rows(n[0] + n[1], width);
      const Rows<float> entries = c.rows(4, 70);
      c.ops.clear(entries);
      std::vector<int64_t> positions(4);
      c.ops.pool_windows(spec, tokens.rows(), kv, gate, open.step(n), entries, positions);
      c.out(entries);
      c.out(Rows<const int64_t>(positions.data(), 1, 4));
      open.out();
    }
  });
}

TEST(Ops, PoolsWindows) {
  for (const bool overlaps : {false, true}) {
    for (const bool of_every_row : {false, true}) pool_windows(overlaps, of_every_row);
  }
}

TEST(Ops, ChoosesExperts) {
  const std::array<int64_t, 9> table = {3, 0, 1, 2, 4, 5, 0, 5, 1};
  for (const RouterScore score :
       {RouterScore::kSoftmax, RouterScore::kSigmoid, RouterScore::kSqrtSoftplus}) {
    for (const bool biased : {false, true}) {
      for (const bool by_token : {false, true}) {
        hold(kF32, [&](Call& c) {
          const LookupTable tokens{reinterpret_cast<const std::byte*>(table.data()), DType::kI64, 3,
                                   3};
          ExpertChoice how{.score = score, .softcap = 2.0f, .output_scale = 2.5f};
          if (biased) how.bias = c.vector(6);
          if (by_token) how.token_experts = &tokens;
          how.renormalises = !biased;
          how.expert_scale = by_token ? c.vector(6) : Vector();
          const Rows<float> logits = c.rows(5, 6), weight = c.rows(5, 3);
          std::vector<int32_t>& memory = c.tokens(std::vector<int32_t>(15));
          const Rows<int32_t> chosen(memory.data(), 5, 3);
          c.ops.choose_experts(how, c.tokens({2, 0, 1, 7, 0}), logits, chosen, weight);
          c.out(logits);
          c.out(weight);
          c.out(chosen);
        });
      }
    }
  }
}

// Resident experts, of which as many are brought at a time as a cache would hold.
class SomeExperts final : public Experts {
 public:
  SomeExperts(Call& c, const Codec& codec, int64_t n, int64_t d, int64_t width, size_t at_once)
      : parts_{c.matrix(codec, width, d, n), c.matrix(codec, width, d, n),
               c.matrix(codec, d, width, n)},
        at_once_(at_once) {}
  PackedMatrix shape(ExpertPart part) const override { return parts_[static_cast<size_t>(part)]; }
  int64_t acquire(std::span<ExpertRows> wanted) override {
    return static_cast<int64_t>(std::min(wanted.size(), at_once_));
  }
  PackedMatrix matrix(ExpertPart part, int64_t expert) const override {
    PackedMatrix m = shape(part);
    m.data += static_cast<uint64_t>(expert) * m.codec->bytes(m.n, m.k);
    return m;
  }

 private:
  std::array<PackedMatrix, 3> parts_;
  size_t at_once_;
};

// Seven rows of two choices among five experts; 5 is none of them.
void run_some_experts(Call& c, const Codec& codec, size_t at_once, int64_t left_out) {
  SomeExperts experts(c, codec, 5, 40, 24, at_once);
  const Rows<const int32_t> chosen(c.tokens({0, 3, 3, 5, 4, 0, 3, 4, 0, 5, 5, 5, 4, 3}).data(), 7,
                                   2);
  const Rows<float> x = c.rows(7, 40), sent = c.rows(14, 40), out = c.rows(7, 40);
  std::vector<int64_t> places(14), first(7);
  const Rows<int64_t> place(places.data(), 7, 2);
  c.ops.sort_by_expert(chosen, place, first);
  c.out(Rows<const int64_t>(first.data(), 1, 7));
  c.ops.send_to_experts(x, place, sent);
  EXPECT_EQ(c.ops.run_experts(experts, {Activation::kSilu, {}}, first, sent, c.scratch), 10);
  c.ops.sum_experts(sent, place, c.rows(7, 2), chosen, left_out, out);
  c.out(out);
}

TEST(Ops, RunsExpertsInWaves) {
  for (const Codec* codec : {&kF32Codec, &kBf16Codec, &kQ8Codec}) {
    for (const size_t at_once : {size_t{1}, size_t{2}, size_t{9}}) {
      for (const int64_t left_out : {kNoExpert, int64_t{5}}) {
        hold(bound_of(*codec), [&](Call& c) { run_some_experts(c, *codec, at_once, left_out); });
      }
    }
  }
}

void convolve(int64_t time0, int64_t time1, bool of_every_row) {
  hold(kF32, [&](Call& c) {
    const int64_t channels = 12, half = 5;
    const CausalConvolution spec{time0, time1, c.vector(channels * time0), c.vector(channels)};
    Blocks past(c, (time0 - 1 + time1 - 1) * channels + half, of_every_row);
    for (const auto& [lengths, n] :
         {std::pair{std::vector<int64_t>{6, 1}, std::vector<int64_t>{6, 1}},
          std::pair{std::vector<int64_t>{7, 9}, std::vector<int64_t>{1, 8}}}) {
      const Tokens tokens(lengths, n);
      const int64_t rows = n[0] + n[1];
      const Rows<float> x = c.rows(rows, channels), current = c.rows(rows, half);
      const Rows<float> delayed = c.rows(rows, half), y = c.rows(rows, channels);
      const Rows<float> windows = c.rows(rows, channels * time1), values = c.rows(rows, 2 * half);
      c.ops.convolve(spec, tokens.rows(), past.step(n), x, current, delayed, y, windows, values,
                     c.scratch);
      c.out(y);
      c.out(windows);
      c.out(values);
      past.out();
    }
  });
}

TEST(Ops, ConvolvesOverTime) {
  for (const auto& [time0, time1] : {std::pair{2, 2}, std::pair{1, 1}, std::pair{4, 3}}) {
    for (const bool of_every_row : {false, true}) convolve(time0, time1, of_every_row);
  }
}

TEST(Ops, MixesHeads) {
  for (const bool is_logarithm : {false, true}) {
    hold(kF32, [&](Call& c) {
      const HeadMeans spec{6, 2, 10, c.vector(2), is_logarithm, 1e-7f, 0.5f};
      const Rows<float> raw = c.rows(5, 80), z = c.rows(5, 80), keys = c.rows(5, 20);
      c.ops.mix_heads(spec, raw, z, keys);
      c.out(z.columns(0, 60));
      c.out(keys);
    });
  }
}

TEST(Ops, ResidualsOfOneStream) {
  hold(kF32, [](Call& c) {
    const Rows<float> x = c.rows(4, 90);
    c.ops.add_residual(c.rows(4, 90), {}, x);
    const Rows<float> y = c.rows(4, 90);
    c.ops.add_residual(y, c.vector(1), x);
    c.out(x);
    const ResidualScales s{c.vector(90), c.vector(90), c.vector(90), c.vector(90)};
    c.ops.add_scaled_residual(s, c.rows(4, 90), x);
    c.out(x);
  });
}

TEST(Ops, ConnectsStreams) {
  hold(1e-10, [](Call& c) {  // twenty rounds of division
    const int64_t n = 4, d = 600, all = stream_coefficients(n);
    const Rows<float> streams = c.rows(11, n * d), z = c.rows(11, all), input = c.rows(11, d);
    const auto reader = [&](int64_t rows, bool writes_back) {
      return StreamReader{.fn = c.matrix(kF32Codec, rows, n * d),
                          .base = c.vector(rows),
                          .scale = c.vector(3),
                          .writes_back = writes_back,
                          .sinkhorn_iters = 20};
    };
    c.ops.connect_streams(reader(all, true), {}, streams, z, input);
    c.out(input);
    c.out(z);
    c.ops.connect_streams(reader(all, true), c.rows(11, d), streams, z, input);
    c.out(streams);
    c.ops.connect_streams(reader(n, false), c.rows(11, d), streams, z, input);
    c.out(input);
  });
}

// A forward pass is planned on counting_ops: what they take is what the others take.
TEST(Ops, CountingTakesWhatRunningTakes) {
  const std::vector<int64_t> lengths = {70, 9, 300};
  const std::vector<std::function<void(Call&)>> calls = {
      [](Call& c) {
        SomeExperts experts(c, kBf16Codec, 2, 40, 24, 9);
        const std::vector<int64_t> first = {0, 5, 9, 9};
        c.ops.run_experts(experts, {}, first, c.rows(9, 40), c.scratch);
      },
      [&](Call& c) {
        const State state(c, {2, 20, DType::kBF16, RowKind::kKeysAndValues}, lengths);
        const Tokens tokens(lengths, {3, 0, 1});
        const Rows<float> q = c.rows(4, 80), found = c.rows(4, 80);
        c.ops.attend({.n_heads = 4, .layout = state.layout}, state.step(), tokens.rows(), q, found,
                     c.scratch);
      },
      [](Call& c) {
        const Rows<float> x = c.rows(9, 200);
        const Rows<float> a = c.rows(9, 48), b = c.rows(9, 20);
        std::array<Matmul, 2> group = {product(x, c.matrix(kQ8Codec, 48, 200), a),
                                       product(x, c.matrix(kBf16Codec, 20, 200), b)};
        c.ops.matmul(group, c.scratch);
      },
  };
  ThreadPool pool(3);
  for (size_t i = 0; i < calls.size(); ++i) {
    const std::unique_ptr<Ops> running = cpu_ops({&ref_kernels(), &pool}),
                               counting = counting_ops(3);
    Call real(*running), counted(*counting);
    calls[i](real);
    counted.scratch = Arena();
    calls[i](counted);
    EXPECT_GT(real.scratch.peak(), 0u);
    EXPECT_EQ(counted.scratch.peak(), real.scratch.peak()) << i;
  }
}

}  // namespace
}  // namespace longhaul
