// Arithmetic on sizes that came from a file or a request: overflow is an empty optional, never a
// wrap.
#pragma once

#include <cstdint>
#include <optional>

namespace longhaul {

inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t r;
  if (__builtin_add_overflow(a, b, &r)) return std::nullopt;
  return r;
}

inline std::optional<uint64_t> checked_mul(uint64_t a, uint64_t b) {
  uint64_t r;
  if (__builtin_mul_overflow(a, b, &r)) return std::nullopt;
  return r;
}

// Sums over a context are of order n^2: they are formed in 128 bits and checked when they leave.
using Wide = unsigned __int128;

inline constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace longhaul
