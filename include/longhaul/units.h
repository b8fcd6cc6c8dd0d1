// Numbers for people: sizes and counts as they are printed and typed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "longhaul/result.h"

namespace longhaul {

std::string format_exact(uint64_t n);                    // "811,597,824"
std::string format_bytes(uint64_t bytes);                // binary units: "774.0 MiB"
std::string format_count(double n);                      // K, M, B, T: "4.63 B"
std::string format_si(double n, std::string_view unit);  // "19.71 GFLOP"
std::string format_tokens(int64_t n);                    // "128K" where whole, else exact

// "4096", "128k" (131072), "1M", "1.5k": binary multiples, since contexts are powers of two. Not
// negative.
Result<int64_t> parse_count(std::string_view text);
// "24GiB" and "24G" are binary, "1.5GB" decimal, no unit means bytes; upper or lower case.
Result<uint64_t> parse_bytes(std::string_view text);

}  // namespace longhaul
