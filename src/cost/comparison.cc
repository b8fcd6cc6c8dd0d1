#include "cost/comparison.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "cost/exact_number.h"
#include "longhaul/units.h"
#include "mechanisms/what_if.h"

namespace longhaul {
namespace {

using Out = std::back_insert_iterator<std::string>;

const char* format_name(const StateSpec& s) {
  switch (s.released.coding) {
    case RowCoding::kFp8ByE8M0:
    case RowCoding::kFp8ByF32: return "FP8";
    case RowCoding::kMxFp4: return "FP4";
    case RowCoding::kPlain: break;
  }
  return "plain";
}

// The formats of what grows, each once.
std::string released_formats(const Architecture& arch) {
  std::vector<std::string> names;
  for (const StateSpec& s : arch.states) {
    if (!s.is_paged()) continue;
    std::string name =
        fmt::format("{} {}", format_name(s), s.rows == RowKind::kKeys ? "keys" : "rows");
    if (std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(std::move(name));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

Result<Comparison::Side> price_side(const Architecture& arch, const PlanRequest& request) {
  LH_TRY(Plan asked, make_plan(arch, request));
  PlanRequest r = request;
  r.kv = {r.kv.dtype, CacheFormat::kReleased};
  LH_TRY(Plan released, make_plan(arch, r));
  // Of an edited model, those of what the edits left.
  LH_TRY(const Architecture edited, apply_what_ifs(arch, request.what_if));
  return Comparison::Side{std::move(asked), std::move(released), released_formats(edited)};
}

std::string value_text(const ComparedFigure& f, double value) {
  const std::string_view unit = f.unit;
  if (unit == "FLOP") return format_si(value, unit);
  return unit == "bytes" ? format_bytes(static_cast<uint64_t>(value)) : exact_number(value) + " B";
}

std::string name_of(const Plan& p) {
  return p.what_if.empty() ? p.name : fmt::format("{} with {}", p.name, fmt::join(p.what_if, ", "));
}

std::string weights_text(const Plan& model, const Plan& against) {
  const auto text = [](const Plan& p) {
    return p.weights == "released" ? std::string("as released") : "in " + p.weights;
  };
  return model.weights == against.weights ? text(model) : text(model) + " and " + text(against);
}

void add_note(Out out, const Plan& p) {
  if (p.context > p.max_positions) {
    fmt::format_to(out, "the context is beyond the {} positions {} was made for\n",
                   format_exact(static_cast<uint64_t>(p.max_positions)), p.name);
  }
}

}  // namespace

Result<Comparison> compare(const Architecture& model, const Architecture& against,
                           const PlanRequest& request,
                           std::optional<WeightFormat> against_weights) {
  PlanRequest r = request;
  r.memory.reset();  // no search for the largest context
  LH_TRY(Comparison::Side first, price_side(model, r));
  r.what_if.clear();
  r.weights = against_weights.value_or(r.weights.over(nullptr));
  LH_TRY(Comparison::Side second, price_side(against, r));
  return Comparison{std::move(first), std::move(second)};
}

std::vector<ComparedFigure> compared_figures(const Comparison& c) {
  const Plan &m = c.model.asked, &a = c.against.asked, &released = c.model.released,
             &other = c.against.released;
  const auto number = [](uint64_t n) { return static_cast<double>(n); };
  const std::string as_asked =
      m.kv == "released" ? "each model's released cache format" : "cache in " + m.kv;
  const std::string as_released = fmt::format("cache as released: {} against {}",
                                              c.model.released_formats, c.against.released_formats);
  const std::string growing = "without windows and open windows, ";
  return {
      {"decode_flops", "next token", "FLOP", "2 a multiply-add, all precisions alike",
       number(m.decode_flops_per_token), number(a.decode_flops_per_token)},
      {"decode_fp8_equivalent_flops", "  as FP8", "FLOP",
       "in the precisions released: FP8 counts 1, BF16 and F32 2, FP4 1/2",
       number(m.decode_fp8_equivalent_flops), number(a.decode_fp8_equivalent_flops)},
      {"growing_state_bytes", "KV", "bytes", growing + as_asked, number(m.growing_state_bytes),
       number(a.growing_state_bytes)},
      {"released_growing_state_bytes", "  released", "bytes", growing + as_released,
       number(released.growing_state_bytes), number(other.growing_state_bytes)},
      {"state_bytes", "all state", "bytes", "windows and open windows too, " + as_asked,
       number(m.state_bytes), number(a.state_bytes)},
      {"released_state_bytes", "  released", "bytes",
       "windows and open windows too, cache as released", number(released.state_bytes),
       number(other.state_bytes)},
      {"state_bytes_per_token", "growth", "bytes a token", as_asked, m.state_bytes_per_token,
       a.state_bytes_per_token},
      {"released_state_bytes_per_token", "  released", "bytes a token", "cache as released",
       released.state_bytes_per_token, other.state_bytes_per_token},
      {"decode_read_cache_bytes", "cache read", "bytes", "rows that a step looks at, " + as_asked,
       number(m.decode_read_cache_bytes), number(a.decode_read_cache_bytes)},
      {"released_decode_read_cache_bytes", "  released", "bytes",
       "rows that a step looks at, cache as released", number(released.decode_read_cache_bytes),
       number(other.decode_read_cache_bytes)},
      {"decode_read_bytes", "read per step", "bytes",
       fmt::format("weights {}, experts by expectation, and {}", weights_text(m, a), as_asked),
       number(m.decode_read_bytes), number(a.decode_read_bytes)},
  };
}

// "12.34 %" and the like; a dash where one of two figures is nothing.
static std::string ratio_text(double ratio, std::string_view unit) {
  return std::isfinite(ratio) ? fmt::format("{:.2f}{}", ratio, unit) : "-";
}

std::string comparison_report(const Comparison& c) {
  const Plan &m = c.model.asked, &a = c.against.asked;
  std::string text;
  const Out out(text);
  fmt::format_to(out, "{} against {}\ncontext {}, batch {}, weights {}, cache {}\n", name_of(m),
                 a.name, format_tokens(m.context), m.batch,
                 m.weights == a.weights ? m.weights : m.weights + " and " + a.weights, m.kv);
  add_note(out, m);
  add_note(out, a);
  fmt::format_to(out, "\n  {:<14}{:>20}{:>20}{:>9}{:>10}\n", "", m.name, a.name, "share", "less");
  for (const ComparedFigure& f : compared_figures(c)) {
    fmt::format_to(out, "  {:<14}{:>20}{:>20} {:>8}{:>10}   {}\n", f.label, value_text(f, f.model),
                   value_text(f, f.against), ratio_text(100 * f.ratio(), " %"),
                   ratio_text(1 / f.ratio(), "x"), f.convention);
  }
  return text;
}

Json comparison_json(const Comparison& c) {
  const Plan &m = c.model.asked, &a = c.against.asked;
  Json figures{Json::Object{}};
  for (const ComparedFigure& f : compared_figures(c)) {
    figures.set(f.key, Json::object({{"model", json_number(f.model)},
                                     {"against", json_number(f.against)},
                                     {"ratio", f.ratio()},
                                     {"convention", f.convention}}));
  }
  Json::Array what_if(m.what_if.begin(), m.what_if.end());
  return Json::object({{"model", m.name},
                       {"against", a.name},
                       {"context", m.context},
                       {"batch", m.batch},
                       {"weights", m.weights},
                       {"against_weights", a.weights},
                       {"kv", m.kv},
                       {"what_if", std::move(what_if)},
                       {"figures", std::move(figures)}});
}

}  // namespace longhaul
