#include "checkpoint/module_pattern.h"

#include <algorithm>
#include <array>

#include "base/printable.h"

namespace longhaul {
namespace {

// What may stand before "layers" and its siblings; longer ones before those that they begin with.
constexpr std::array<std::string_view, 5> kPrefixes = {
    "model.language_model.", "language_model.model.", "language_model.", "model.", ""};

bool is_class_name(std::string_view text) {
  return !text.empty() && text.front() >= 'A' && text.front() <= 'Z' && text.find('.') == text.npos;
}

}  // namespace

ModuleName::ModuleName(std::string_view name) : spellings_{std::string(name)} {
  const auto prefix = std::find_if(kPrefixes.begin(), kPrefixes.end(),
                                   [&](std::string_view p) { return name.starts_with(p); });
  const std::string rest(name.substr(prefix->size()));
  for (const std::string_view other : kPrefixes) {
    if (other != *prefix) spellings_.push_back(std::string(other) + rest);
  }
}

const char* ModuleName::class_name() const {
  const std::string_view name = text();
  return name.substr(name.rfind('.') + 1).starts_with("embed") ? "Embedding" : "Linear";
}

ModulePattern ModulePattern::name(std::string name) { return {Kind::kName, std::move(name)}; }
ModulePattern ModulePattern::part(std::string part) { return {Kind::kPart, std::move(part)}; }

Result<ModulePattern> ModulePattern::expression(Kind kind, std::string_view regex,
                                                const std::string& where) {
  ModulePattern pattern(kind, std::string(regex));
  LH_TRY(pattern.regex_,
         or_remedy(Regex::compile(regex, where),
                   "name modules in the quantisation's config by expressions that are read here"));
  pattern.scratch_ = std::make_shared<RegexScratch>();
  return pattern;
}

Result<ModulePattern> ModulePattern::match(std::string_view regex, const std::string& where) {
  return expression(Kind::kMatch, regex, where);
}
Result<ModulePattern> ModulePattern::search(std::string_view regex, const std::string& where) {
  return expression(Kind::kSearch, regex, where);
}

Result<ModulePattern> ModulePattern::target(const std::string& text, const std::string& where) {
  constexpr std::string_view kRegex = "re:";
  if (text.starts_with(kRegex)) return match(std::string_view(text).substr(kRegex.size()), where);
  return ModulePattern(is_class_name(text) ? Kind::kClass : Kind::kName, text);
}

Result<bool> ModulePattern::matches(const ModuleName& module) const {
  if (kind_ == Kind::kClass) return text_ == module.class_name();
  for (const std::string& name : module.spellings()) {
    if (kind_ == Kind::kName && name == text_) return true;
    if (kind_ == Kind::kPart && name.find(text_) != name.npos) return true;
    if (!regex_) continue;
    LH_TRY(const std::optional<MatchRange> found,
           or_remedy(regex_->find(name, 0, *scratch_), "simplify the expression"));
    // The leftmost match begins where re.match looks, if any does.
    if (found && (kind_ == Kind::kSearch || found->begin == 0)) return true;
  }
  return false;
}

}  // namespace longhaul
