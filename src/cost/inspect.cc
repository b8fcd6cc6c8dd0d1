#include "cost/inspect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <iterator>

#include "cost/describe.h"
#include "cost/parameters.h"
#include "longhaul/units.h"
#include "mechanisms/residual.h"

namespace longhaul {
namespace {

using Out = std::back_insert_iterator<std::string>;

// Parameters that a block uses, tables left out: a block reads a slice of a row of them.
uint64_t block_parameters(const Architecture& arch, const Block& block) {
  uint64_t n = 0;
  for_each_weight(block, [&](WeightId id, const WeightRole&) {
    if (arch.weight(id).use != WeightUse::kLookup && !arch.tensor_of(id).is_buffer)
      n += static_cast<uint64_t>(arch.weight(id).n_elements());
  });
  return n;
}

void add_header(Out out, const Architecture& arch) {
  const auto pieces = parameter_pieces(arch);
  const uint64_t total = total_parameters(pieces), active = active_parameters(pieces);
  fmt::format_to(out, "{} ({})\n", arch.name, arch.family);
  fmt::format_to(out, "{} layers, hidden size {}, vocabulary {}, made for {} positions\n",
                 arch.n_layers, arch.hidden_size,
                 format_exact(static_cast<uint64_t>(arch.vocab_size)),
                 format_exact(static_cast<uint64_t>(arch.max_positions)));
  fmt::format_to(out, "{} parameters ({}), {} at work on a token\n",
                 format_count(static_cast<double>(total)), format_exact(total),
                 format_count(static_cast<double>(active)));
  if (arch.n_streams > 1) {
    fmt::format_to(out, "{} residual streams joined by {}\n", arch.n_streams,
                   residual_words(arch.blocks.front().residual).joined_by);
  }
  for (const ParameterPiece& p : pieces) {
    if (p.use == WeightUse::kLookup)
      fmt::format_to(out, "of these {} in a table of which a token reads {} numbers\n",
                     format_count(static_cast<double>(p.elements)), p.active);
  }
}

std::string legend_text(const Schedule& s) {
  std::vector<std::string> shown;
  for (const ScheduleLetter& l : s.legend) shown.push_back(l.meaning);
  const auto is_lower = [](char c) { return std::islower(static_cast<unsigned char>(c)) != 0; };
  const bool shares = std::any_of(s.letters.begin(), s.letters.end(), is_lower);
  return fmt::format("{}{}", fmt::join(shown, ", "),
                     shares ? "; lower case reads the cache of the last capital of its kind" : "");
}

void add_schedule(Out out, const Architecture& arch) {
  constexpr size_t kPerLine = 30;
  const Schedule s = schedule(arch);
  fmt::format_to(out, "\nschedule: {}\n", legend_text(s));
  for (size_t i = 0; i < s.letters.size(); i += kPerLine) {
    fmt::format_to(out, "  {:>3} ", i);
    for (char c : s.letters.substr(i, kPerLine)) fmt::format_to(out, " {}", c);
    fmt::format_to(out, "\n");
  }
}

// Of the column of descriptions.
size_t description_width(const Architecture& arch) {
  size_t width = 36;
  for (const Block& block : arch.blocks)
    width = std::max(width, block.mixer.words(arch).summary.size());
  return width;
}

void add_block(Out out, const Architecture& arch, const Block& block, size_t width) {
  const Words words = block.mixer.words(arch);
  fmt::format_to(out, "  {:<{}}{:>10}", words.summary, width,
                 format_count(static_cast<double>(block_parameters(arch, block))));
  if (!words.heads.empty()) fmt::format_to(out, "   {}", words.heads);
  if (const StateId state = borrowed_state(block); state != kNone)
    fmt::format_to(out, "   <-- cache of layer {}", arch.state(state).layer);
  fmt::format_to(out, "\n");
  if (!words.details.empty()) fmt::format_to(out, "  {:{}}   {}\n", "", width + 10, words.details);
}

// Layers that keep the same are counted together.
void add_states(Out out, const Architecture& arch) {
  std::vector<std::pair<std::string, int64_t>> kinds;
  for (const StateSpec& state : arch.states) {
    const std::string text = describe(state);
    const auto same = std::find_if(kinds.begin(), kinds.end(),
                                   [&](const auto& kind) { return kind.first == text; });
    if (same == kinds.end()) {
      kinds.emplace_back(text, 1);
    } else {
      ++same->second;
    }
  }
  fmt::format_to(out, "\nkept for a sequence\n");
  for (const auto& [text, n] : kinds) fmt::format_to(out, "  {:>4} x {}\n", n, text);
}

Json state_json(const StateSpec& s) {
  if (s.is_fixed())
    return Json::object(
        {{"layer", s.layer}, {"fixed_elements", s.fixed_elements}, {"fixed_f32", true}});
  const char* rows = s.rows == RowKind::kShared ? "shared"
                     : s.rows == RowKind::kKeys ? "keys"
                                                : "keys and values";
  return Json::object({{"layer", s.layer},
                       {"n_kv_heads", s.n_kv_heads},
                       {"head_dim", s.head_dim},
                       {"window", s.is_ring() ? Json(s.window) : Json()},
                       {"rows", rows},
                       {"tokens_per_row", s.ratio}});
}

Json block_json(const Architecture& arch, const Block& block) {
  const Words words = block.mixer.words(arch);
  Json json = Json::object({{"layer", block.layer},
                            {"mixer", words.name},
                            {"description", words.summary},
                            {"params", block_parameters(arch, block)}});
  for (const auto& [name, value] : words.fields) json.set(name, value);
  for (const auto& [name, value] : residual_words(block.residual).fields) json.set(name, value);
  return json;
}

}  // namespace

std::string inspect_report(const Architecture& arch) {
  std::string text;
  const Out out(text);
  add_header(out, arch);
  add_schedule(out, arch);
  const size_t width = description_width(arch);
  int64_t layer = kNone;
  for (const Block& block : arch.blocks) {
    if (block.layer != layer) fmt::format_to(out, "\nlayer {}\n", block.layer);
    layer = block.layer;
    add_block(out, arch, block, width);
  }
  fmt::format_to(out, "\nhead {} x {}{}\n", arch.vocab_size, arch.hidden_size,
                 arch.weight(arch.embedding.table).is_alias ? ", tied to the embedding" : "");
  add_states(out, arch);
  return text;
}

Json inspect_json(const Architecture& arch) {
  const auto pieces = parameter_pieces(arch);
  Json::Array blocks, states;
  for (const Block& block : arch.blocks) blocks.push_back(block_json(arch, block));
  for (const StateSpec& s : arch.states) states.push_back(state_json(s));
  return Json::object({{"name", arch.name},
                       {"family", arch.family},
                       {"n_layers", arch.n_layers},
                       {"n_streams", arch.n_streams},
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
