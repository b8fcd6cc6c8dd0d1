#include "cost/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "cost/exact_number.h"
#include "longhaul/units.h"

namespace longhaul {
namespace {

using Out = std::back_insert_iterator<std::string>;

void add_header(Out out, const Plan& p) {
  fmt::format_to(out, "{}{}{}\n", p.name, p.what_if.empty() ? "" : " with ",
                 fmt::join(p.what_if, ", "));
  fmt::format_to(
      out, "context {}{}, batch {}, weights {}, cache {}; {} parameters, {} at work on a token\n",
      format_tokens(p.context),
      p.context > p.max_positions ? " (beyond the positions the model was made for)" : "", p.batch,
      p.weights, p.kv, format_count(static_cast<double>(p.params_total)),
      format_count(static_cast<double>(p.params_active)));
}

void add_bytes(Out out, const char* label, uint64_t bytes, std::string_view note) {
  fmt::format_to(out, "  {:<16}{:>11}{:>20}{}{}\n", label, format_bytes(bytes), format_exact(bytes),
                 note.empty() ? "" : "   ", note);
}

void add_memory(Out out, const Plan& p) {
  fmt::format_to(out, "\nmemory\n");
  if (p.expert_cache) {
    add_bytes(out, "dense weights", p.weight_bytes - p.expert_cache->bytes(),
              "packed matrices, f32 vectors");
    add_bytes(out, "expert cache", p.expert_cache->bytes(),
              fmt::format("{} of {} experts", p.expert_cache->n_slots, p.expert_cache->n_experts));
  } else {
    add_bytes(out, "weights", p.weight_bytes,
              p.weights == "released" ? "as released, with their scales"
                                      : "packed matrices, f32 vectors");
  }
  add_bytes(out, "state", p.state_bytes,
            fmt::format("grows by {} bytes a token{}", exact_number(p.state_bytes_per_token),
                        p.batch > 1 ? " and sequence" : ""));
  add_bytes(out, "scratch", p.scratch_bytes,
            fmt::format("steps of up to {} rows", p.max_batch_tokens));
  add_bytes(out, "total", p.total_bytes, "");
  add_bytes(out, "tables on disk", p.weight_bytes_mapped, "read by row from the checkpoint");
  if (p.expert_cache) add_bytes(out, "experts on disk", p.expert_bytes, "read as they are chosen");
  if (!p.max_context) return;
  if (*p.max_context == 0) {
    fmt::format_to(out, "  no context fits {}: weights and scratch alone need {}\n",
                   format_bytes(*p.memory), format_bytes(p.weight_bytes + p.scratch_bytes));
  } else if (*p.max_context == kMaxPlannedContext) {
    fmt::format_to(out, "  any context fits {}\n", format_bytes(*p.memory));
  } else {
    fmt::format_to(out, "  {} hold a context of {} tokens; the model was made for {}\n",
                   format_bytes(*p.memory), format_exact(static_cast<uint64_t>(*p.max_context)),
                   format_exact(static_cast<uint64_t>(p.max_positions)));
  }
}

void add_work(Out out, const Plan& p) {
  const auto flops = [](uint64_t n) { return format_si(static_cast<double>(n), "FLOP"); };
  const auto percent = [](uint64_t part, uint64_t whole) {
    return 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  };
  fmt::format_to(out, "\nwork\n");
  fmt::format_to(out, "  {:<16}{:>13}   attention {:.0f} %\n", "next token",
                 flops(p.decode_flops_per_token),
                 percent(p.decode_attention_flops, p.decode_flops_per_token));
  fmt::format_to(out, "  {:<16}{:>13}   {} if every row went through every block\n", "prompt",
                 flops(p.prefill_flops_skip), flops(p.prefill_flops));
  fmt::format_to(out, "  {:<16}{:>13}   weights {}, cache {}\n", "read per step",
                 format_bytes(p.decode_read_bytes), format_bytes(p.decode_read_weight_bytes),
                 format_bytes(p.decode_read_bytes - p.decode_read_weight_bytes));
  if (p.expert_cache) {
    fmt::format_to(out,
                   "  {:<16}{:>13}   if all experts are chosen alike; {} with an empty cache\n",
                   "from disk a step", format_bytes(p.expert_stream_bytes),
                   format_bytes(p.expert_stream_bytes_cold));
  }
  if (!p.bandwidth) return;
  fmt::format_to(
      out, "  {:<16}{:>9.2f} t/s   at {:.1f} GB/s of memory\n", "at most",
      *p.bandwidth * static_cast<double>(p.batch) / static_cast<double>(p.decode_read_bytes),
      *p.bandwidth / 1e9);
}

// "0-3, 5-8, 10"
std::string ranges(const std::vector<int64_t>& numbers) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < numbers.size();) {
    size_t end = i + 1;
    while (end < numbers.size() && numbers[end] == numbers[end - 1] + 1) ++end;
    parts.push_back(end - i == 1 ? std::to_string(numbers[i])
                                 : fmt::format("{}-{}", numbers[i], numbers[end - 1]));
    i = end;
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string growth_text(double bytes) {
  return bytes == std::floor(bytes) ? format_bytes(static_cast<uint64_t>(bytes))
                                    : fmt::format("{:.2f} B", bytes);
}

bool same_row(const LayerPlan& a, const LayerPlan& b) {
  return a.mixers == b.mixers && a.params == b.params && a.state_bytes == b.state_bytes &&
         a.state_source == b.state_source && a.decode_flops == b.decode_flops;
}

void add_layers(Out out, const Plan& p) {
  fmt::format_to(out, "\nlayers{:>11}{:>12}{:>12}{:>14}\n", "params", "state", "+ a token",
                 "next token");
  std::vector<bool> done(p.layers.size(), false);
  for (size_t i = 0; i < p.layers.size(); ++i) {
    if (done[i]) continue;
    const LayerPlan& l = p.layers[i];
    std::vector<int64_t> like;
    for (size_t j = i; j < p.layers.size(); ++j) {
      if (done[j] || !same_row(l, p.layers[j])) continue;
      done[j] = true;
      like.push_back(p.layers[j].layer);
    }
    const std::string source =
        l.state_source < 0 ? "" : fmt::format(", reads the cache of layer {}", l.state_source);
    fmt::format_to(out, "  {} x {}{}\n", like.size(), fmt::join(l.mixers, ", "), source);
    fmt::format_to(out, "  {:>15}{:>12}{:>12}{:>14}   layers {}\n",
                   format_count(static_cast<double>(l.params)), format_bytes(l.state_bytes),
                   growth_text(l.state_bytes_per_token),
                   format_si(static_cast<double>(l.decode_flops), "FLOP"), ranges(like));
  }
}

std::string change(uint64_t from, uint64_t to) {
  if (from == to) return "=";
  if (from == 0) return "new";
  return fmt::format("{:+.1f} %",
                     100.0 * (static_cast<double>(to) / static_cast<double>(from) - 1.0));
}

void add_edit(Out out, const WhatIf& shipped, const WhatIf& edited) {
  fmt::format_to(out, "  {:<20}{:>11} {:>10}{:>15} {:>9}   {}\n", edited.name,
                 format_bytes(edited.state_bytes), change(shipped.state_bytes, edited.state_bytes),
                 format_si(static_cast<double>(edited.decode_flops_per_token), "FLOP"),
                 change(shipped.decode_flops_per_token, edited.decode_flops_per_token),
                 edited.meaning);
}

// What the idea that was taken out is worth: the shipped model measured against the edited one.
void add_worth(Out out, const WhatIf& shipped, const WhatIf& edited) {
  const auto ratio = static_cast<double>(edited.state_bytes) /
                     static_cast<double>(std::max<uint64_t>(1, shipped.state_bytes));
  fmt::format_to(out,
                 "  so the shipped model has: cache {:.2f}x smaller, attention FLOPs {}, next "
                 "token's FLOPs {}\n",
                 ratio, change(edited.decode_attention_flops, shipped.decode_attention_flops),
                 change(edited.decode_flops_per_token, shipped.decode_flops_per_token));
}

// The shipped model beside the edited one, or beside each edit that applies to it.
void add_what_ifs(Out out, const Plan& p) {
  if (!p.shipped) return;
  fmt::format_to(out, "\nwhat if{:>26}{:>26}\n", "state", "next token");
  fmt::format_to(out, "  {:<20}{:>11}{:>26}\n", "as shipped", format_bytes(p.shipped->state_bytes),
                 format_si(static_cast<double>(p.shipped->decode_flops_per_token), "FLOP"));
  if (!p.what_if.empty()) {
    const WhatIf asked{"as asked", fmt::format("{}", fmt::join(p.what_if, ", ")), p.state_bytes,
                       p.decode_flops_per_token, p.decode_attention_flops};
    add_edit(out, *p.shipped, asked);
    add_worth(out, *p.shipped, asked);
  }
  for (const WhatIf& edit : p.edits) add_edit(out, *p.shipped, edit);
}

Json expert_cache_json(const Plan& p) {
  if (!p.expert_cache) return Json();
  return Json::object({{"bytes", p.expert_cache->bytes()},
                       {"slots", p.expert_cache->n_slots},
                       {"slot_bytes", p.expert_cache->slot_bytes},
                       {"experts", p.n_experts},
                       {"expert_bytes", p.expert_bytes},
                       {"stream_bytes_per_step", p.expert_stream_bytes},
                       {"stream_bytes_per_step_cold", p.expert_stream_bytes_cold}});
}

Json layer_json(const LayerPlan& l) {
  Json::Array mixers(l.mixers.begin(), l.mixers.end());
  return Json::object({{"layer", l.layer},
                       {"mixers", std::move(mixers)},
                       {"params", l.params},
                       {"weight_bytes", l.weight_bytes},
                       {"state_bytes", l.state_bytes},
                       {"state_bytes_per_token", json_number(l.state_bytes_per_token)},
                       {"state_source", l.state_source},
                       {"decode_flops", l.decode_flops},
                       {"kv_read_bytes", l.kv_read_bytes}});
}

}  // namespace

std::string plan_report(const Plan& plan) {
  std::string text;
  const Out out(text);
  add_header(out, plan);
  add_memory(out, plan);
  add_work(out, plan);
  add_layers(out, plan);
  add_what_ifs(out, plan);
  return text;
}

std::string plan_report(const Architecture& arch, const Plan& plan, const PlanRequest& request) {
  Plan compared = plan;
  price_what_ifs(arch, request, compared);
  return plan_report(compared);
}

Json plan_json(const Plan& p) {
  Json::Array layers, what_if(p.what_if.begin(), p.what_if.end());
  for (const LayerPlan& l : p.layers) layers.push_back(layer_json(l));
  return Json::object({{"name", p.name},
                       {"context", p.context},
                       {"batch", p.batch},
                       {"weights", p.weights},
                       {"kv", p.kv},
                       {"what_if", std::move(what_if)},
                       {"params_total", p.params_total},
                       {"params_active", p.params_active},
                       {"weight_bytes", p.weight_bytes},
                       {"weight_bytes_mapped", p.weight_bytes_mapped},
                       {"state_bytes", p.state_bytes},
                       {"growing_state_bytes", p.growing_state_bytes},
                       {"state_bytes_per_token", json_number(p.state_bytes_per_token)},
                       {"scratch_bytes", p.scratch_bytes},
                       {"total_bytes", p.total_bytes},
                       {"decode_flops_per_token", p.decode_flops_per_token},
                       {"decode_attention_flops", p.decode_attention_flops},
                       {"decode_fp8_equivalent_flops", p.decode_fp8_equivalent_flops},
                       {"prefill_flops", p.prefill_flops},
                       {"prefill_flops_skip", p.prefill_flops_skip},
                       {"decode_read_bytes", p.decode_read_bytes},
                       {"expert_cache", expert_cache_json(p)},
                       {"max_context", p.max_context ? Json(*p.max_context) : Json()},
                       {"max_positions", p.max_positions},
                       {"layers", std::move(layers)}});
}

}  // namespace longhaul
