#include "cost/inspect.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <iterator>

#include "base/check.h"
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

void add_header(Out out, const Inspection& m) {
  fmt::format_to(out, "{} ({})\n", m.name, m.family);
  fmt::format_to(out, "{} layers, hidden size {}, vocabulary {}, made for {} positions\n",
                 m.n_layers, m.hidden_size, format_exact(static_cast<uint64_t>(m.vocab_size)),
                 format_exact(static_cast<uint64_t>(m.max_positions)));
  fmt::format_to(out, "{} parameters ({}), {} at work on a token\n",
                 format_count(static_cast<double>(m.params_total)), format_exact(m.params_total),
                 format_count(static_cast<double>(m.params_active)));
  if (m.n_streams > 1)
    fmt::format_to(out, "{} residual streams joined by {}\n", m.n_streams, m.streams_joined_by);
  for (const Inspection::Table& t : m.tables) {
    fmt::format_to(out, "of these {} in a table of which a token reads {} numbers\n",
                   format_count(static_cast<double>(t.params)), t.read_per_token);
  }
}

void add_schedule(Out out, const Inspection& m) {
  constexpr size_t kPerLine = 30;
  const auto is_lower = [](char c) { return std::islower(static_cast<unsigned char>(c)) != 0; };
  const bool shares = std::any_of(m.schedule.begin(), m.schedule.end(), is_lower);
  fmt::format_to(out, "\nschedule: {}{}\n", fmt::join(m.schedule_legend, ", "),
                 shares ? "; lower case reads the cache of the last capital of its kind" : "");
  for (size_t i = 0; i < m.schedule.size(); i += kPerLine) {
    fmt::format_to(out, "  {:>3} ", i);
    for (char c : m.schedule.substr(i, kPerLine)) fmt::format_to(out, " {}", c);
    fmt::format_to(out, "\n");
  }
}

// Of the column of descriptions.
size_t description_width(const Inspection& m) {
  size_t width = 36;
  for (const Inspection::Block& block : m.blocks) width = std::max(width, block.summary.size());
  return width;
}

void add_block(Out out, const Inspection::Block& block, size_t width) {
  fmt::format_to(out, "  {:<{}}{:>10}", block.summary, width,
                 format_count(static_cast<double>(block.params)));
  if (!block.heads.empty()) fmt::format_to(out, "   {}", block.heads);
  if (block.cache_of >= 0) fmt::format_to(out, "   <-- cache of layer {}", block.cache_of);
  fmt::format_to(out, "\n");
  if (!block.details.empty()) fmt::format_to(out, "  {:{}}   {}\n", "", width + 10, block.details);
}

// Layers that keep the same are counted together.
void add_states(Out out, const Inspection& m) {
  std::vector<std::pair<std::string, int64_t>> kinds;
  for (const Inspection::State& state : m.states) {
    const auto same = std::find_if(kinds.begin(), kinds.end(),
                                   [&](const auto& kind) { return kind.first == state.words; });
    if (same == kinds.end()) {
      kinds.emplace_back(state.words, 1);
    } else {
      ++same->second;
    }
  }
  fmt::format_to(out, "\nkept for a sequence\n");
  for (const auto& [text, n] : kinds) fmt::format_to(out, "  {:>4} x {}\n", n, text);
}

Inspection::State inspect_state(const StateSpec& s) {
  const char* rows = s.rows == RowKind::kShared ? "shared"
                     : s.rows == RowKind::kKeys ? "keys"
                                                : "keys and values";
  if (s.is_fixed())
    return {.layer = s.layer,
            .is_fixed = true,
            .fixed_elements = s.fixed_elements,
            .words = describe(s)};
  return {.layer = s.layer,
          .n_kv_heads = s.n_kv_heads,
          .head_dim = s.head_dim,
          .window = s.is_ring() ? s.window : 0,
          .rows = rows,
          .tokens_per_row = s.ratio,
          .words = describe(s)};
}

