#include "text/template/macro.h"

#include "text/template/operators.h"

namespace longhaul::jinja {
namespace {

// Takes the argument of that name out of args.named.
bool take_named(Args& args, std::string_view name, Value& out) {
  for (auto it = args.named.begin(); it != args.named.end(); ++it) {
    if (it->first != name) continue;
    out = std::move(it->second);
    args.named.erase(it);
    return true;
  }
  return false;
}

}  // namespace

Result<Value> Interpreter::run_macro(const MacroDef& macro, const std::shared_ptr<Scope>& closure,
                                     const Args& given) {
  Args args = given;
  const Enter enter(*this, std::make_shared<Scope>(closure));
  size_t n_positional = 0;
  for (const Parameter& p : macro.parameters) {
    Value v = undefined_because(fmt::format("parameter '{}' was not provided", p.name));
    const bool by_position = n_positional < args.positional.size();
    if (by_position) {
      v = args.positional[n_positional++];
    } else if (!take_named(args, p.name, v) && p.fallback) {
      LH_TRY(v, eval(*p.fallback));  // sees the parameters before it
    }
    scope_->set(p.name, std::move(v));
  }
  Value caller = undefined_because("no caller defined");
  take_named(args, "caller", caller);
  scope_->set("caller", std::move(caller));
  if (n_positional < args.positional.size()) {
    return invalid("macro '{}' takes not more than {} arguments", macro.name,
                   macro.parameters.size());
  }
  if (!args.named.empty()) {
    return invalid("macro '{}' takes no keyword argument '{}'", macro.name, args.named[0].first);
  }
  LH_TRY(std::string text, capture(macro.body));
  return run_.text(std::move(text));
}

}  // namespace longhaul::jinja
