#include "checkpoint/finite.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace longhaul {
namespace {

// The exponent of a number that is none, or infinite, is all ones.
template <class Bits>
std::optional<int64_t> first_with(Bits exponent, const std::byte* elements, int64_t n) {
  const auto is_bad = [&](int64_t i) {
    Bits bits;
    std::memcpy(&bits, elements + i * static_cast<int64_t>(sizeof bits), sizeof bits);
    return static_cast<Bits>(bits & exponent) == exponent;
  };
  // Without an early end the compiler makes vectors of it.
  constexpr int64_t kRun = 4096;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = std::min(n, begin + kRun);
    bool any = false;
    for (int64_t i = begin; i < end; ++i) any |= is_bad(i);
    for (int64_t i = begin; any && i < end; ++i) {
      if (is_bad(i)) return i;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<int64_t> first_not_finite(DType dtype, const std::byte* elements, int64_t n) {
  switch (dtype) {
    case DType::kF32: return first_with<uint32_t>(0x7f800000u, elements, n);
    case DType::kBF16: return first_with<uint16_t>(0x7f80u, elements, n);
    case DType::kF16: return first_with<uint16_t>(0x7c00u, elements, n);
    default: LH_CHECK(false); return std::nullopt;
  }
}

Status check_finite(DType dtype, const std::byte* elements, int64_t n, int64_t first) {
  const auto at = first_not_finite(dtype, elements, n);
  if (!at) return {};
  return corrupt(
      "element {} is infinite or no number, and would spoil every answer; download the file again",
      first + *at);
}

}  // namespace longhaul
