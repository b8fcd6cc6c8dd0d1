#include "longhaul/units.h"

#include "base/errors.h"

#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/checked_math.h"
#include "base/printable.h"

namespace longhaul {
namespace {

struct Unit {
  std::string_view suffix;
  uint64_t factor;
};

constexpr size_t kShownBytes = 60;  // of a text in a message

constexpr uint64_t kKi = 1024, kMi = kKi * kKi, kGi = kMi * kKi, kTi = kGi * kKi;
constexpr uint64_t kKilo = 1000, kMega = kKilo * kKilo, kGiga = kMega * kKilo,
                   kTera = kGiga * kKilo;

constexpr std::array kCountUnits = {Unit{"", 1}, Unit{"k", kKi}, Unit{"m", kMi}, Unit{"g", kGi}};
constexpr std::array kByteUnits = {
    Unit{"", 1},       Unit{"b", 1},     Unit{"k", kKi},    Unit{"kib", kKi}, Unit{"kb", kKilo},
    Unit{"m", kMi},    Unit{"mib", kMi}, Unit{"mb", kMega}, Unit{"g", kGi},   Unit{"gib", kGi},
    Unit{"gb", kGiga}, Unit{"t", kTi},   Unit{"tib", kTi},  Unit{"tb", kTera}};

// ASCII only: the answer must not depend on the locale.
std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

struct Scaled {
  uint64_t value = 0;  // INT64_MAX where it is more
  bool is_whole = true, is_too_large = false;
};

constexpr Scaled kTooLarge = {INT64_MAX, true, true};

// digits [ . digits ] suffix; nothing where the text is no such thing.
std::optional<Scaled> parse_scaled(std::string_view text, const Unit* begin, const Unit* end) {
  const size_t number_end = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string_view number = text.substr(0, number_end);
  std::string_view suffix_text = text.substr(number_end);
  while (!suffix_text.empty() && suffix_text.front() == ' ') suffix_text.remove_prefix(1);
  const std::string suffix = lower(suffix_text);
  const Unit* unit = begin;
  while (unit != end && unit->suffix != suffix) ++unit;
  if (unit == end || number.empty()) return std::nullopt;

  if (number.find('.') == std::string_view::npos) {
    uint64_t whole = 0;
    if (std::from_chars(number.data(), number.data() + number.size(), whole).ec != std::errc())
      return kTooLarge;
    const auto product = checked_mul(whole, unit->factor);
    if (!product || *product > INT64_MAX) return kTooLarge;
    return Scaled{*product, true};
  }
  double fraction = 0.0;
  const auto [stop, error] = std::from_chars(number.data(), number.data() + number.size(), fraction,
                                             std::chars_format::fixed);
  if (stop != number.data() + number.size() || error == std::errc::invalid_argument)
    return std::nullopt;
  const double product = fraction * static_cast<double>(unit->factor);
  if (error != std::errc() || !(product < 9.2e18)) return kTooLarge;
  return Scaled{static_cast<uint64_t>(product), product == std::floor(product)};
}

std::string scaled(double n, double base, const std::array<const char*, 6>& names) {
  size_t i = 0;
  // 999.96 would be printed as 1000.0: step on while rounding would carry.
  while (i + 1 < names.size() && n >= base - 0.05) {
    n /= base;
    ++i;
  }
  if (i == 0) return fmt::format("{:.{}f} {}", n, n == std::floor(n) ? 0 : 2, names[i]);
  return fmt::format("{:.{}f} {}", n, n < 9.995 ? 2 : 1, names[i]);
}

}  // namespace

std::string format_exact(uint64_t n) {
  std::string digits = std::to_string(n);
  for (size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
  return digits;
}

std::string format_bytes(uint64_t bytes) {
  return scaled(static_cast<double>(bytes), 1024.0, {"B", "KiB", "MiB", "GiB", "TiB", "PiB"});
}

std::string format_count(double n) {
  std::string text = scaled(n, 1000.0, {"", "K", "M", "B", "T", "P"});
  if (text.back() == ' ') text.pop_back();
  return text;
}

std::string format_si(double n, std::string_view unit) {
  return scaled(n, 1000.0, {"", "K", "M", "G", "T", "P"}).append(unit);
}

std::string format_tokens(int64_t n) {
  if (n >= (1 << 20) && n % (1 << 20) == 0) return fmt::format("{}M", n >> 20);
  if (n >= 1024 && n % 1024 == 0) return fmt::format("{}K", n >> 10);
  return format_exact(static_cast<uint64_t>(std::max<int64_t>(n, 0)));
}

Result<int64_t> parse_count(std::string_view text) {
  const auto parsed =
      parse_scaled(text, kCountUnits.data(), kCountUnits.data() + kCountUnits.size());
  const std::string shown = printable(text, kShownBytes);
  if (!parsed)
    return invalid("'{}' is not a count: expected a number such as 4096, 128k or 1M", shown);
  if (parsed->is_too_large)
    return invalid("'{}' is too large: expected at most {}", shown, INT64_MAX);
  if (!parsed->is_whole)
    return invalid("'{}' is not a whole number: expected one such as 4096, 128k or 1M", shown);
  return static_cast<int64_t>(parsed->value);
}

Result<uint64_t> parse_bytes(std::string_view text) {
  const auto parsed = parse_scaled(text, kByteUnits.data(), kByteUnits.data() + kByteUnits.size());
  const std::string shown = printable(text, kShownBytes);
  if (!parsed)
    return invalid(
        "'{}' is not a size: expected a number of bytes, or one such as 512MiB, 24GiB or 1.5GB",
        shown);
  if (parsed->is_too_large)
    return invalid("'{}' is too large: expected at most {} bytes", shown, INT64_MAX);
  return parsed->value;
}

}  // namespace longhaul
