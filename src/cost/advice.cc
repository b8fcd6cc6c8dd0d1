#include "cost/advice.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "cost/fit_row.h"
#include "cost/report_text.h"
#include "longhaul/units.h"

namespace longhaul {
namespace {

constexpr double kReadingSpeed = 5;  // tokens a second

// The cache's own rank: 8 bits and released formats round its rows, bf16 hardly does.
int cache_rank(const FitRow& row) { return row.kv == "bf16" ? 0 : row.kv == "f32" ? 2 : 1; }

auto fineness(const FitRow& row) { return std::tuple(row.rounding_error, cache_rank(row)); }

double tokens_per_second(const FitRow& row) {
  return row.speed ? row.speed->decode_tokens_per_second : kReadingSpeed;
}

// Rows of one context that are worth taking, the finest first.
std::vector<size_t> candidates(const FitTable& table, int64_t context) {
  std::vector<size_t> rows;
  for (size_t i = 0; i < table.rows.size(); ++i) {
    if (table.rows[i].context == context && is_of_use(table.rows[i])) rows.push_back(i);
  }
  std::stable_sort(rows.begin(), rows.end(), [&](size_t a, size_t b) {
    return fineness(table.rows[a]) < fineness(table.rows[b]);
  });
  return rows;
}

std::optional<size_t> choose(const FitTable& table, const std::vector<size_t>& finest_first) {
  std::optional<size_t> fastest;
  for (const size_t i : finest_first) {
    const FitRow& row = table.rows[i];
    if (!row.fits) continue;
    if (tokens_per_second(row) >= kReadingSpeed) return i;
    if (!fastest || tokens_per_second(row) > tokens_per_second(table.rows[*fastest])) fastest = i;
  }
  return fastest;
}

std::string seconds_text(double seconds) {
  if (seconds < 0.95) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds < 100) return fmt::format("{:.{}f} s", seconds, seconds < 10 ? 1 : 0);
  if (seconds < 6000) return fmt::format("{:.0f} minutes", seconds / 60);
  return fmt::format("{:.1f} hours", seconds / 3600);
}

std::string name_of(const FitRow& row) {
  return fmt::format("{} weights with a {} cache", row.weights, row.kv);
}

// Why the next finer one is not it.
std::string why_no_finer(const FitTable& table, const std::vector<size_t>& finest_first,
                         size_t chosen) {
  const FitRow* finer = nullptr;
  for (const size_t i : finest_first) {
    if (i == chosen) break;
    if (table.rows[i].kv == table.rows[chosen].kv || finer == nullptr) finer = &table.rows[i];
  }
  if (finer == nullptr) return "";
  if (!finer->fits)
    return fmt::format(" {} would need {}.", name_of(*finer), format_bytes(finer->total_bytes));
  return fmt::format(" {} would fit, at {} tokens a second.", name_of(*finer),
                     speed_text(tokens_per_second(*finer)));
}

std::string how_to_get(const FitRow& row) {
  if (row.is_natural) return "";
  if (row.weights == "f32") return " Ask for it with --weights f32.";
  return fmt::format(
      " Ask for it with --weights {0}, or write it once with `longhaul quantize "
      "MODEL --weights {0} --out DIR`.",
      row.weights);
}

std::string praise(const FitTable& table, const std::vector<size_t>& finest_first, size_t chosen,
                   int64_t context) {
  const FitRow& row = table.rows[chosen];
  const bool is_slow = tokens_per_second(row) < kReadingSpeed;
  std::string text = fmt::format("Take {}{} for {} of context: {} of {}, {}", name_of(row),
                                 row.is_natural ? ", as the model is," : "", format_tokens(context),
                                 format_bytes(row.total_bytes), format_bytes(table.memory),
                                 is_slow ? "the fastest that fit" : "the least rounding that fits");
  if (row.speed) {
    text += fmt::format("; about {} tokens a second then, and {} to read a prompt that fills it",
                        speed_text(tokens_per_second(row)),
                        seconds_text(row.speed->first_token_seconds));
  }
  return text + "." + why_no_finer(table, finest_first, chosen) + how_to_get(row);
}

std::string regret(const FitTable& table, int64_t context) {
  const auto smallest = std::min_element(
      table.rows.begin(), table.rows.end(),
      [](const FitRow& a, const FitRow& b) { return a.total_bytes < b.total_bytes; });
  return fmt::format(
      "Nothing fits {} at {} of context or less here: {} at {} is the smallest, and needs {}. Give "
      "more memory, ask for a shorter --context, or take a smaller model{}.",
      format_bytes(table.memory), format_tokens(context), name_of(*smallest),
      format_tokens(smallest->context), format_bytes(smallest->total_bytes),
      table.has_experts ? ", or leave experts in their files with --expert-cache SIZE" : "");
}

}  // namespace

void advise(FitTable& table, int64_t context) {
  for (auto at = table.contexts.rbegin(); at != table.contexts.rend(); ++at) {
    if (*at > context) continue;
    const std::vector<size_t> rows = candidates(table, *at);
    table.recommended = choose(table, rows);
    if (!table.recommended) continue;
    table.advice = praise(table, rows, *table.recommended, *at);
    if (*at < context)
      table.advice = fmt::format("Nothing fits {} at {} of context. ", format_bytes(table.memory),
                                 format_tokens(context)) +
                     table.advice;
    return;
  }
  table.advice = regret(table, context);
}

}  // namespace longhaul
