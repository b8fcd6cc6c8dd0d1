#include "cost/exact_number.h"

#include <fmt/format.h>

#include <cmath>

#include "longhaul/units.h"

namespace longhaul {
namespace {

constexpr double kWholeBelow = 0x1p63;

bool is_whole(double n) { return n >= 0 && n < kWholeBelow && n == std::floor(n); }

}  // namespace

std::string exact_number(double n) {
  if (!(n >= 0 && n < kWholeBelow)) return fmt::format("{}", n);
  const auto whole = static_cast<uint64_t>(n);
  if (is_whole(n)) return format_exact(whole);
  std::string fraction = fmt::format("{:.7f}", n - std::floor(n))
                             .substr(1);  // shares of up to 128 tokens have seven digits
  fraction.erase(fraction.find_last_not_of('0') + 1);
  return format_exact(whole) + fraction;
}

Json json_number(double n) { return is_whole(n) ? Json(static_cast<uint64_t>(n)) : Json(n); }

}  // namespace longhaul
