#include "cost/fit_report.h"

#include <fmt/format.h>

#include <iterator>

#include "cost/fit_row.h"
#include "cost/report_text.h"
#include "longhaul/units.h"

namespace longhaul {
namespace {

using Out = std::back_insert_iterator<std::string>;

// "17.3G": five columns.
std::string short_bytes(uint64_t bytes) {
  constexpr double kKi = 1024;
  double n = static_cast<double>(bytes);
  const char* unit = "BKMGT";
  while (n >= 999.5 && unit[1] != '\0') {
    n /= kKi;
    ++unit;
  }
  return fmt::format("{:.{}f}{}", n, n < 99.95 && *unit != 'B' ? 1 : 0, *unit);
}

std::string cell(const FitRow& row) {
  const std::string bytes = short_bytes(row.total_bytes);
  if (!row.fits) return fmt::format("{:>6} too much    ", bytes);
  if (!row.speed) return fmt::format("{:>6} fits        ", bytes);
  return fmt::format("{:>6} {:>5} {:>6}", bytes, speed_text(row.speed->decode_tokens_per_second),
                     duration_text(row.speed->first_token_seconds));
}

void add_head(Out out, const FitTable& t) {
  fmt::format_to(out, "{}: {} of memory {}, {} thread{}", t.model, format_bytes(t.memory),
                 t.is_memory_given ? "as asked" : "available here", t.threads,
                 t.threads == 1 ? "" : "s");
  if (t.memory_bytes_per_second > 0)
    fmt::format_to(out, ", which read {:.1f} GB/s", t.memory_bytes_per_second / 1e9);
  fmt::format_to(out, "\n\n{:<19}", "context");
  for (const int64_t context : t.contexts)
    fmt::format_to(out, " {:>19}",
                   format_tokens(context) + (context > t.max_positions ? " (beyond)" : ""));
  fmt::format_to(out, "\n{:<10}{:<9}", "weights", "cache");
  for (size_t i = 0; i < t.contexts.size(); ++i)
    fmt::format_to(out, " {:>6} {:>5} {:>6}", "memory", "tok/s", "first");
  fmt::format_to(out, "\n");
}

void add_rows(Out out, const FitTable& t) {
  const size_t n_contexts = t.contexts.size();
  for (size_t i = 0; i < t.rows.size(); i += n_contexts) {
    const FitRow& first = t.rows[i];
    if (!is_of_use(first)) continue;
    std::string line =
        fmt::format("{:<10}{:<9}", first.weights + (first.is_natural ? "*" : ""), first.kv);
    for (size_t c = 0; c < n_contexts; ++c) line += " " + cell(t.rows[i + c]);
    fmt::format_to(out, "{}\n", line.substr(0, line.find_last_not_of(' ') + 1));
  }
}

Json row_json(const FitRow& r) {
  Json row = Json::object({{"weights", r.weights},
                           {"kv", r.kv},
                           {"context", r.context},
                           {"is_natural", r.is_natural},
                           {"rounding_error", r.rounding_error}});
  add_price(row, r);
  return row;
}

}  // namespace

void add_price(Json& row, const FitRow& r) {
  row.set("weight_bytes", r.weight_bytes);
  row.set("weight_bytes_mapped", r.mapped_bytes);
  row.set("state_bytes", r.state_bytes);
  row.set("scratch_bytes", r.scratch_bytes);
  row.set("total_bytes", r.total_bytes);
  row.set("fits", r.fits);
  row.set("speed",
          r.speed ? Json::object({{"first_token_seconds", r.speed->first_token_seconds},
                                  {"prefill_tokens_per_second", r.speed->prefill_tokens_per_second},
                                  {"decode_tokens_per_second", r.speed->decode_tokens_per_second}})
                  : Json());
}

std::string fit_report(const FitTable& t) {
  std::string text;
  const Out out(text);
  add_head(out, t);
  add_rows(out, t);
  fmt::format_to(out,
                 "\n* as the model is kept where nothing is asked for. tok/s: decoding at the end "
                 "of the context.\nfirst: until the first token of a prompt that fills it.{}\n\n{}",
                 t.memory_bytes_per_second > 0 ? " Predicted, from rates measured just now." : "",
                 wrapped(t.advice));
  return text;
}

Json fit_json(const FitTable& t) {
  Json::Array contexts(t.contexts.begin(), t.contexts.end()), rows;
  for (const FitRow& r : t.rows) rows.push_back(row_json(r));
  return Json::object({{"model", t.model},
                       {"memory", t.memory},
                       {"memory_is_given", t.is_memory_given},
                       {"threads", t.threads},
                       {"max_positions", t.max_positions},
                       {"memory_bytes_per_second",
                        t.memory_bytes_per_second > 0 ? Json(t.memory_bytes_per_second) : Json()},
                       {"contexts", std::move(contexts)},
                       {"rows", std::move(rows)},
                       {"recommended", t.recommended ? row_json(t.rows[*t.recommended]) : Json()},
                       {"advice", t.advice}});
}

}  // namespace longhaul
