// How quantisation configs pick modules: by name, by class, by regular expression.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/errors.h"
#include "text/tokenizer/regex.h"

namespace longhaul {

// A module of a checkpoint. A config may have been written for a model that wraps it differently:
// "model.layers.0" is "model.language_model.layers.0" there, or "language_model.model.layers.0".
class ModuleName {
 public:
  explicit ModuleName(std::string_view name);

  const std::string& text() const { return spellings_.front(); }
  const std::vector<std::string>& spellings() const { return spellings_; }  // its own first
  // "Embedding" or "Linear": of what has weights in codes there is nothing else.
  const char* class_name() const;

 private:
  std::vector<std::string> spellings_;
};

// One thread at a time.
class ModulePattern {
 public:
  static ModulePattern name(std::string name);
  static ModulePattern part(std::string part);  // of the name, anywhere
  // A regular expression that must match from the beginning (Python's re.match), or anywhere
  // (re.search). An error where it is none, or says what no engine here does alike.
  static Result<ModulePattern> match(std::string_view regex, const std::string& where);
  static Result<ModulePattern> search(std::string_view regex, const std::string& where);
  // As compressed-tensors spells them: "Linear", "lm_head", "re:.*self_attn.*".
  static Result<ModulePattern> target(const std::string& text, const std::string& where);

  // The lower, the closer: a name goes before an expression, and that before a class.
  int rank() const { return static_cast<int>(kind_); }
  bool is_name() const { return kind_ == Kind::kName; }
  const std::string& text() const { return text_; }
  Result<bool> matches(const ModuleName& module) const;

 private:
  enum class Kind { kName, kPart, kMatch, kSearch, kClass };
  ModulePattern(Kind kind, std::string text) : kind_(kind), text_(std::move(text)) {}
  static Result<ModulePattern> expression(Kind kind, std::string_view regex,
                                          const std::string& where);

  Kind kind_;
  std::string text_;
  std::optional<Regex> regex_;
  std::shared_ptr<RegexScratch> scratch_;
};

}  // namespace longhaul
