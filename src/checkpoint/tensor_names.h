// Where a tensor of the description stands among those of a checkpoint, and which names are of one
// kind.
#pragma once

#include <string>

#include "arch/architecture.h"
#include "formats/tensor_source.h"

namespace longhaul {

// The name of a tensor with '*' for the numbers of layers and experts.
std::string tensor_kind(const std::string& name);

class TensorNames {
 public:
  // Both must outlive this. The prefix is that of the family's under which most tensors are found:
  // one missing tensor must not hide the layout.
  TensorNames(const Architecture& arch, const TensorSource& source);

  // By its names in order; null if it is under none of them.
  const TensorInfo* find(const TensorSpec& spec, const std::string& suffix = {}) const;
  // As a checkpoint of this layout would spell it.
  std::string full_name(const TensorSpec& spec) const {
    return spec.is_absolute ? spec.name : prefix_ + spec.name;
  }
  const std::string& prefix() const { return prefix_; }

 private:
  std::string outer_prefix() const;

  const TensorSource& source_;
  std::string prefix_;
};

}  // namespace longhaul
