#include "models/checkpoint_layout.h"

#include <algorithm>

namespace longhaul {
namespace {

bool is_one_by_one(const std::string& name) { return name.find('*') != std::string::npos; }

std::string name_of(const std::string& pattern, int64_t expert) {
  const size_t star = pattern.find('*');
  return pattern.substr(0, star) + std::to_string(expert) + pattern.substr(star + 1);
}

class ExpertWeights {
 public:
  ExpertWeights(Architecture& arch, const MoeSpec& moe, const ShapeOf& shape_of)
      : arch_(arch), moe_(moe), shape_of_(shape_of) {}

  // The first layout of which `matrix` is there, were it of one expert alone: then the others are
  // missed by name.
  const ExpertLayout& choose(std::span<const ExpertLayout> layouts,
                             std::string ExpertLayout::* matrix) const {
    const auto it = std::find_if(layouts.begin(), layouts.end(),
                                 [&](const ExpertLayout& l) { return is_there(l.*matrix); });
    return it == layouts.end() ? layouts.front() : *it;
  }

  // Rows [first_row, first_row + rows) of each expert's tensor [tensor_rows, cols].
  WeightId add(const std::string& pattern, int64_t tensor_rows, int64_t first_row, int64_t rows,
               int64_t cols) {
    if (!is_one_by_one(pattern))
      return arch_.add_experts(pattern, moe_.n_experts, tensor_rows, first_row, rows, cols);
    std::vector<std::string> names;
    for (int64_t e = 0; e < moe_.n_experts; ++e) names.push_back(name_of(pattern, e));
    return arch_.add_separate_experts(names, tensor_rows, first_row, rows, cols);
  }

 private:
  bool is_there(const std::string& pattern) const {
    if (!shape_of_) return false;
    const auto stands = [&](const std::string& name) {
      return find_shape(shape_of_, arch_.prefixes, name) != nullptr;
    };
    if (!is_one_by_one(pattern)) return stands(pattern);
    for (int64_t e = 0; e < moe_.n_experts; ++e) {
      if (stands(name_of(pattern, e))) return true;
    }
    return false;
  }

  Architecture& arch_;
  const MoeSpec& moe_;
  const ShapeOf& shape_of_;
};

}  // namespace

TensorSpec lm_head(int64_t vocab_size, int64_t hidden_size) {
  return {.name = "lm_head.weight",
          .shape = {vocab_size, hidden_size},
          .other_names = {"language_model.lm_head.weight", "model.lm_head.weight"},
          .is_absolute = true};
}

const std::vector<int64_t>* find_shape(const ShapeOf& shape_of,
                                       std::span<const std::string> prefixes,
                                       const std::string& name) {
  if (!shape_of) return nullptr;
  for (const std::string& prefix : prefixes) {
    if (const std::vector<int64_t>* shape = shape_of(prefix + name)) return shape;
  }
  return nullptr;
}

ExpertLayout stacked(const std::string& place) {
  return {place + "gate_up_proj", place + "gate_up_proj", place + "down_proj"};
}

ExpertLayout stacked_apart(const std::string& place) {
  return {place + "gate_proj.weight", place + "up_proj.weight", place + "down_proj.weight"};
}

ExpertLayout one_by_one(const std::string& place, const char* gate, const char* up,
                        const char* down) {
  const std::string expert = place + "*.";
  return {expert + gate + ".weight", expert + up + ".weight", expert + down + ".weight"};
}

ExpertLayout fused_one_by_one(const std::string& place, const char* gate_up, const char* down) {
  return one_by_one(place, gate_up, gate_up, down);
}

void add_expert_weights(Architecture& arch, MoeSpec& moe, std::span<const ExpertLayout> layouts,
                        const ShapeOf& shape_of) {
  ExpertWeights weights(arch, moe, shape_of);
  const int64_t d = arch.hidden_size, f = moe.width;
  const ExpertLayout& inner = weights.choose(layouts, &ExpertLayout::gate);
  const bool is_fused = inner.gate == inner.up;
  moe.gate_proj = weights.add(inner.gate, is_fused ? 2 * f : f, 0, f, d);
  moe.up_proj = weights.add(inner.up, is_fused ? 2 * f : f, is_fused ? f : 0, f, d);
  moe.down_proj = weights.add(weights.choose(layouts, &ExpertLayout::down).down, d, 0, d, f);
}

}  // namespace longhaul
