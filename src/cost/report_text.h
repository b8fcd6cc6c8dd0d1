// How reports for people put numbers and sentences.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace longhaul {

inline constexpr size_t kReportColumns = 100;

std::string duration_text(double seconds);         // "1.2 s", "12min", "3.4 h": six columns at most
std::string speed_text(double tokens_per_second);  // "17.3", "240"

// The lines of a text, broken at words. The first one begins behind `indent` columns that are
// printed already; later ones stand under it.
std::string wrapped(std::string_view text, size_t indent = 0);

}  // namespace longhaul