Inspection::Block inspect_block(const Architecture& arch, const Block& block) {
  Words words = block.mixer.words(arch);
  const StateId borrowed = borrowed_state(block);
  Inspection::Block b{.layer = block.layer,
                      .mixer = words.name,
                      .summary = std::move(words.summary),
                      .heads = std::move(words.heads),
                      .details = std::move(words.details),
                      .params = block_parameters(arch, block),
                      .cache_of = borrowed == kNone ? -1 : arch.state(borrowed).layer};
  for (const auto& [name, value] : words.fields) b.figures.emplace_back(name, value.dump());
  for (const auto& [name, value] : residual_words(block.residual).fields)
    b.figures.emplace_back(name, value.dump());
  return b;
}

Json state_json(const Inspection::State& s) {
  if (s.is_fixed)
    return Json::object(
        {{"layer", s.layer}, {"fixed_elements", s.fixed_elements}, {"fixed_f32", true}});
  return Json::object({{"layer", s.layer},
                       {"n_kv_heads", s.n_kv_heads},
                       {"head_dim", s.head_dim},
                       {"window", s.window > 0 ? Json(s.window) : Json()},
                       {"rows", s.rows},
                       {"tokens_per_row", s.tokens_per_row}});
}

Json block_json(const Inspection::Block& b) {
  Json json = Json::object(
      {{"layer", b.layer}, {"mixer", b.mixer}, {"description", b.summary}, {"params", b.params}});
  for (const auto& [name, text] : b.figures) {
    Result<Json> value = parse_json(text, name);
    LH_CHECK(value.ok());
    json.set(name, std::move(*value));
  }
  return json;
}

}  // namespace

Inspection inspect(const Architecture& arch) {
  const auto pieces = parameter_pieces(arch);
  const Schedule plan = schedule(arch);
  Inspection m{.name = arch.name,
               .family = arch.family,
               .n_layers = arch.n_layers,
               .n_streams = arch.n_streams,
               .hidden_size = arch.hidden_size,
               .vocab_size = arch.vocab_size,
               .max_positions = arch.max_positions,
               .params_total = total_parameters(pieces),
               .params_active = active_parameters(pieces),
               .has_tied_head = arch.weight(arch.embedding.table).is_alias,
               .schedule = plan.letters};
  if (arch.n_streams > 1)
    m.streams_joined_by = residual_words(arch.blocks.front().residual).joined_by;
  for (const ScheduleLetter& l : plan.legend) m.schedule_legend.push_back(l.meaning);
  for (const ParameterPiece& p : pieces) {
    if (p.use == WeightUse::kLookup)
      m.tables.push_back({static_cast<uint64_t>(p.elements), static_cast<uint64_t>(p.active)});
  }
  for (const Block& block : arch.blocks) m.blocks.push_back(inspect_block(arch, block));
  for (const StateSpec& s : arch.states) m.states.push_back(inspect_state(s));
  return m;
}

std::string inspect_report(const Inspection& m) {
  std::string text;
  const Out out(text);
  add_header(out, m);
  add_schedule(out, m);
  const size_t width = description_width(m);
  int64_t layer = -1;
  for (const Inspection::Block& block : m.blocks) {
    if (block.layer != layer) fmt::format_to(out, "\nlayer {}\n", block.layer);
    layer = block.layer;
    add_block(out, block, width);
  }
  fmt::format_to(out, "\nhead {} x {}{}\n", m.vocab_size, m.hidden_size,
                 m.has_tied_head ? ", tied to the embedding" : "");
  add_states(out, m);
  return text;
}

Json inspect_json(const Inspection& m) {
  Json::Array blocks, states;
  for (const Inspection::Block& block : m.blocks) blocks.push_back(block_json(block));
  for (const Inspection::State& s : m.states) states.push_back(state_json(s));
  return Json::object({{"name", m.name},
                       {"family", m.family},
                       {"n_layers", m.n_layers},
                       {"n_streams", m.n_streams},
                       {"hidden_size", m.hidden_size},
                       {"vocab_size", m.vocab_size},
                       {"max_positions", m.max_positions},
                       {"params_total", m.params_total},
                       {"params_active", m.params_active},
                       {"schedule", m.schedule},
                       {"blocks", std::move(blocks)},
                       {"states", std::move(states)}});
}

std::string inspect_report(const Architecture& arch) { return inspect_report(inspect(arch)); }
Json inspect_json(const Architecture& arch) { return inspect_json(inspect(arch)); }

}  // namespace longhaul
