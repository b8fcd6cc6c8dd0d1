#include "base/json.h"
#include "longhaul/bench.h"
#include "longhaul/units.h"

namespace longhaul {
namespace {

std::string experts_text(const std::optional<ExpertUse>& e) {
  return e ? fmt::format("   experts {:.1f} % hits, {} read a token", 100 * e->hit_rate,
                         format_bytes(e->read_bytes_per_token))
           : "";
}

void set_experts(Json& row, const std::optional<ExpertUse>& e) {
  if (!e) return;
  row.set("expert_hit_rate", e->hit_rate);
  row.set("expert_read_bytes_per_token", e->read_bytes_per_token);
}

std::string prefill_lines(const BenchResults& r) {
  std::string out = "prefill      tokens/s      GFLOP/s  of peak\n";
  for (const PrefillResult& p : r.prefills) {
    out += fmt::format("{:>7}  {:>12.1f}  {:>11.1f}  {:>6.1f} %", p.tokens, p.tokens_per_second(),
                       p.flops_per_second / 1e9, 100 * p.flops_per_second / r.dot_peak);
    if (p.all_rows_seconds > 0) {
      out += fmt::format("   {:.2f}x of {:.1f} tokens/s with every row in every block",
                         p.all_rows_seconds / p.seconds,
                         static_cast<double>(p.tokens) / p.all_rows_seconds);
    }
    out += experts_text(p.experts) + "\n";
  }
  return out;
}

std::string frontier_lines(const BenchResults& r) {
  std::string out =
      "  depth  prefill t/s  decode t/s   ms/token  GFLOP/token  bytes/token     GB/s  of GB/s     "
      "       state\n";
  for (const FrontierResult& f : r.frontiers) {
    const std::string prefill =
        f.prefill_tokens == 0 ? "" : fmt::format("{:.1f}", f.prefill_tokens_per_second());
    out += fmt::format(
        "{:>7}  {:>11}  {:>10.2f}  {:>9.2f}  {:>11.2f}  {:>11}  {:>7.1f}  {:>7.1f}  {:>5.1f} %  "
        "{}{}\n",
        f.depth, prefill, f.decode_tokens_per_second, 1e3 / f.decode_tokens_per_second,
        static_cast<double>(f.flops) / 1e9, f.read_bytes, f.bytes_per_second() / 1e9,
        f.bandwidth / 1e9, 100 * f.share_of_bandwidth(), format_bytes(f.state_bytes),
        experts_text(f.experts) + (f.is_steady ? "" : "   bandwidth moved"));
  }
  return out;
}

Json machine(const MachineSpeeds& r) {
  return Json::object({{"read_bytes_per_second", r.read_bytes_per_second},
                       {"bf16_flops_per_second", r.bf16_flops_per_second},
                       {"f32_flops_per_second", r.f32_flops_per_second},
                       {"int8_flops_per_second", r.int8_flops_per_second}});
}

Json prefill_json(const BenchResults& r) {
  Json rows{Json::Array{}};
  for (const PrefillResult& p : r.prefills) {
    Json row = Json::object({{"tokens", p.tokens},
                             {"seconds", p.seconds},
                             {"tokens_per_second", p.tokens_per_second()},
                             {"flops_per_second", p.flops_per_second},
                             {"share_of_peak", p.flops_per_second / r.dot_peak}});
    if (p.all_rows_seconds > 0) row.set("all_rows_seconds", p.all_rows_seconds);
    set_experts(row, p.experts);
    rows.push_back(row);
  }
  return rows;
}

Json frontier_json(const BenchResults& r) {
  Json rows{Json::Array{}};
  for (const FrontierResult& f : r.frontiers) {
    Json row = Json::object({{"depth", f.depth},
                             {"tokens_per_second", f.decode_tokens_per_second},
                             {"bound_tokens_per_second", f.bound_tokens_per_second()},
                             {"read_bytes_per_token", f.read_bytes},
                             {"flops_per_token", f.flops},
                             {"bytes_per_second", f.bytes_per_second()},
                             {"read_bandwidth", f.bandwidth},
                             {"share_of_bandwidth", f.share_of_bandwidth()},
                             {"bandwidth_was_steady", f.is_steady},
                             {"state_bytes", f.state_bytes}});
    if (f.prefill_tokens > 0) {
      row.set("prefill_tokens", f.prefill_tokens);
      row.set("prefill_tokens_per_second", f.prefill_tokens_per_second());
    }
    set_experts(row, f.experts);
    rows.push_back(row);
  }
  return rows;
}

}  // namespace

std::string to_text(const BenchResults& r) {
  std::string out =
      fmt::format("{}: {} threads, kernels {}, weights {}, state {}\ndot peak {:.0f} GFLOP/s\n\n",
                  r.model, r.threads, r.kernels, r.weights, r.kv, r.dot_peak / 1e9);
  if (!r.prefills.empty()) out += prefill_lines(r) + "\n";
  if (!r.frontiers.empty()) out += frontier_lines(r) + "\n";
  return out + fmt::format("scratch {}; peak RSS {}, planned {} at {} tokens of context\n",
                           format_bytes(r.scratch_bytes), format_bytes(r.peak_rss_bytes),
                           format_bytes(r.planned_bytes), r.context);
}

std::string to_json(const BenchResults& r) {
  return Json::object({{"model", r.model},
                       {"threads", r.threads},
                       {"kernels", r.kernels},
                       {"weights", r.weights},
                       {"kv", r.kv},
                       {"roofline_before", machine(r.before)},
                       {"roofline_after", machine(r.after)},
                       {"dot_peak_flops_per_second", r.dot_peak},
                       {"prefill", prefill_json(r)},
                       {"decode", frontier_json(r)},
                       {"scratch_bytes", r.scratch_bytes},
                       {"peak_rss_bytes", r.peak_rss_bytes},
                       {"planned_total_bytes", r.planned_bytes}})
      .dump(2);
}

}  // namespace longhaul
