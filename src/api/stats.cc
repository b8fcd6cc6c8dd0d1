#include "api/access.h"
#include "api/timeline.h"
#include "base/json.h"
#include "base/system.h"
#include "longhaul/generate.h"
#include "longhaul/units.h"

namespace longhaul {

static Json experts_json(const ExpertStats& e) {
  return Json::object({{"experts", e.n_experts},
                       {"slots", e.n_slots},
                       {"hits", e.hits},
                       {"misses", e.misses},
                       {"hit_rate", e.hit_rate()},
                       {"read_bytes", e.read_bytes}});
}

RunStats run_stats(const Session& session, const Timings& timings) {
  const Model& model = *session.model();
  const Plan& plan = model.plan();
  return {.load = model.load_stats(),
          .work = model.work_stats(),
          .timings = timings,
          .state_bytes = session.state_bytes(),
          .peak_rss_bytes = peak_resident_bytes(),
          .planned_state_bytes = plan.state_bytes,
          .planned_weight_bytes = plan.weight_bytes,
          .planned_scratch_bytes = plan.scratch_bytes,
          .planned_total_bytes = plan.total_bytes};
}

std::string to_json(const RunStats& s) {
  const Timings& t = s.timings;
  return Json::object({{"prompt_tokens", t.prompt_tokens},
                       {"reused_tokens", t.reused_tokens},
                       {"generated_tokens", t.generated_tokens},
                       {"load_seconds", s.load.seconds},
                       {"prefill_seconds", t.prefill_seconds},
                       {"decode_seconds", t.decode_seconds},
                       {"prefill_tokens_per_second", t.prefill_tokens_per_second()},
                       {"decode_tokens_per_second", t.decode_tokens_per_second()},
                       {"state_bytes", s.state_bytes},
                       {"weight_bytes_resident", s.load.weight_bytes_resident},
                       {"weight_bytes_mapped", s.load.weight_bytes_mapped},
                       {"scratch_bytes", s.load.scratch_bytes},
                       {"peak_rss_bytes", s.peak_rss_bytes},
                       {"flops", s.work.flops},
                       {"expert_cache", s.work.experts ? experts_json(*s.work.experts) : Json()},
                       {"planned", Json::object({{"state_bytes", s.planned_state_bytes},
                                                 {"weight_bytes", s.planned_weight_bytes},
                                                 {"scratch_bytes", s.planned_scratch_bytes},
                                                 {"total_bytes", s.planned_total_bytes}})}})
      .dump(2);
}

// Without a speed the line ends before it.
static std::string speed_line(const char* name, int64_t tokens, double seconds,
                              double tokens_per_second) {
  const std::string speed =
      tokens_per_second > 0 ? fmt::format("  {:9.1f} tokens/s", tokens_per_second) : "";
  return fmt::format("{:8} {:>6} tokens  {:8.3f} s{}\n", name, tokens, seconds, speed);
}

std::string to_text(const RunStats& s) {
  const Timings& t = s.timings;
  const std::optional<ExpertStats>& experts = s.work.experts;
  std::string out =
      speed_line("prompt", t.prompt_tokens, t.prefill_seconds, t.prefill_tokens_per_second());
  out += speed_line("decode", t.generated_tokens, t.decode_seconds, t.decode_tokens_per_second());
  out += fmt::format("load     {:8.3f} s\n", s.load.seconds);
  const auto row = [&](const char* name, uint64_t measured, uint64_t planned) {
    out += fmt::format("{:8} {:>14} bytes   planned {:>14}   ({})\n", name, measured, planned,
                       format_bytes(measured));
  };
  row("weights", s.load.weight_bytes_resident, s.planned_weight_bytes);
  row("state", s.state_bytes, s.planned_state_bytes);
  row("scratch", s.load.scratch_bytes, s.planned_scratch_bytes);
  row("total", s.load.weight_bytes_resident + s.state_bytes + s.load.scratch_bytes,
      s.planned_total_bytes);
  if (experts) {
    out += fmt::format(
        "experts  {:>13.1f} % hits   {} hits, {} misses in {} slots of {} experts; {} read from "
        "the checkpoint\n",
        100 * experts->hit_rate(), experts->hits, experts->misses, experts->n_slots,
        experts->n_experts, format_bytes(experts->read_bytes));
  }
  out += fmt::format("mapped   {:>14} bytes   (read by row, not loaded)\n",
                     s.load.weight_bytes_mapped);
  out += fmt::format("peak RSS {:>14} bytes   ({})\n", s.peak_rss_bytes,
                     format_bytes(s.peak_rss_bytes));
  return out;
}

}  // namespace longhaul
