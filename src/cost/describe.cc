#include "cost/describe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace longhaul {

std::string describe(const StateSpec& s) {
  if (s.is_fixed()) return fmt::format("a block of {} numbers in f32", s.fixed_elements);
  const char* holds = s.rows == RowKind::kShared ? "key and value at once"
                      : s.rows == RowKind::kKeys ? "a key"
                                                 : "keys and values";
  const std::string row = fmt::format("{} x {}, {}", s.n_kv_heads, s.head_dim, holds);
  if (s.is_ring()) return fmt::format("a ring of {} rows of {}", s.window, row);
  return s.ratio == 1 ? fmt::format("a row a token of {}", row)
                      : fmt::format("a row every {} tokens of {}", s.ratio, row);
}

Schedule schedule(const Architecture& arch) {
  Schedule s{.letters = std::string(static_cast<size_t>(arch.n_layers), '-'), .legend = {}};
  for (const Block& block : arch.blocks) {
    const ScheduleLetter own = block.mixer.words(arch).schedule;
    if (own.letter == '\0') continue;
    char& letter = s.letters[static_cast<size_t>(block.layer)];
    letter = own.letter;
    if (borrowed_state(block) != kNone) {
      letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    }
    const auto same = [&](const ScheduleLetter& l) { return l.letter == own.letter; };
    if (std::none_of(s.legend.begin(), s.legend.end(), same)) s.legend.push_back(own);
  }
  std::stable_sort(s.legend.begin(), s.legend.end(),
                   [](const auto& a, const auto& b) { return a.rank < b.rank; });
  return s;
}

std::string layer_schedule(const Architecture& arch) { return schedule(arch).letters; }

}  // namespace longhaul
