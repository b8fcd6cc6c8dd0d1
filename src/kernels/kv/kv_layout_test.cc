// Rows of attention state in their blocks: where each number stands, and that it survives being
// moved.
#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "kernels/kernels_testing.h"
#include "kernels/kv/kv_layout.h"

namespace longhaul {
namespace {

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16};

float element(DType dtype, const std::byte* at) {
  if (dtype == DType::kF32) {
    float x;
    std::memcpy(&x, at, sizeof x);
    return x;
  }
  bf16 x;
  std::memcpy(&x.bits, at, sizeof x.bits);
  return to_f32(x);
}

float rounded(DType dtype, float x) { return dtype == DType::kF32 ? x : to_f32(to_bf16(x)); }

TEST(KvLayout, ASlotTakesAsManyVectorsAsItHolds) {
  for (int64_t dim : {2, 16, 17, 512}) {
    const auto bytes = [&](DType dtype, RowKind rows) {
      return KvLayout{3, dim, dtype, rows}.bytes_per_slot();
    };
    const uint64_t one = 3 * static_cast<uint64_t>(round_up(dim, 16));
    EXPECT_EQ(bytes(DType::kF32, RowKind::kKeysAndValues), 8 * one);
    EXPECT_EQ(bytes(DType::kBF16, RowKind::kKeysAndValues), 4 * one);
    for (RowKind rows : {RowKind::kShared, RowKind::kKeys}) {
      EXPECT_EQ(bytes(DType::kF32, rows), 4 * one);
      EXPECT_EQ(bytes(DType::kBF16, rows), 2 * one);
    }
  }
}

TEST(KvLayout, SharedRowsStandOneAfterAnother) {
  for (DType dtype : kDTypes) {
    for (int64_t dim : {2, 10, 16, 48, 512}) {
      const KvLayout layout{1, dim, dtype, RowKind::kShared};
      const AlignedBytes block(layout.block_bytes(32));
      const auto rows = random_floats(32 * dim, 3);
      for (int64_t slot = 31; slot >= 0; --slot)
        store_kv(layout, block.data(), 32, slot, rows.data() + slot * dim, nullptr);
      for (int64_t slot = 0; slot < 32; ++slot) {
        const std::byte* row = layout.shared_row(block.data(), slot);
        for (int64_t d = 0; d < layout.padded_dim(); ++d) {
          const float expected =
              d < dim ? rounded(dtype, rows[static_cast<size_t>(slot * dim + d)]) : 0.0f;
          ASSERT_EQ(element(dtype, row + static_cast<uint64_t>(d) * bytes_per_element(dtype)),
                    expected)
              << slot << ", " << d;
        }
      }
    }
  }
}

// A product with the keys' panels is the scores: that is all the layout is for.
TEST(KvLayout, KeysAloneAreMultipliedLikeKeysBesideValues) {
  for (DType dtype : kDTypes) {
    for (int64_t dim : {2, 10, 16, 48}) {
      const KvLayout alone{1, dim, dtype, RowKind::kKeys},
          both{1, dim, dtype, RowKind::kKeysAndValues};
      const AlignedBytes a(alone.block_bytes(48)), b(both.block_bytes(48));
      const auto keys = random_floats(48 * dim, 5), values = random_floats(48 * dim, 6);
      for (int64_t s = 0; s < 48; ++s) {
        store_kv(alone, a.data(), 48, s, keys.data() + s * dim, nullptr);
        store_kv(both, b.data(), 48, s, keys.data() + s * dim, values.data() + s * dim);
      }
      for (int64_t first : {0, 16, 32}) {
        const Panels from_a = alone.keys(a.data(), 48, 0, first),
                     from_b = both.keys(b.data(), 48, 0, first);
        ASSERT_EQ(from_a.panel_stride, from_b.panel_stride);
        ASSERT_EQ(from_a.step_stride, from_b.step_stride);
        ASSERT_EQ(std::memcmp(from_a.data, from_b.data, static_cast<size_t>(from_a.panel_stride)),
                  0)
            << dim << " from " << first;
      }
      const std::byte* panel = alone.keys(a.data(), 48, 0, 16).data;
      for (int64_t slot = 0; slot < 16; ++slot) {
        for (int64_t d = 0; d < dim; ++d) {
          const int64_t step = inputs_per_step(dtype),
                        at = d / step * step * kPanel + slot * step + d % step;
          ASSERT_EQ(element(dtype, panel + static_cast<uint64_t>(at) * bytes_per_element(dtype)),
                    rounded(dtype, keys[static_cast<size_t>((16 + slot) * dim + d)]));
        }
      }
    }
  }
}

TEST(KvLayout, CopiesAreWhatWasStored) {
  for (DType dtype : kDTypes) {
    for (RowKind rows : {RowKind::kKeysAndValues, RowKind::kShared, RowKind::kKeys}) {
      for (int64_t heads : {1, 3}) {
        const KvLayout layout{heads, 10, dtype, rows};
        const AlignedBytes from(layout.block_bytes(16)), to(layout.block_bytes(48)),
            direct(layout.block_bytes(48));
        const auto k = random_floats(16 * heads * 10, 7), v = random_floats(16 * heads * 10, 8);
        for (int64_t s = 0; s < 16; ++s) {
          const int64_t other = (s * 5 + 3) % 48;
          store_kv(layout, from.data(), 16, s, k.data() + s * heads * 10,
                   v.data() + s * heads * 10);
          store_kv(layout, direct.data(), 48, other, k.data() + s * heads * 10,
                   v.data() + s * heads * 10);
          copy_kv(layout, from.data(), 16, s, to.data(), 48, other, 1);
        }
        EXPECT_EQ(std::memcmp(to.data(), direct.data(), layout.block_bytes(48)), 0)
            << static_cast<int>(rows);
      }
    }
  }
}

TEST(KvLayout, RunsAreCopiedLikeTheirPositions) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kI8}) {
    for (RowKind rows : {RowKind::kKeysAndValues, RowKind::kShared, RowKind::kKeys}) {
      const KvLayout layout{2, 24, dtype, rows};
      const AlignedBytes from(layout.block_bytes(64));
      const auto k = random_floats(64 * 48, 9), v = random_floats(64 * 48, 10);
      for (int64_t s = 0; s < 64; ++s)
        store_kv(layout, from.data(), 64, s, k.data() + s * 48, v.data() + s * 48);
      for (const auto& [begin, to, n] :
           {std::array<int64_t, 3>{0, 32, 64}, {5, 21, 50}, {16, 0, 16}, {3, 4, 20}, {48, 95, 1}}) {
        const AlignedBytes run(layout.block_bytes(96)), single(layout.block_bytes(96));
        copy_kv(layout, from.data(), 64, begin, run.data(), 96, to, n);
        for (int64_t i = 0; i < n; ++i)
          copy_kv(layout, from.data(), 64, begin + i, single.data(), 96, to + i, 1);
        EXPECT_EQ(std::memcmp(run.data(), single.data(), layout.block_bytes(96)), 0)
            << begin << " to " << to;
      }
    }
  }
}

// Behind a row its panel's values become zeros; keys, other panels and other rows stay.
TEST(KvLayout, ValuesBehindTheRowsAreCleared) {
  for (DType dtype : kDTypes) {
    for (int64_t slot = 17; slot <= 32; ++slot) {
      const KvLayout layout{2, 20, dtype, RowKind::kKeysAndValues};
      const AlignedBytes block(layout.block_bytes(48)), expected(layout.block_bytes(48));
      const std::vector<float> rows = random_floats(48 * 40, 3), zeros(40, 0.0f);
      for (int64_t s = 0; s < 48; ++s) {
        const float* k = rows.data() + s * 40;
        const bool is_cleared = s >= slot && s < 32;
        store_kv(layout, block.data(), 48, s, k, k);
        store_kv(layout, expected.data(), 48, s, k, is_cleared ? zeros.data() : k);
      }
      clear_values_from(layout, block.data(), 48, slot);
      EXPECT_EQ(std::memcmp(block.data(), expected.data(), layout.block_bytes(48)), 0) << slot;
    }
  }
}

}  // namespace
}  // namespace longhaul
