// What families share of how checkpoints lay out their tensors: the head, and the experts of a
// mixture.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "arch/architecture.h"
#include "models/family.h"

namespace longhaul {

// The head of its own as the reference names it, and where it stood in older multimodal
// checkpoints.
TensorSpec lm_head(int64_t vocab_size, int64_t hidden_size);

// The shape of a tensor under whichever of the prefixes it stands; null if it is under none.
const std::vector<int64_t>* find_shape(const ShapeOf& shape_of,
                                       std::span<const std::string> prefixes,
                                       const std::string& name);

// Names of the matrices of a mixture's experts. A '*' stands for an expert's number; without one, a
// tensor holds them all: [E, F, D] for gate and up, [E, D, F] for down. Where gate and up have one
// name, a tensor holds the gate's rows and up's below them, 2F.
struct ExpertLayout {
  std::string gate, up, down;
};

// The layouts that checkpoints have. `place` is what stands before the experts, its dot included.
ExpertLayout stacked(const std::string& place);        // gate and up in one
ExpertLayout stacked_apart(const std::string& place);  // as .weight
ExpertLayout one_by_one(const std::string& place, const char* gate = "gate_proj",
                        const char* up = "up_proj", const char* down = "down_proj");
ExpertLayout fused_one_by_one(const std::string& place, const char* gate_up = "gate_up_proj",
                              const char* down = "down_proj");

// Declares gate_proj, up_proj and down_proj of a mixture by the first layout that the checkpoint
// has; by the first of all where there is no checkpoint, or none fits. Down may be laid out
// otherwise.
//   layouts  not empty; the family's own first
void add_expert_weights(Architecture& arch, MoeSpec& moe, std::span<const ExpertLayout> layouts,
                        const ShapeOf& shape_of);

}  // namespace longhaul
