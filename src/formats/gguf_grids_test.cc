#include "formats/gguf_grids.h"

#include <gtest/gtest.h>

#include <span>

namespace longhaul {
namespace {

template <class Grid>
uint64_t fnv1a(const Grid& grid) {
  uint64_t value = 0xcbf29ce484222325;
  for (const std::byte b : std::as_bytes(std::span(grid)))
    value = (value ^ std::to_integer<uint64_t>(b)) * 0x100000001b3;
  return value;
}

// Of the arrays of gguf 0.19.0, as tools/make_gguf_grids.py prints them.
TEST(GgufGrids, HaveTheReferencesChecksums) {
  EXPECT_EQ(fnv1a(kIq2XxsGrid), 0xbb4ee025b5ac6e8e);
  EXPECT_EQ(fnv1a(kIq2XsGrid), 0xc9b1ee61e79909bd);
  EXPECT_EQ(fnv1a(kIq2SGrid), 0x123edd38a3b62b90);
  EXPECT_EQ(fnv1a(kIq3XxsGrid), 0xdfa5dc83d6a155d5);
  EXPECT_EQ(fnv1a(kIq3SGrid), 0xfa37020c25b44829);
  EXPECT_EQ(fnv1a(kIq1Grid), 0x99649f4b16b0d5dd);
}

}  // namespace
}  // namespace longhaul
