#include "text/template/rendering.h"

namespace longhaul::jinja {

Run::~Run() {
  for (const auto& object : kept_) object->drop_references();
}

Status Run::work(uint64_t n) {
  steps_ += n;
  if (steps_ > limits_.max_steps) {
    return make_error(ErrorCode::kOverBudget, "the template needs more than {} steps",
                      limits_.max_steps);
  }
  if (account_.live_bytes > limits_.max_live_bytes) {
    return make_error(ErrorCode::kOverBudget, "the template's values need more than {} bytes",
                      limits_.max_live_bytes);
  }
  return {};
}

Status Run::check_size(uint64_t bytes) const {
  if (bytes <= limits_.max_output_bytes) return {};
  return make_error(ErrorCode::kOverBudget, "a string or list would be longer than {} bytes",
                    limits_.max_output_bytes);
}

Result<Value> Run::seq(SeqKind kind, std::vector<Value> items, std::string label) {
  auto made = std::make_shared<Seq>(&account_, kind, std::move(items));
  made->label = std::move(label);
  if (made->extent.depth > kMaxValueDepth) {
    return make_error(ErrorCode::kOverBudget, "values are nested deeper than {}", kMaxValueDepth);
  }
  LH_RETURN_IF_ERROR(work(made->items.size() / 8));
  return Value(std::shared_ptr<const Seq>(std::move(made)));
}

Result<Value> Run::dict(std::vector<Dict::Item> items) {
  for (const auto& [key, value] : items) {
    LH_RETURN_IF_ERROR(work(key.extent().weight));
    if (!hashable(key)) return invalid("unhashable type: '{}'", key.type_name());
  }
  auto made = std::make_shared<const Dict>(&account_, std::move(items));
  if (made->extent().depth > kMaxValueDepth) {
    return make_error(ErrorCode::kOverBudget, "values are nested deeper than {}", kMaxValueDepth);
  }
  return Value(std::move(made));
}

Value Run::keep(std::shared_ptr<Object> object) {
  account_.live_bytes += 256;  // never given back: kept until the end
  kept_.push_back(object);
  return Value(std::move(object));
}

Status Run::Depth::check() const {
  if (run_.depth_ <= run_.limits_.max_depth) return {};
  return make_error(ErrorCode::kOverBudget,
                    "statements, expressions and calls are nested deeper than {}",
                    run_.limits_.max_depth);
}

}  // namespace longhaul::jinja
