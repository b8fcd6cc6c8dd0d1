// How one row of attention state is kept: as plain elements of the cache's dtype, or coded as the
// model was released with.
#pragma once

#include <cstdint>

#include "base/checked_math.h"

namespace longhaul {

// What a cache is kept in: every row in plain elements, or each in the format its model was
// released with.
enum class CacheFormat { kAsDtype, kReleased };

enum class RowCoding {
  kPlain,      // elements of the cache's dtype
  kFp8ByE8M0,  // E4M3, an E8M0 scale every 64 channels, the scales padded to 8 bytes
  kFp8ByF32,   // E4M3, an F32 scale every 128 channels
  kMxFp4,      // E2M1, an E8M0 scale every 32 channels
};

struct RowFormat {
  RowCoding coding = RowCoding::kPlain;
  int64_t bf16_tail = 0;  // that many channels at the end stay bf16: those that positions turn
};

// Bytes of a row of so many channels; coding is not kPlain.
inline uint64_t coded_row_bytes(const RowFormat& format, int64_t channels) {
  const int64_t coded = channels - format.bf16_tail;
  int64_t bytes = 2 * format.bf16_tail;
  if (format.coding == RowCoding::kFp8ByE8M0)
    bytes += coded + round_up(ceil_div(coded, int64_t{64}), int64_t{8});
  if (format.coding == RowCoding::kFp8ByF32) bytes += coded + 4 * ceil_div(coded, int64_t{128});
  if (format.coding == RowCoding::kMxFp4)
    bytes += ceil_div(coded, int64_t{2}) + ceil_div(coded, int64_t{32});
  return static_cast<uint64_t>(bytes);
}

}  // namespace longhaul
