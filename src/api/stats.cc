#include "base/json.h"
#include "longhaul/model.h"
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

std::string Stats::to_json() const {
  const auto n = [](uint64_t v) { return Json(v); };
  return Json::object({{"prompt_tokens", prompt_tokens},
                       {"generated_tokens", generated_tokens},
                       {"load_seconds", load_seconds},
                       {"prefill_seconds", prefill_seconds},
                       {"decode_seconds", decode_seconds},
                       {"prefill_tokens_per_second", prefill_tokens_per_second()},
                       {"decode_tokens_per_second", decode_tokens_per_second()},
                       {"state_bytes", n(state_bytes)},
                       {"weight_bytes_resident", n(weight_bytes_resident)},
                       {"weight_bytes_mapped", n(weight_bytes_mapped)},
                       {"scratch_bytes", n(scratch_bytes)},
                       {"peak_rss_bytes", n(peak_rss_bytes)},
                       {"flops", n(flops)},
                       {"expert_cache", experts ? experts_json(*experts) : Json()},
                       {"planned", Json::object({{"state_bytes", n(planned_state_bytes)},
                                                 {"weight_bytes", n(planned_weight_bytes)},
                                                 {"scratch_bytes", n(planned_scratch_bytes)},
                                                 {"total_bytes", n(planned_total_bytes)}})}})
      .dump(2);
}

// Without a speed the line ends before it.
static std::string speed_line(const char* name, int64_t tokens, double seconds,
                              double tokens_per_second) {
  const std::string speed =
      tokens_per_second > 0 ? fmt::format("  {:9.1f} tokens/s", tokens_per_second) : "";
  return fmt::format("{:8} {:>6} tokens  {:8.3f} s{}\n", name, tokens, seconds, speed);
}

std::string Stats::to_text() const {
  std::string out =
      speed_line("prompt", prompt_tokens, prefill_seconds, prefill_tokens_per_second());
  out += speed_line("decode", generated_tokens, decode_seconds, decode_tokens_per_second());
  out += fmt::format("load     {:8.3f} s\n", load_seconds);
  const auto row = [&](const char* name, uint64_t measured, uint64_t planned) {
    out += fmt::format("{:8} {:>14} bytes   planned {:>14}   ({})\n", name, measured, planned,
                       format_bytes(measured));
  };
  row("weights", weight_bytes_resident, planned_weight_bytes);
  row("state", state_bytes, planned_state_bytes);
  row("scratch", scratch_bytes, planned_scratch_bytes);
  row("total", weight_bytes_resident + state_bytes + scratch_bytes, planned_total_bytes);
  if (experts) {
    out += fmt::format(
        "experts  {:>13.1f} % hits   {} hits, {} misses in {} slots of {} experts; {} read from "
        "the checkpoint\n",
        100 * experts->hit_rate(), experts->hits, experts->misses, experts->n_slots,
        experts->n_experts, format_bytes(experts->read_bytes));
  }
  out += fmt::format("mapped   {:>14} bytes   (read by row, not loaded)\n", weight_bytes_mapped);
  out +=
      fmt::format("peak RSS {:>14} bytes   ({})\n", peak_rss_bytes, format_bytes(peak_rss_bytes));
  return out;
}

}  // namespace longhaul
