#include "cost/inspect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iterator>

#include "cost/describe.h"
#include "cost/parameters.h"
#include "longhaul/units.h"

namespace longhaul {
namespace {

using Out = std::back_insert_iterator<std::string>;

// Parameters that a block uses, tables left out: a block reads a slice of a row of them.
uint64_t block_parameters(const Architecture& arch, const Block& block) {
  uint64_t n = 0;
  for_each_weight(block, [&](WeightId id) {
    if (arch.weight(id).use != WeightUse::kLookup && !arch.tensor_of(id).is_buffer)
      n += static_cast<uint64_t>(arch.weight(id).n_elements());
  });
  return n;
}

void add_header(Out out, const Architecture& arch) {
  const auto pieces = parameter_pieces(arch);
  const uint64_t total = total_parameters(pieces), active = active_parameters(pieces);
  fmt::format_to(out, "{} ({})\n", arch.name, arch.family);
  fmt::format_to(out, "{} layers, hidden size {}, vocabulary {}, made for {} positions\n", arch.n_layers, arch.hidden_size,
                 format_exact(static_cast<uint64_t>(arch.vocab_size)), format_exact(static_cast<uint64_t>(arch.max_positions)));
  fmt::format_to(out, "{} parameters ({}), {} at work on a token\n", format_count(static_cast<double>(total)), format_exact(total),
                 format_count(static_cast<double>(active)));
  for (const ParameterPiece& p : pieces) {
    if (p.use == WeightUse::kLookup)
      fmt::format_to(out, "of these {} in a table of which a token reads {} numbers\n", format_count(static_cast<double>(p.elements)),
                     p.active);
  }
}

std::string schedule_legend(const std::string& letters) {
  constexpr std::pair<const char*, const char*> kMeanings[] = {{"Ss", "S sliding"},
                                                               {"Ff", "F full attention"},
                                                               {"C", "C sliding and chosen compressed entries"},
                                                               {"H", "H sliding and all heavily compressed entries"},
                                                               {"L", "L chosen latents"}};
  std::vector<const char*> shown;
  for (const auto& [any_of, meaning] : kMeanings) {
    if (letters.find_first_of(any_of) != std::string::npos) shown.push_back(meaning);
  }
  const bool shares = letters.find_first_of("sf") != std::string::npos;
  return fmt::format("{}{}", fmt::join(shown, ", "), shares ? "; lower case reads the cache of the last capital of its kind" : "");
}

void add_schedule(Out out, const Architecture& arch) {
  constexpr size_t kPerLine = 30;
  const std::string letters = layer_schedule(arch);
  fmt::format_to(out, "\nschedule: {}\n", schedule_legend(letters));
  for (size_t i = 0; i < letters.size(); i += kPerLine) {
    fmt::format_to(out, "  {:>3} ", i);
    for (char c : letters.substr(i, kPerLine)) fmt::format_to(out, " {}", c);
    fmt::format_to(out, "\n");
  }
}

void add_block(Out out, const Architecture& arch, const Block& block) {
  fmt::format_to(out, "  {:<36}{:>10}", describe(block.mixer), format_count(static_cast<double>(block_parameters(arch, block))));
  if (const auto* s = as_attention(block)) {
    fmt::format_to(out, "   {}", describe_heads(*s));
    if (!s->writes_state()) fmt::format_to(out, "   <-- cache of layer {}", arch.state(s->state).layer);
  }
  fmt::format_to(out, "\n");
}

Json attention_json(const Architecture& arch, const AttentionSpec& s) {
  return Json::object({{"n_heads", s.n_heads},
                       {"n_kv_heads", s.n_kv_heads},
                       {"head_dim", s.head_dim},
                       {"window", s.window == kUnbounded ? Json() : Json(s.window)},
                       {"rope_theta", s.rope.theta},
                       {"writes_state", s.writes_state()},
                       {"state_layer", arch.state(s.state).layer}});
}

Json block_json(const Architecture& arch, const Block& block) {
  Json json = Json::object({{"layer", block.layer},
                            {"mixer", mixer_name(block.mixer)},
                            {"description", describe(block.mixer)},
                            {"params", block_parameters(arch, block)}});
  if (const auto* s = as_attention(block)) json.set("attention", attention_json(arch, *s));
  return json;
}

}  // namespace

std::string inspect_report(const Architecture& arch) {
  std::string text;
  const Out out(text);
  add_header(out, arch);
  add_schedule(out, arch);
  int64_t layer = kNone;
  for (const Block& block : arch.blocks) {
    if (block.layer != layer) fmt::format_to(out, "\nlayer {}\n", block.layer);
    layer = block.layer;
    add_block(out, arch, block);
  }
  fmt::format_to(out, "\nhead {} x {}{}\n", arch.vocab_size, arch.hidden_size,
                 arch.weight(arch.embedding.table).is_alias ? ", tied to the embedding" : "");
  return text;
}

Json inspect_json(const Architecture& arch) {
  const auto pieces = parameter_pieces(arch);
  Json::Array blocks, states;
  for (const Block& block : arch.blocks) blocks.push_back(block_json(arch, block));
  for (const StateSpec& s : arch.states) {
    states.push_back(Json::object(
        {{"layer", s.layer}, {"n_kv_heads", s.n_kv_heads}, {"head_dim", s.head_dim}, {"window", s.is_ring() ? Json(s.window) : Json()}}));
  }
  return Json::object({{"name", arch.name},
                       {"family", arch.family},
                       {"n_layers", arch.n_layers},
                       {"hidden_size", arch.hidden_size},
                       {"vocab_size", arch.vocab_size},
                       {"max_positions", arch.max_positions},
                       {"params_total", total_parameters(pieces)},
                       {"params_active", active_parameters(pieces)},
                       {"schedule", layer_schedule(arch)},
                       {"blocks", std::move(blocks)},
                       {"states", std::move(states)}});
}

}  // namespace longhaul
