#include "text/template/interpreter.h"

#include "text/template/loop.h"
#include "text/template/macro.h"
#include "text/template/objects.h"
#include "text/template/operators.h"
#include "text/template/printing.h"

namespace longhaul::jinja {
namespace {

// A scope with its variables is made in the time of so many nodes.
constexpr uint64_t kScopeSteps = 4;

}  // namespace

Result<std::string> Interpreter::render(const Block& block) {
  Buffer buffer(run_.account());
  out_ = &buffer;
  LH_RETURN_IF_ERROR(exec_block(block));
  return std::move(buffer.text);
}

Status Interpreter::write(std::string_view text) {
  LH_RETURN_IF_ERROR(run_.check_size(out_->text.size() + text.size()));
  LH_RETURN_IF_ERROR(run_.work(text.size() / 64));
  out_->text += text;
  out_->charge.grow(text.size());
  return {};
}

Result<Flow> Interpreter::exec_block(const Block& block) {
  for (const Stmt& stmt : block) {
    LH_TRY(const Flow flow, exec(stmt));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Flow> Interpreter::exec(const Stmt& stmt) {
  const Run::Depth depth(run_);
  auto result = [&]() -> Result<Flow> {
    LH_RETURN_IF_ERROR(depth.check());
    LH_RETURN_IF_ERROR(run_.work());
    return std::visit([this](const auto& node) { return exec(node); }, stmt.node);
  }();
  if (!result.ok()) note_line(stmt.line);
  return result;
}

Result<Flow> Interpreter::exec(const DataStmt& s) {
  LH_RETURN_IF_ERROR(write(s.text));
  return Flow::kNext;
}

Result<Flow> Interpreter::exec(const OutputStmt& s) {
  LH_TRY(const Value v, eval(*s.value));
  LH_TRY(const std::string text, to_text(run_, v));
  LH_RETURN_IF_ERROR(write(text));
  return Flow::kNext;
}

Result<Flow> Interpreter::exec(const IfStmt& s) {
  for (const auto& [condition, body] : s.branches) {
    LH_TRY(const Value v, eval(*condition));
    if (v.truthy()) return exec_block(body);
  }
  return exec_block(s.otherwise);
}

Result<Flow> Interpreter::exec(const ForStmt& s) {
  LH_TRY(const Value iterable, eval(*s.iterable));
  LH_RETURN_IF_ERROR(iterate_loop(s, iterable));
  return Flow::kNext;
}

// The sequence to loop over: the items that pass the loop's condition, which sees the target and no
// loop variable.
Result<Value> Interpreter::loop_items(const ForStmt& s, const Value& iterable) {
  const Seq* seq = iterable.as_seq();
  if (!s.condition && seq && seq->kind != SeqKind::kGenerator)
    return iterable;  // no copy: it cannot change
  LH_TRY(auto items, iterate(run_, iterable));
  if (!s.condition) return run_.list(std::move(items));
  std::vector<Value> kept;
  for (Value& item : items) {
    LH_RETURN_IF_ERROR(run_.work(kScopeSteps));
    const Enter enter(*this);
    LH_RETURN_IF_ERROR(assign(s.target, item));
    LH_TRY(const Value v, eval(*s.condition));
    if (v.truthy()) kept.push_back(std::move(item));
  }
  return run_.list(std::move(kept));
}

Status Interpreter::iterate_loop(const ForStmt& s, const Value& iterable) {
  LH_TRY(const Value held, loop_items(s, iterable));
  const auto loop = std::make_shared<Loop>(held);
  const auto& list = held.as_seq()->items;
  for (size_t i = 0; i < list.size(); ++i) {
    LH_RETURN_IF_ERROR(run_.work(kScopeSteps));
    loop->go_to(i);
    const Enter enter(*this);
    scope_->set("loop", Value(std::shared_ptr<Object>(loop)));
    LH_RETURN_IF_ERROR(assign(s.target, list[i]));
    LH_TRY(const Flow flow, exec_block(s.body));
    if (flow == Flow::kBreak) break;
  }
  if (!list.empty()) return {};
  const Enter enter(*this);
  LH_RETURN_IF_ERROR(exec_block(s.otherwise));
  return {};
}

Status Interpreter::assign(const Target& target, const Value& value) {
  if (!target.names.empty()) {
    LH_TRY(const auto items, iterate(run_, value));
    if (items.size() != target.names.size())
      return invalid("cannot unpack {} values into {} names", items.size(), target.names.size());
    for (size_t i = 0; i < items.size(); ++i) scope_->set(target.names[i], items[i]);
    return {};
  }
  if (target.attribute.empty()) {
    scope_->set(target.name, value);
    return {};
  }
  const Value* object = scope_->find(target.name);
  auto* space = object ? dynamic_cast<Namespace*>(object->as_object()) : nullptr;
  if (!space)
    return invalid("cannot assign attribute '{}' on '{}', which is no namespace", target.attribute,
                   target.name);
  space->set(target.attribute, value);
  return {};
}

Result<Flow> Interpreter::exec(const SetStmt& s) {
  LH_TRY(const Value v, eval(*s.value));
  LH_RETURN_IF_ERROR(assign(s.target, v));
  return Flow::kNext;
}

Result<std::string> Interpreter::capture(const Block& body) {
  Buffer buffer(run_.account());
  Buffer* const saved = std::exchange(out_, &buffer);
  const Enter enter(*this);
  const auto flow = exec_block(body);
  out_ = saved;
  if (!flow.ok()) return flow.error();
  return std::move(buffer.text);
}

Result<Flow> Interpreter::exec(const SetBlockStmt& s) {
  LH_TRY(std::string text, capture(s.body));
  LH_RETURN_IF_ERROR(assign(s.target, run_.text(std::move(text))));
  return Flow::kNext;
}

Result<Flow> Interpreter::exec(const FilterStmt& s) {
  LH_TRY(std::string body, capture(s.body));
  const Value captured = run_.text(std::move(body));
  const Value* const saved = std::exchange(filter_input_, &captured);
  const auto filtered = eval(*s.filter);
  filter_input_ = saved;
  if (!filtered.ok()) return filtered.error();
  LH_TRY(const std::string text, to_text(run_, *filtered));
  LH_RETURN_IF_ERROR(write(text));
  return Flow::kNext;
}

Result<Flow> Interpreter::exec(const MacroStmt& s) {
  scope_->set(s.macro->name, run_.keep(std::make_shared<Macro>(*this, s.macro, scope_)));
  return Flow::kNext;
}

Result<Flow> Interpreter::exec(const CallStmt& s) {
  const Value caller = run_.keep(std::make_shared<Macro>(*this, s.caller, scope_));
  LH_TRY(const Value v, call(std::get<CallExpr>(s.call->node), &caller));
  LH_TRY(const std::string text, to_text(run_, v));
  LH_RETURN_IF_ERROR(write(text));
  return Flow::kNext;
}

Result<Flow> Interpreter::exec(const ScopeStmt& s) {
  const Enter enter(*this);
  return exec_block(s.body);
}

}  // namespace longhaul::jinja
