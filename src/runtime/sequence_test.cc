// Memory of sequences: what they draw, whether they would fit, what forks and snapshots share, and
// what a step looks at of it.
#include "runtime/sequence.h"

#include "runtime/runtime_testing.h"
#include "runtime/step_state.h"

namespace longhaul {
namespace {

constexpr int64_t kMaxTokens = 700;
constexpr DType kFormats[] = {DType::kF32, DType::kBF16, DType::kI8};

// The answer is what growing takes, to the page.
TEST(Sequence, WouldItFitAndAtWhichLength) {
  for (const Architecture& arch : small_models()) {
    for (const StateFormat format : kFormats) {
      for (const int64_t n : {1, 15, 256, 257, 511, 512, 700}) {
        for (const int less : {0, 1}) {
          const uint64_t bytes =
              state_bytes(arch, n, kMaxTokens, format) - static_cast<uint64_t>(less);
          SCOPED_TRACE(arch.name + ", " + std::to_string(bytes) + " bytes");
          const int64_t most = tokens_that_fit(arch, format, kMaxTokens, bytes);
          EXPECT_EQ(most >= n, less == 0) << most;
          const PagePool pool(bytes);
          auto s = Sequence::create(arch, format, kMaxTokens, pool);
          if (most == 0) {
            EXPECT_FALSE(s.ok() && s->reserve(1).ok());
            continue;
          }
          ASSERT_TRUE(s.ok());
          const uint64_t pages = s->bytes_to_reserve(most), before = pool.used_bytes();
          ASSERT_TRUE(s->reserve(most).ok());
          EXPECT_EQ(pool.used_bytes() - before, pages);
          EXPECT_EQ(pool.used_bytes(), state_bytes(arch, most, kMaxTokens, format));
          EXPECT_EQ(s->allocated_bytes(), pool.used_bytes());
          if (most == kMaxTokens) continue;
          const uint64_t used = pool.used_bytes();
          EXPECT_GT(s->bytes_to_reserve(most + 1), pool.free_bytes());
          const Status status = s->reserve(most + 1);
          ASSERT_FALSE(status.ok());
          EXPECT_EQ(status.error().code, ErrorCode::kOverBudget);
          EXPECT_EQ(pool.used_bytes(), used) << "half a reserve is given back";
          EXPECT_TRUE(s->reserve(most).ok());
        }
      }
    }
  }
}

TEST(Sequence, FitsBesideOthers) {
  const Architecture arch = sharing_model();
  const PagePool pool(state_bytes(arch, 600, kMaxTokens, DType::kF32) +
                      state_bytes(arch, 300, kMaxTokens, DType::kF32));
  Sequence first = must(Sequence::create(arch, DType::kF32, kMaxTokens, pool));
  ASSERT_TRUE(first.reserve(600).ok());
  const int64_t most = tokens_that_fit(arch, DType::kF32, kMaxTokens, pool.free_bytes());
  EXPECT_EQ(most, 2 * kPageSlots);
  Sequence second = must(Sequence::create(arch, DType::kF32, kMaxTokens, pool));
  EXPECT_TRUE(second.reserve(most).ok());
  EXPECT_FALSE(second.reserve(most + 1).ok());
  {
    const Sequence gone = std::move(first);
  }
  EXPECT_TRUE(second.reserve(kMaxTokens).ok()) << "the first is gone";
}

// A page that is not full is copied by the first of its holders who writes to it, and by no other.
TEST(Sequence, ForksDrawWhatTheyDoNotShare) {
  for (const Architecture& arch : small_models()) {
    SCOPED_TRACE(arch.name);
    const PagePool pool;
    Sequence s = must(Sequence::create(arch, DType::kBF16, kMaxTokens, pool));
    ASSERT_TRUE(s.fill_random(300, 1).ok());
    const uint64_t alone = pool.used_bytes(),
                   small = state_bytes(arch, 0, kMaxTokens, DType::kBF16);
    Sequence fork = must(s.fork());
    EXPECT_EQ(pool.used_bytes(), alone + small) << "rings and fixed blocks";
    EXPECT_EQ(fork.allocated_bytes(), s.allocated_bytes());
    const uint64_t open = fork.bytes_to_reserve(320);
    EXPECT_GT(open, 0u);
    ASSERT_TRUE(fork.reserve(320).ok());
    EXPECT_EQ(pool.used_bytes(), alone + small + open);
    EXPECT_EQ(fork.bytes_to_reserve(320), 0u);
    EXPECT_EQ(s.bytes_to_reserve(320), 0u) << "the others' pages are its own now";
    const StateSnapshot kept = must(s.snapshot());
    EXPECT_EQ(s.bytes_to_reserve(320), open);
    ASSERT_TRUE(s.rewind(kept).ok());
    EXPECT_EQ(s.bytes_to_reserve(320), open) << "the snapshot stays as it is";
  }
}

TEST(Sequence, RewindsToSnapshotsOfItsKindAlone) {
  const Architecture arch = sharing_model(), other = mixture_model();
  Sequence s = must(Sequence::create(arch, DType::kF32, kMaxTokens));
  ASSERT_TRUE(s.fill_random(40, 1).ok());
  const StateSnapshot at_40 = must(s.snapshot());
  const auto refused = [&](Result<Sequence> sequence) {
    const Status status = sequence->rewind(at_40);
    return !status.ok() && status.error().code == ErrorCode::kInvalidArgument &&
           sequence->length() == 0;
  };
  EXPECT_TRUE(refused(Sequence::create(other, DType::kF32, kMaxTokens)));
  EXPECT_TRUE(refused(Sequence::create(arch, DType::kBF16, kMaxTokens)));
  EXPECT_TRUE(refused(Sequence::create(arch, DType::kF32, 39))) << "it would not fit";
  Sequence same = must(Sequence::create(arch, DType::kF32, 100));
  ASSERT_TRUE(same.rewind(at_40).ok());
  EXPECT_EQ(same.length(), 40);
  EXPECT_EQ(same.max_tokens(), 100);
}

// To begin a step costs as much behind a long context as behind a short one.
TEST(StepState, LooksAtNoMorePagesOfALongContext) {
  for (const Architecture& arch : small_models()) {
    SCOPED_TRACE(arch.name);
    const StepLimits limits{.max_rows = 8, .max_sequences = 1, .kv = DType::kI8};
    StepState state = must(StepState::create(arch, limits));
    const auto visits_behind = [&](int64_t length) {
      Sequence s = must(Sequence::create(arch, DType::kI8, length + 1));
      EXPECT_TRUE(s.fill_random(length, 1).ok() && s.reserve(length + 1).ok());
      Sequence* const sequences[] = {&s};
      const SequenceRows rows[] = {{0, 1}};
      const int64_t before = state.n_visited();
      state.begin(sequences, rows);
      // The step is given every page all the same.
      for (size_t i = 0; i < arch.states.size(); ++i) {
        if (!arch.states[i].is_paged() || arch.states[i].ratio != 1) continue;
        const auto segments = state.kv(static_cast<StateId>(i)).segments[0];
        EXPECT_EQ(static_cast<int64_t>(segments.size()), length / kPageSlots + 1);
      }
      return state.n_visited() - before;
    };
    const int64_t few = visits_behind(300);
    EXPECT_LE(few, 3 * static_cast<int64_t>(arch.states.size()));
    EXPECT_EQ(visits_behind(300 + 512 * 200), few);
  }
}

}  // namespace
}  // namespace longhaul
